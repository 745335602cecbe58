internal import ArgumentParser
internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Terminal

/// Implements `keyturn keyring destroy`.
struct KeyringDestroyCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "destroy", abstract: "Ask for the destruction of retired keys, with a report of what it would do.",
        discussion: """
            Nothing is erased by this. A second person agrees with "keyturn keyring approve N", or the delay passes; then \
            "keyturn keyring erase N" carries it out. Ends with 3 where something stands against it.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var keyring: String

    @Option(name: .long, help: "A key; may be repeated. Default: all that are retired.")
    var key: [String] = []

    @Option(name: .long, help: "Why; kept for ever.")
    var reason: String?

    @Flag(name: .long, help: "Only print the report.")
    var dryRun = false

    @Option(name: .long, help: "A table that cannot be looked through and surely holds nothing; may be repeated.")
    var acceptUnread: [String] = []

    func validate() throws {
        if reason == nil, !dryRun { throw ValidationError("give --reason TEXT, or --dry-run") }
    }

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let keys = try key.map { text in
            guard let id = KeyID(hex: text) else {
                throw CommandError(.callerUsage, "\(quoted(text)) is no key id", status: .usage)
            }
            return id
        }
        let request = RotationEngine.DestructionRequest(
            keyring: try Name(keyring), keys: keys.isEmpty ? nil : keys, reason: reason ?? "",
            backup: instance.configuration.backup, accepted: acceptUnread)
        if dryRun {
            let report = try await instance.engine.destructionReport(request)
            return Outcome(Report(report, report.blocks), status: report.obstacles.isEmpty ? .ok : .refused)
        }
        let entry = try await instance.engine.requestDestruction(request)
        let isRefused = entry.state == DestructionState.refused.rawValue
        let next =
            isRefused
            ? "refused: nothing was changed"
            : "waits for a second person (keyturn keyring approve \(entry.id)), or until \(entry.dueAt)"
        return Outcome(
            Report(entry, [.record(entry.fields)] + entry.report.blocks + [.lines([next])]),
            status: isRefused ? .refused : .ok)
    }
}

/// Implements `keyturn keyring destructions`.
struct KeyringDestructionsCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "destructions", abstract: "List what was destroyed, refused or waits, newest first.")

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let entries = try await instance.engine.destructions(backup: instance.configuration.backup)
        let columns = ["number", "keyring", "keys", "state", "asked for", "by", "approved by", "reason"]
        let rows = entries.map { entry in
            [
                String(entry.id), entry.keyring, entry.keys.joined(separator: " "), entry.state, entry.requestedAt,
                entry.requestedBy, entry.approvedBy ?? "", entry.reason,
            ]
        }
        return Outcome(Report(entries, [.table(nil, columns: columns.map { Table.Column($0) }, rows: rows)]))
    }
}

/// Implements `keyturn keyring approve`.
struct KeyringApproveCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve", abstract: "Agree to a destruction that someone else has asked for.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The destruction.")
    var id: Int64

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        try console.confirm("This agrees to destruction \(id)", byTyping: "approve")
        let entry = try await instance.engine.approveDestruction(id)
        return Outcome(Report(entry, [.record(entry.fields)]))
    }
}

/// Implements `keyturn keyring spare`.
struct KeyringSpareCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "spare", abstract: "Call a destruction off.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The destruction.")
    var id: Int64

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let entry = try await instance.engine.cancelDestruction(id)
        return Outcome(Report(entry, [.record(entry.fields)]))
    }
}

/// Implements `keyturn keyring erase`.
struct KeyringEraseCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "erase", abstract: "Carry out a destruction that was agreed to.",
        discussion: "Asks every condition again, erases the wrapped copies, and proves that nothing opens afterwards."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The destruction.")
    var id: Int64

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let all = try await instance.engine.destructions(backup: instance.configuration.backup)
        let word = all.first { $0.id == id }?.keyring ?? "erase"
        try console.confirm("This erases keys of \"\(word)\" for good", byTyping: word)
        let entry = try await instance.locked {
            try await instance.engine.destroy(id, backup: instance.configuration.backup)
        }
        let lines = [
            "erased; opening with these keys fails",
            "wrapped copies may remain in: "
                + (entry.report.versions.flatMap(\.wrappedIn).map { "backup \($0)" } + entry.report.remains)
                .joined(separator: "; "),
        ]
        return Outcome(Report(entry, [.record(entry.fields), .lines(lines)]))
    }
}

extension DestructionEntry {
    /// What people read.
    fileprivate var fields: [(String, String)] {
        [
            ("destruction", String(id)), ("keyring", keyring), ("keys", keys.joined(separator: ", ")), ("state", state),
            ("asked for", "\(requestedAt) by \(requestedBy)"), ("reason", reason),
            ("approved by", approvedBy ?? "nobody"), ("due", dueAt), ("ended", finishedAt ?? "not yet"),
        ]
    }
}

extension DestructionReport {
    /// What people read.
    fileprivate var blocks: [Report.Block] {
        let columns = ["key", "state", "retired"].map { Table.Column($0) }
        let rows = versions.map { version in
            [
                version.key, version.state, version.retiredAt ?? "never",
                version.neededBy.map(String.init).joined(separator: ", "),
                version.wrappedIn.map(String.init).joined(separator: ", "), Readable.count(version.liveValues),
            ]
        }
        let table = Report.Block.table(
            "what would go",
            columns: columns + ["backups that need it", "backups that hold it"].map { Table.Column($0) }
                + [Table.Column("live values", alignment: .right)], rows: rows)
        let verdict = obstacles.isEmpty ? ["nothing stands against it"] : obstacles.map { "against it: \($0)" }
        return [table, .lines(verdict)]
    }
}
