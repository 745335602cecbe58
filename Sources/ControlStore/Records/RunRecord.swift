package import KeyModel
package import Storage

/// What a run is for.
package enum RunKind: String, CaseIterable, Codable, Sendable {
    /// A new version, and every row sealed under it.
    case rotate
    /// A plaintext column sealed for the first time.
    case adopt
    /// A column's values moved to a keyring of another core.
    case convert
    /// A keyring's keys wrapped under another key-encryption key; rows untouched.
    case rewrap
}

/// How pressing a run is.
package enum RunUrgency: String, Codable, Sendable {
    /// On schedule or by hand, in good order.
    case routine
    /// A key has leaked: windows, cadence and failed backups do not hold it back.
    case emergency
}

/// Where a run stands; the order of the cases is the order of the phases.
package enum RunPhase: String, CaseIterable, Comparable, Codable, Sendable {
    case planned, preflight, before, prepare, publish, activate, reencrypt, settle, verify, retire, after, done

    /// Orders phases as a run goes through them.
    package static func < (left: RunPhase, right: RunPhase) -> Bool { left.ordinal < right.ordinal }

    /// The phase that follows; nil after the last.
    package var next: RunPhase? {
        let all = Self.allCases
        return ordinal + 1 < all.count ? all[ordinal + 1] : nil
    }

    private var ordinal: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// How a run is doing.
package enum RunState: String, Codable, Sendable {
    /// Under way, or interrupted and ready to be resumed.
    case open
    /// Waiting for someone to resume it.
    case paused
    /// Waiting for consumers to acknowledge.
    case waiting
    /// Finished, nothing left under the old key.
    case done
    /// Finished, with values that could not be opened or that lie outside what was declared.
    case doneWithExceptions
    /// Ended by an error before anything was changed.
    case failed
    /// Ended before it was finished.
    case cancelled
    /// Stopped at something that needs a person; can be resumed.
    case needsOperator

    /// Whether the run can go on.
    package var isOpen: Bool { self == .open || self == .paused || self == .waiting || self == .needsOperator }
}

/// What someone asked of a run from outside; polled at each batch.
package enum RunRequest: String, Codable, Sendable {
    case none, pause, cancel
}

/// A run as it is recorded.
package struct RunRecord: Hashable, Sendable {
    /// Its number.
    package let id: Int64
    /// What it is for.
    package let kind: RunKind
    /// How pressing it is.
    package let urgency: RunUrgency
    /// The keyring it turns.
    package let keyring: Name
    /// The columns it covers.
    package let columnIDs: [Int64]
    /// Where it stands.
    package var phase: RunPhase
    /// How it is doing.
    package var state: RunState
    /// What is asked of it.
    package var request: RunRequest
    /// The version it seals under, once prepared.
    package var newKey: KeyID?
    /// The versions it moves values away from.
    package var oldKeys: [KeyID]
    /// The plan, as JSON.
    package let plan: String
    /// SHA-256 over what the plan depends on, in hexadecimal.
    package let planHash: String
    /// The configuration it was planned under.
    package let configurationHash: String
    /// Who started it.
    package let actor: String
    /// When.
    package let startedAt: Timestamp
    /// When it last moved on.
    package var updatedAt: Timestamp
    /// When it ended.
    package var finishedAt: Timestamp?
    /// Why it stands where it stands, in words.
    package var message: String?
    /// The proof, as JSON, once verified.
    package var proof: String?

    /// Makes a record.
    package init(
        id: Int64, kind: RunKind, urgency: RunUrgency, keyring: Name, columnIDs: [Int64], phase: RunPhase,
        state: RunState,
        request: RunRequest = .none, newKey: KeyID? = nil, oldKeys: [KeyID] = [], plan: String, planHash: String,
        configurationHash: String, actor: String, startedAt: Timestamp, updatedAt: Timestamp,
        finishedAt: Timestamp? = nil,
        message: String? = nil, proof: String? = nil
    ) {
        self.id = id
        self.kind = kind
        self.urgency = urgency
        self.keyring = keyring
        self.columnIDs = columnIDs
        self.phase = phase
        self.state = state
        self.request = request
        self.newKey = newKey
        self.oldKeys = oldKeys
        self.plan = plan
        self.planHash = planHash
        self.configurationHash = configurationHash
        self.actor = actor
        self.startedAt = startedAt
        self.updatedAt = updatedAt
        self.finishedAt = finishedAt
        self.message = message
        self.proof = proof
    }
}

/// One step in a run's history.
package struct RunStep: Hashable, Sendable {
    /// When.
    package let at: Timestamp
    /// In which phase.
    package let phase: RunPhase
    /// What happened, in words.
    package let what: String

    /// Makes a step.
    package init(at: Timestamp, phase: RunPhase, what: String) {
        self.at = at
        self.phase = phase
        self.what = what
    }
}

/// How far one column is in one phase of a run.
package struct ColumnProgress: Hashable, Sendable {
    /// The column.
    package let columnID: Int64
    /// The phase: reencrypt, settle or verify.
    package let phase: RunPhase
    /// The last key that is dealt with; nil at the beginning.
    package var cursor: RowKey?
    /// Whether the end was reached.
    package var isDone: Bool
    /// Which sweep over the table it is, from 0.
    package var sweep: Int
    /// What was counted.
    package var counts: RowCounts
    /// About how many rows there were when the phase began, for the display only.
    package var expectedRows: Int64
    /// What the verification has counted so far, as JSON.
    package var census: String?

    /// Makes the state at the beginning of a phase.
    package init(
        columnID: Int64, phase: RunPhase, cursor: RowKey? = nil, isDone: Bool = false, sweep: Int = 0,
        counts: RowCounts = RowCounts(), expectedRows: Int64 = 0, census: String? = nil
    ) {
        self.columnID = columnID
        self.phase = phase
        self.cursor = cursor
        self.isDone = isDone
        self.sweep = sweep
        self.counts = counts
        self.expectedRows = expectedRows
        self.census = census
    }
}

/// Counts of rows.
package struct RowCounts: Hashable, Codable, Sendable {
    /// Rows looked at.
    package var read: Int64 = 0
    /// Rows rewritten.
    package var written: Int64 = 0
    /// Rows that someone else wrote first: the compare-and-swap did not match.
    package var missed: Int64 = 0
    /// Rows that needed nothing.
    package var skipped: Int64 = 0
    /// Rows that could not be opened.
    package var quarantined: Int64 = 0
    /// Bytes of values written.
    package var bytes: Int64 = 0

    /// Makes counts of nothing.
    package init() {}

    /// Adds counts.
    package static func += (left: inout RowCounts, right: RowCounts) {
        left.read += right.read
        left.written += right.written
        left.missed += right.missed
        left.skipped += right.skipped
        left.quarantined += right.quarantined
        left.bytes += right.bytes
    }
}

/// A value that could not be opened.
package struct QuarantineRecord: Hashable, Sendable {
    /// The column.
    package let columnID: Int64
    /// The row.
    package let key: RowKey
    /// Why: the stable code of an ``OpenFailure`` or one of ours.
    package let reason: String
    /// When it was found.
    package let at: Timestamp

    /// Makes a record.
    package init(columnID: Int64, key: RowKey, reason: String, at: Timestamp) {
        self.columnID = columnID
        self.key = key
        self.reason = reason
        self.at = at
    }
}

/// What a consumer acknowledges.
package enum AcknowledgementStage: String, CaseIterable, Codable, Sendable {
    /// It can open what the new version seals.
    case opens
    /// It seals under the new version.
    case seals
}

/// A consumer's acknowledgement.
package struct Acknowledgement: Hashable, Sendable {
    /// Who.
    package let consumer: Name
    /// What.
    package let stage: AcknowledgementStage
    /// When.
    package let at: Timestamp
    /// Who said so.
    package let actor: String

    /// Makes a record.
    package init(consumer: Name, stage: AcknowledgementStage, at: Timestamp, actor: String) {
        self.consumer = consumer
        self.stage = stage
        self.at = at
        self.actor = actor
    }
}
