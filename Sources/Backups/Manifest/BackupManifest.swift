package import ControlStore
internal import Foundation
internal import KeyModel

/// What is said of a backup, beside it as `NAME.manifest.json` and in the catalogue; see `docs/formats/backup-manifest.md`.
package struct BackupManifest: Hashable, Codable, Sendable {
    /// The version of this form.
    package var form = 1
    /// How it was made: `sqlite`, `logical`, `physical` or `command`.
    package var method: String
    /// Where it is.
    package var uri: String
    /// Its size in bytes, as stored.
    package var bytes: Int64
    /// SHA-256 of it as stored, in hexadecimal.
    package var sha256: String
    /// The program that made it.
    package var tool: String
    /// Its version.
    package var toolVersion: String
    /// When making it began.
    package var started: String
    /// When it was complete.
    package var finished: String
    /// The instance that the database belongs to.
    package var sourceID: String
    /// The database's nonce, which `keyturn recover` changes.
    package var nonce: String
    /// How far the database was when making it began.
    package var epoch: Int64
    /// Where the database's own log stood then; nil where it has none.
    package var position: String?
    /// What is in it: `data` and `keyring`.
    package var contains: [String]
    /// The keys that values in it lie under.
    package var keyIDs: [String]
    /// Whether they were found by scanning its values; otherwise they are all that the keyring lists.
    package var keyIDsScanned: Bool
    /// The keys of which it holds a wrapped copy.
    package var wrappedKeyIDs: [String]
    /// The key-encryption keys that wrap those.
    package var wrappers: [BackupRecord.Wrapper]
    /// SHA-256 over the wrapped copies; empty where they were not read.
    package var keyringSHA256: String
    /// Whether it is encrypted at rest.
    package var encrypted: Bool
    /// The public keys of those who can open it.
    package var wrappedBy: [String]
    /// The name of the encrypted copy of `root.key` beside it; nil where there is none.
    package var rootKey: String?
    /// SHA-256 of that copy.
    package var rootKeySHA256: String?
    /// When it may go.
    package var expiresAt: String?
    /// How far it was proved: `claimed`, `format`, `checksums` or `restore`.
    package var verified: String
    /// When.
    package var verifiedAt: String
    /// What the proof by restoring counted; nil without one.
    package var proof: Proof?
    /// The run that it belongs to.
    package var run: Int64?
    /// When in that run: `before`, `after` or `manual`.
    package var stage: String

    /// What a restored copy showed.
    package struct Proof: Hashable, Codable, Sendable {
        /// Key versions whose canary opened.
        package var canaries: Int
        /// Values that were opened.
        package var opened: Int64
        /// Values that open in the database itself no more than here.
        package var exceptions: Int64
        /// Where the key-encryption key came from: `escrow` or `provider`.
        package var rootFrom: String
    }

    /// The most bytes that a backup can have: 2 to the power of 60.
    static let mostBytes = Int64(1) << 60

    /// The text that is written.
    package func encoded() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// Reads a manifest and refuses what cannot be true.
    ///
    /// - Throws: ``BackupError`` with `dataDamaged`.
    package static func decode(_ text: String, of name: String) throws(BackupError) -> BackupManifest {
        func refused(_ why: String) -> BackupError {
            BackupError(.dataDamaged, "the manifest of \(quoted(name)) cannot be used: \(why)")
        }
        let manifest: BackupManifest
        do { manifest = try JSONDecoder().decode(BackupManifest.self, from: Data(text.utf8)) } catch {
            throw refused("it is not in the form that Keyturn writes")
        }
        guard manifest.form == 1 else { throw refused("it has form \(manifest.form), this build knows 1") }
        guard (1...mostBytes).contains(manifest.bytes) else { throw refused("it speaks of \(manifest.bytes) bytes") }
        guard Set(manifest.contains).isSuperset(of: ["data", "keyring"]) else {
            throw refused("it does not contain both data and keyring")
        }
        guard let started = try? Timestamp(manifest.started), let finished = try? Timestamp(manifest.finished),
            started <= finished
        else { throw refused("its times are none, or in the wrong order") }
        guard (manifest.keyIDs + manifest.wrappedKeyIDs).allSatisfy({ KeyID(hex: $0) != nil }) else {
            throw refused("a key id is none")
        }
        guard BackupLevel(word: manifest.verified) != nil, BackupStage(rawValue: manifest.stage) != nil else {
            throw refused("its level or stage is none")
        }
        return manifest
    }

    /// Adds what a keyring holds: without opening its values, a backup counts as using every key that may be in it.
    mutating func list(_ found: Examination) {
        wrappedKeyIDs = Set(wrappedKeyIDs + found.wrappedKeys).sorted()
        keyIDs = Set(keyIDs + wrappedKeyIDs).sorted()
        wrappers = Set(wrappers + found.wrappers).sorted { ($0.provider, $0.key) < ($1.provider, $1.key) }
        if keyringSHA256.isEmpty { keyringSHA256 = found.keyringSHA256 }
        keyIDsScanned = false
    }

    /// The record that the catalogue keeps.
    ///
    /// - Throws: ``BackupError`` with `dataDamaged`, or what encoding throws.
    package func record(_ id: Int64) throws -> BackupRecord {
        BackupRecord(
            id: id, method: method, location: uri, bytes: bytes, sha256: sha256, startedAt: try Timestamp(started),
            finishedAt: try Timestamp(finished), run: run, stage: BackupStage(rawValue: stage) ?? .manual,
            level: BackupLevel(word: verified) ?? .claimed, verifiedAt: try Timestamp(verifiedAt),
            expiresAt: try expiresAt.map { try Timestamp($0) }, isScanned: keyIDsScanned,
            dataKeys: keyIDs.compactMap { KeyID(hex: $0) }, wrappedKeys: wrappedKeyIDs.compactMap { KeyID(hex: $0) },
            wrappers: wrappers, manifest: try encoded())
    }
}
