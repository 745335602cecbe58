internal import KeyModel

/// Says why Keyturn's own records do not allow what was asked.
package struct ControlStoreError: Error, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, Sendable {
        /// No keyring, column or run of that name or number.
        case callerNotFound
        /// The configuration contradicts what is recorded; correcting it helps.
        case callerConfigurationConflict
        /// The schema is there already, or not yet.
        case storeSchemaState
        /// The schema was made by a newer Keyturn.
        case storeSchemaNewer
        /// The database is older than this node has seen it, or another one; `keyturn recover` helps.
        case storeSetBack
        /// Another process holds the lease; waiting or stopping it helps.
        case storeLeaseHeld
        /// The lease was taken over; this process may write no more.
        case storeLeaseLost
        /// Somebody changed schedules since they were read; reading them again helps.
        case storeScheduleChanged
        /// A record or the node's journal cannot be read.
        case storeRecordDamaged
    }

    /// Which of them.
    package let code: Code
    /// What could not be done, and why; lower case, one line.
    package let message: String
    /// What to do about it.
    package var hint: String?
    /// What lay beneath.
    package var cause: (any Error)?

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause
    }
}

extension ControlStoreError: CodedError {
    /// The stable name of the code.
    package var codeName: String { code.rawValue }
}
