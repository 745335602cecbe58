internal import Foundation
package import KeyModel

/// When in a run a backup was made.
package enum BackupStage: String, CaseIterable, Codable, Sendable {
    /// Before the first row was rewritten.
    case before
    /// After the last.
    case after
    /// Outside of any run.
    case manual
}

/// How far a backup was proved; each level includes those below it.
package enum BackupLevel: Int, CaseIterable, Comparable, Codable, Sendable {
    /// V0: whoever made it says that it succeeded.
    case claimed
    /// V1: it is not suspiciously small, and its format parses.
    case format
    /// V2: what stands there is what was written, every checksum in it holds, and it is of this database.
    case checksums
    /// V3: it was restored aside, and values opened with nothing but the keyring inside.
    case restored

    /// Orders levels by what they prove.
    package static func < (left: BackupLevel, right: BackupLevel) -> Bool { left.rawValue < right.rawValue }

    /// The level by the word that configuration and commands use: `claimed`, `format`, `checksums` or `restore`.
    package init?(word: String) {
        guard let level = Self.allCases.first(where: { $0.word == word }) else { return nil }
        self = level
    }

    /// The word that configuration and commands use.
    package var word: String {
        switch self {
        case .claimed: "claimed"
        case .format: "format"
        case .checksums: "checksums"
        case .restored: "restore"
        }
    }
}

/// A backup as the catalogue lists it; only what was verified is ever listed.
package struct BackupRecord: Hashable, Sendable {
    /// Its number.
    package let id: Int64
    /// How it was made: `sqlite`, `logical`, `physical` or `command`.
    package let method: String
    /// Where it is: an absolute path, or what the tool that keeps it calls it.
    package let location: String
    /// Its size in bytes, as stored.
    package let bytes: Int64
    /// SHA-256 of it as stored, in hexadecimal; empty where the tool that keeps it has none.
    package let sha256: String
    /// When making it began.
    package let startedAt: Timestamp
    /// When it was complete.
    package let finishedAt: Timestamp
    /// The run that it belongs to.
    package let run: Int64?
    /// When in that run.
    package let stage: BackupStage
    /// How far it was proved.
    package var level: BackupLevel
    /// When it was last proved.
    package var verifiedAt: Timestamp
    /// When it may go; nil leaves that to the count.
    package let expiresAt: Timestamp?
    /// Whether it is kept whatever its age.
    package var isPinned: Bool
    /// Whether ``dataKeys`` were found by scanning its values; otherwise they are all that its keyring lists.
    package var isScanned: Bool
    /// The keys that values in it lie under.
    package var dataKeys: [KeyID]
    /// The keys of which it holds a wrapped copy.
    package var wrappedKeys: [KeyID]
    /// The key-encryption keys that wrap those, as `provider` and `provider key id`.
    package var wrappers: [Wrapper]
    /// The manifest, as JSON.
    package var manifest: String

    /// A key-encryption key.
    package struct Wrapper: Hashable, Codable, Sendable {
        /// The provider.
        package let provider: String
        /// What the provider calls the key.
        package let key: String

        /// Names a key.
        package init(provider: String, key: String) {
            self.provider = provider
            self.key = key
        }
    }

    /// Makes a record.
    package init(
        id: Int64, method: String, location: String, bytes: Int64, sha256: String, startedAt: Timestamp,
        finishedAt: Timestamp, run: Int64?, stage: BackupStage, level: BackupLevel, verifiedAt: Timestamp,
        expiresAt: Timestamp?, isPinned: Bool = false, isScanned: Bool, dataKeys: [KeyID], wrappedKeys: [KeyID],
        wrappers: [Wrapper], manifest: String
    ) {
        self.id = id
        self.method = method
        self.location = location
        self.bytes = bytes
        self.sha256 = sha256
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.run = run
        self.stage = stage
        self.level = level
        self.verifiedAt = verifiedAt
        self.expiresAt = expiresAt
        self.isPinned = isPinned
        self.isScanned = isScanned
        self.dataKeys = dataKeys
        self.wrappedKeys = wrappedKeys
        self.wrappers = wrappers
        self.manifest = manifest
    }
}

extension BackupRecord {
    /// Whether its file stands where it should, as large as it was; what a command keeps is out of sight and counts as there.
    package var isPresent: Bool {
        guard method != BackupDeclaration.Method.command.rawValue else { return true }
        var facts = stat()
        return stat(location, &facts) == 0 && Int64(facts.st_size) == bytes
    }
}

/// What a restore drill came to.
package struct DrillRecord: Hashable, Sendable {
    /// When it began.
    package let at: Timestamp
    /// The backup.
    package let backup: Int64
    /// Whether it restored and opened completely.
    package let isPassed: Bool
    /// How long it took, in milliseconds.
    package let milliseconds: Int64
    /// What was found, or why it failed.
    package let report: String
    /// Who asked for it.
    package let actor: String

    /// Makes a record.
    package init(
        at: Timestamp, backup: Int64, isPassed: Bool, milliseconds: Int64, report: String, actor: String
    ) {
        self.at = at
        self.backup = backup
        self.isPassed = isPassed
        self.milliseconds = milliseconds
        self.report = report
        self.actor = actor
    }
}
