internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel

extension BackupDeclaration {
    private static let words: Set<String> = [
        "command", "destruction_delay", "directory", "escrow", "external_backup_retention", "identity", "keep",
        "keep_for", "method", "pitr", "rate", "recipient", "timeout", "verify",
    ]

    /// Reads a `backup { … }`.
    init(
        _ declaration: Declaration, folder: String, database: DatabaseLocation, keyrings: [KeyringDeclaration]
    ) throws(ScriptingError) {
        let fields = try Fields(namelessTableOf: declaration, known: Self.words)
        func path(_ word: String) throws(ScriptingError) -> String? {
            guard let text = try fields.text(word) else { return nil }
            return URL(filePath: text, relativeTo: URL(filePath: folder, directoryHint: .isDirectory))
                .standardizedFileURL.path
        }
        guard let directory = try path("directory") else {
            _ = try fields.required("directory", example: "/var/backups/keyturn")
            throw fields.place.error("\"directory\" is missing")
        }
        self.init(
            directory: directory, recipients: try Self.recipients(fields),
            method: try fields.choice("method", of: Method.self), commands: try Self.commands(fields, folder),
            identity: try path("identity"), escrow: try path("escrow"), verify: try Self.level(fields),
            keep: try fields.count("keep").map { Int(clamping: $0) }, keepFor: try fields.duration("keep_for"),
            pitr: try fields.duration("pitr"), externalRetention: try Self.externalRetention(fields),
            bytesPerSecond: try Self.rate(fields))
        if let patience = try fields.duration("timeout") { self.patience = patience }
        if let delay = try fields.duration("destruction_delay") { destructionDelay = delay }
        try refuseContradictions(fields, database, keyrings)
    }

    private func refuseContradictions(
        _ fields: Fields, _ database: DatabaseLocation, _ keyrings: [KeyringDeclaration]
    ) throws(ScriptingError) {
        if let keep, keep < 2 { throw fields.place.error("\"keep\" is less than 2, and two are always kept") }
        if method == .command, commands == nil {
            throw fields.place.error(
                "\"command\" is missing", hint: "Add it: command = { create = { \"/usr/local/bin/…\" } }.")
        }
        let isFile = if case .sqlite = database { true } else { false }
        let suits = isFile ? [.sqlite, .command] : [Method.logical, .physical, .command]
        if let method, !suits.contains(method) {
            throw fields.unknown("method", method.rawValue, among: suits.map(\.rawValue))
        }
        // A key that is gone before the last backup under it makes that backup unreadable.
        let longest = [keepFor, pitr, externalRetention].compactMap(\.self).max() ?? .zero
        for keyring in keyrings {
            guard let kept = keyring.policy.keep, kept < longest else { continue }
            throw fields.place.error(
                "backups are kept for \(longest.durationText), but keys of keyring \"\(keyring.name)\" for \(kept.durationText)",
                hint: "Raise \"keep\" of the keyring to at least \(longest.durationText).")
        }
    }

    /// Public keys; `"none"` says that backups stay as they are.
    private static func recipients(_ fields: Fields) throws(ScriptingError) -> [String] {
        guard let texts = try fields.texts("recipient", orOne: true) else {
            throw fields.place.error(
                "\"recipient\" is missing",
                hint:
                    "Name the public half of a key that age-keygen has made, or \"none\" to leave backups unencrypted.")
        }
        if texts == ["none"] { return [] }
        for text in texts {
            let isKnown = ["age1", "ssh-ed25519 ", "ssh-rsa "].contains { text.hasPrefix($0) }
            guard isKnown, text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) else {
                // Somebody may have pasted a secret key: the text is not quoted.
                throw fields.place.error(
                    "\"recipient\" holds what is no age or SSH public key",
                    hint: "Public keys begin with age1 or ssh-; keep secret ones away from this machine.")
            }
        }
        return texts
    }

    private static func level(_ fields: Fields) throws(ScriptingError) -> BackupLevel? {
        guard let text = try fields.text("verify") else { return nil }
        guard let level = BackupLevel(word: text) else {
            throw fields.unknown("verify", text, among: BackupLevel.allCases.map(\.word))
        }
        return level
    }

    private static func externalRetention(_ fields: Fields) throws(ScriptingError) -> Duration? {
        if fields["external_backup_retention"] == .string("none") { return .zero }
        return try fields.duration("external_backup_retention")
    }

    /// Bytes a second, as a number or as `"50MB"`.
    private static func rate(_ fields: Fields) throws(ScriptingError) -> Int64? {
        guard case .string(let text)? = fields["rate"] else {
            return try fields.count("rate").map { Int64(clamping: $0) }
        }
        let units: [(String, Int64)] = [("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)]
        for (unit, factor) in units where text.hasSuffix(unit) {
            let (product, overflow) = (Int64(text.dropLast(2)) ?? 0).multipliedReportingOverflow(by: factor)
            if product > 0, !overflow { return product }
        }
        throw fields.wrong("rate", "bytes a second such as \"50MB\"", .string(text))
    }

    private static func commands(_ fields: Fields, _ folder: String) throws(ScriptingError) -> Commands? {
        guard let value = fields["command"] else { return nil }
        guard case .map(let entries) = value else {
            throw fields.wrong("command", "a table such as { create = { \"/path\" } }", value)
        }
        let known = ["create", "verify", "restore", "delete"]
        for word in entries.keys.sorted() where !known.contains(word) {
            throw fields.unknown("command", word, among: known)
        }
        func words(_ word: String) throws(ScriptingError) -> [String]? {
            guard let value = entries[word] else { return nil }
            guard case .array(let list) = value, !list.isEmpty else {
                throw fields.wrong("command", "a list of a path and its arguments for \(word)", value)
            }
            var words: [String] = []
            for element in list {
                guard case .string(let text) = element, !text.utf8.contains(0) else {
                    throw fields.wrong("command", "texts in the list for \(word)", element)
                }
                words.append(text)
            }
            let base = URL(filePath: folder, directoryHint: .isDirectory)
            words[0] = URL(filePath: words[0], relativeTo: base).standardizedFileURL.path
            return words
        }
        guard let create = try words("create") else { throw fields.place.error("\"command\" lacks \"create\"") }
        return Commands(
            create: create, verify: try words("verify"), restore: try words("restore"), delete: try words("delete"))
    }
}
