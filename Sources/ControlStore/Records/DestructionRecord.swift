package import KeyModel

/// Where the destruction of key versions stands.
package enum DestructionState: String, CaseIterable, Codable, Sendable {
    /// The conditions did not hold; nothing was done.
    case refused
    /// Waits for a second person or for the delay; can be cancelled.
    case waiting
    /// Was called off.
    case cancelled
    /// The wrapped copies here are erased; backups, logs or replicas may still hold one.
    case destroying
    /// Every copy that is known of is gone.
    case destroyed
}

/// The destruction of key versions, from the request to the end.
package struct DestructionRecord: Hashable, Sendable {
    /// Its number.
    package let id: Int64
    /// The keyring.
    package let keyring: Name
    /// The versions.
    package let keys: [KeyID]
    /// Where it stands.
    package var state: DestructionState
    /// When it was asked for.
    package let requestedAt: Timestamp
    /// By whom.
    package let requestedBy: String
    /// Why.
    package let reason: String
    /// When it may go ahead without a second person.
    package let dueAt: Timestamp
    /// The second person.
    package var approvedBy: String?
    /// When it ended, or was called off.
    package var finishedAt: Timestamp?
    /// The report, as JSON.
    package var report: String

    /// Makes a record.
    package init(
        id: Int64, keyring: Name, keys: [KeyID], state: DestructionState, requestedAt: Timestamp, requestedBy: String,
        reason: String, dueAt: Timestamp, approvedBy: String? = nil, finishedAt: Timestamp? = nil, report: String
    ) {
        self.id = id
        self.keyring = keyring
        self.keys = keys
        self.state = state
        self.requestedAt = requestedAt
        self.requestedBy = requestedBy
        self.reason = reason
        self.dueAt = dueAt
        self.approvedBy = approvedBy
        self.finishedAt = finishedAt
        self.report = report
    }
}
