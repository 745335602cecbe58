package import ControlStore
internal import KeyModel

/// What backup is to be made.
package struct CreateRequest: Hashable, Sendable {
    /// The run that it belongs to; nil for none.
    package var run: Int64?
    /// When in that run; nil leaves that to where the run stands.
    package var stage: BackupStage?
    /// How far it is to be proved; nil leaves that to the configuration.
    package var verify: BackupLevel?
    /// Whether it is kept whatever its age.
    package var isPinned: Bool
    /// Whether it may be less than half as large as the one before it.
    package var mayShrink: Bool

    /// Makes a request.
    package init(
        run: Int64? = nil, stage: BackupStage? = nil, verify: BackupLevel? = nil, isPinned: Bool = false,
        mayShrink: Bool = false
    ) {
        self.run = run
        self.stage = stage
        self.verify = verify
        self.isPinned = isPinned
        self.mayShrink = mayShrink
    }
}

/// A backup as it is shown.
package struct BackupEntry: Hashable, Codable, Sendable {
    /// Its number.
    package let id: Int64
    /// How it was made.
    package let method: String
    /// Where it is.
    package let location: String
    /// Its size in bytes.
    package let bytes: Int64
    /// When making it began.
    package let startedAt: String
    /// When it was complete.
    package let finishedAt: String
    /// The run that it belongs to.
    package let run: Int64?
    /// When in that run.
    package let stage: String
    /// How far it was proved.
    package let verified: String
    /// When.
    package let verifiedAt: String
    /// When it may go.
    package let expiresAt: String?
    /// Whether it is kept whatever its age.
    package let isPinned: Bool
    /// Whether its file is there, as large as it was.
    package let isPresent: Bool
    /// The keys that values in it lie under.
    package let keys: [String]
    /// Whether they were found by scanning.
    package let keysScanned: Bool
    /// The keys of which it holds a wrapped copy.
    package let wrappedKeys: [String]

    init(_ record: BackupRecord, isPresent: Bool) {
        id = record.id
        method = record.method
        location = record.location
        bytes = record.bytes
        startedAt = record.startedAt.description
        finishedAt = record.finishedAt.description
        run = record.run
        stage = record.stage.rawValue
        verified = record.level.word
        verifiedAt = record.verifiedAt.description
        expiresAt = record.expiresAt?.description
        isPinned = record.isPinned
        self.isPresent = isPresent
        keys = record.dataKeys.map(\.description).sorted()
        keysScanned = record.isScanned
        wrappedKeys = record.wrappedKeys.map(\.description).sorted()
    }
}

/// What a restore came to.
package struct RestoreResult: Hashable, Codable, Sendable {
    /// The backup.
    package let backup: Int64
    /// Where it is now.
    package let place: String
    /// Values that were opened there; nil where a server must be started first.
    package let opened: Int64?
    /// Values there that no key opens.
    package let unopenable: Int64?
    /// The command for a shell that starts the server of a restored cluster; nil where none is needed.
    package let start: String?
    /// How `keyturn.lua` names the database of a restored cluster; nil for others.
    package let database: String?
    /// What to do next.
    package let next: [String]
}

/// What pruning came to.
package struct PruneResult: Hashable, Codable, Sendable {
    /// The backups that are gone.
    package let removed: [Int64]
    /// The backups that stay.
    package let kept: [Int64]
    /// Why nothing more was removed, in words.
    package let reasons: [String]
}

/// What a drill came to.
package struct DrillResult: Hashable, Codable, Sendable {
    /// The backup.
    package let backup: Int64
    /// Whether it restored and opened completely.
    package let isPassed: Bool
    /// How long it took, in milliseconds.
    package let milliseconds: Int64
    /// What was found, or why it failed.
    package let report: String
}

/// What a backup takes and what there is.
package struct RoomReport: Hashable, Codable, Sendable {
    /// Bytes of the database; nil where it does not say.
    package let database: Int64?
    /// Bytes of its log, as far as they are part of the backup; nil where that may not be known.
    package let log: Int64?
    /// The folder of backups.
    package let directory: String
    /// Bytes needed there at most.
    package let needed: Int64
    /// Bytes free there.
    package let free: Int64
    /// The folder in which backups are restored to be proved.
    package let scratch: String
    /// Bytes needed there.
    package let scratchNeeded: Int64
    /// Bytes free there.
    package let scratchFree: Int64

    /// What does not fit, in words; nil where everything does.
    package var obstacle: String? {
        if free < needed { return "\(directory) needs \(needed) bytes, \(free) are free" }
        if scratch == directory, free < needed + scratchNeeded {
            return "\(directory) needs \(needed + scratchNeeded) bytes to make and prove it, \(free) are free"
        }
        return scratchFree < scratchNeeded
            ? "\(scratch) needs \(scratchNeeded) bytes to prove it, \(scratchFree) are free" : nil
    }
}
