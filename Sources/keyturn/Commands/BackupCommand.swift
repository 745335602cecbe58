internal import ArgumentParser
internal import Backups
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Rotation
internal import Terminal

/// Implements `keyturn backup`.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Make, prove, restore and remove backups.",
        subcommands: [
            BackupCreateCommand.self, BackupListCommand.self, BackupShowCommand.self, BackupVerifyCommand.self,
            BackupRestoreCommand.self, BackupPruneCommand.self, BackupPinCommand.self, BackupUnpinCommand.self,
            BackupDrillCommand.self, BackupImportCommand.self, BackupRoomCommand.self,
        ]
    )
}

/// Implements `keyturn backup create`.
struct BackupCreateCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a backup, prove it, and list it.",
        discussion:
            "Nothing is listed unless every step succeeded. With --run it is the backup before or after that run."
    )

    @OptionGroup var global: GlobalOptions

    @Option(name: .long, help: "The run that it belongs to.")
    var run: Int64?

    @Option(name: .long, help: "When in that run: before or after; default: where the run stands.")
    var stage: String?

    @Option(name: .long, help: "How far it is proved: format, checksums or restore.")
    var verify: String?

    @Flag(name: .long, help: "Keep it whatever its age.")
    var pin = false

    @Flag(name: .long, help: "Accept it though it is less than half as large as the one before.")
    var mayShrink = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: true).backups()
        let request = CreateRequest(
            run: run, stage: try word(stage, "--stage") { BackupStage(rawValue: $0) },
            verify: try word(verify, "--verify") { BackupLevel(word: $0) }, isPinned: pin, mayShrink: mayShrink)
        let entry = try await stoppable(interrupt) { try await service.create(request) }
        return Outcome(Report(entry, [.record(entry.fields)]))
    }
}

/// Implements `keyturn backup list`.
struct BackupListCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the backups, newest first.")

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let entries = try await service.list()
        let columns = ["backup", "made", "how", "run", "stage", "verified", "keys", "expires"].map { Table.Column($0) }
        let rows = entries.map { entry in
            [
                String(entry.id), entry.finishedAt, entry.method, entry.run.map(String.init) ?? "", entry.stage,
                entry.isPresent ? entry.verified : "missing",
                entry.keys.joined(separator: " ") + (entry.keysScanned ? "" : " (not scanned)"),
                entry.isPinned ? "pinned" : entry.expiresAt ?? "",
                Readable.count(entry.bytes),
            ]
        }
        let table = Report.Block.table(
            nil, columns: columns + [Table.Column("bytes", alignment: .right)], rows: rows)
        return Outcome(Report(entries, [table]))
    }
}

/// Implements `keyturn backup show`.
struct BackupShowCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show a backup and its manifest.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    private struct Shown: Encodable {
        let backup: BackupEntry
        let manifest: BackupManifest
    }

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let (entry, manifest) = try await service.show(id)
        let proof = manifest.proof.map {
            "\($0.opened) values, \($0.canaries) canaries, \($0.exceptions) exceptions, root key from \($0.rootFrom)"
        }
        let more = [
            ("made by", "\(manifest.tool) \(manifest.toolVersion)"), ("sha256", manifest.sha256),
            ("encrypted for", manifest.wrappedBy.isEmpty ? "nobody" : manifest.wrappedBy.joined(separator: ", ")),
            ("proof", proof ?? "not restored yet"),
        ]
        return Outcome(Report(Shown(backup: entry, manifest: manifest), [.record(entry.fields + more)]))
    }
}

/// Implements `keyturn backup verify`.
struct BackupVerifyCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Prove a backup that is there.",
        discussion: "By default it is restored aside and opened with nothing but the keyring inside."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    @Option(name: .long, help: "How far: format, checksums or restore.")
    var level = "restore"

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let level = try word(level, "--level") { BackupLevel(word: $0) } ?? .restored
        let entry = try await stoppable(interrupt) { try await service.verify(id, level: level, identity: identity) }
        return Outcome(Report(entry, [.record(entry.fields)]))
    }
}

/// Implements `keyturn backup restore`.
struct BackupRestoreCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Restore a backup to a new file, database or folder, and open it there."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    @Option(name: .long, help: "A new file, the connection string of a new database, or a new folder.")
    var to: String

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    @Flag(name: .long, help: "Replace what stands there, after a typed confirmation.")
    var replace = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        if replace { try console.confirm("This replaces what stands at the place that was named", byTyping: "replace") }
        let result = try await stoppable(interrupt) {
            try await service.restore(id, to: to, identity: identity, mayReplace: replace)
        }
        let isWhole = result.unopenable ?? 0 == 0
        return Outcome(
            Report(
                result,
                [
                    .record([
                        ("backup", String(result.backup)), ("restored to", result.place),
                        ("values opened", result.opened.map { Readable.count($0) } ?? "not yet"),
                        ("values that do not open", result.unopenable.map { Readable.count($0) } ?? "not yet"),
                    ]), .lines(result.next),
                ]), status: isWhole ? .ok : .failed)
    }
}

/// Implements `keyturn backup prune`.
struct BackupPruneCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Remove the backups that retention lets go.",
        discussion: "Never below two that are verified, and nothing while a run owes the backup after it."
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .long, help: "Only say what would go.")
    var dryRun = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: true).backups()
        let plan = try await service.prune(isDryRun: true)
        if !dryRun, !plan.removed.isEmpty {
            try console.confirm("This removes \(plan.removed.count) backups for good", byTyping: "prune")
        }
        let result = dryRun ? plan : try await service.prune()
        func list(_ ids: [Int64]) -> String { ids.isEmpty ? "none" : ids.map(String.init).joined(separator: ", ") }
        let lines = result.reasons
        return Outcome(
            Report(
                result,
                [.record([(dryRun ? "would go" : "removed", list(result.removed)), ("kept", list(result.kept))])]
                    + (lines.isEmpty ? [] : [.lines(lines)])))
    }
}

/// Implements `keyturn backup pin`.
struct BackupPinCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin", abstract: "Keep a backup whatever its age.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let entry = try await service.pin(id)
        return Outcome(Report(entry, [.record(entry.fields)]))
    }
}

/// Implements `keyturn backup unpin`.
struct BackupUnpinCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpin", abstract: "Leave a backup to retention again.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let entry = try await service.pin(id, false)
        return Outcome(Report(entry, [.record(entry.fields)]))
    }
}

/// Implements `keyturn backup drill`.
struct BackupDrillCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "drill", abstract: "Restore a backup aside, open it completely, and record the outcome.",
        discussion: "Ends with 1 where it does not open completely."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup; default: the newest.")
    var id: Int64?

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let result = try await stoppable(interrupt) { try await service.drill(id, identity: identity) }
        return Outcome(
            Report(
                result,
                [
                    .record([
                        ("backup", String(result.backup)), ("drill", result.isPassed ? "passed" : "failed"),
                        ("took", "\(result.milliseconds) ms"), ("found", result.report),
                    ])
                ]), status: result.isPassed ? .ok : .failed)
    }
}

/// Implements `keyturn backup import`.
struct BackupImportCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Take a backup into the catalogue that has its manifest beside it.",
        discussion: "As after the database was set back, when the catalogue in it is older than the folder."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup's file.")
    var file: String

    @Option(name: .long, help: "How far it is proved: format, checksums or restore.")
    var verify = "checksums"

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let level = try word(verify, "--verify") { BackupLevel(word: $0) } ?? .checksums
        let entry = try await stoppable(interrupt) {
            try await service.importBackup(file, level: level, identity: identity)
        }
        return Outcome(Report(entry, [.record(entry.fields)]))
    }
}

/// Implements `keyturn backup room`.
struct BackupRoomCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "room", abstract: "Say what the next backup takes and what is free.",
        discussion: "Ends with 3 where it would not fit."
    )

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let service = try await OpenInstance.open(try global.directory(), appliesConfiguration: false).backups()
        let room = try await service.room()
        func show(_ bytes: Int64?) -> String { bytes.map { Readable.count($0) + " bytes" } ?? "unknown" }
        return Outcome(
            Report(
                room,
                [
                    .record([
                        ("database", show(room.database)), ("its log", show(room.log)), ("folder", room.directory),
                        ("needed there", show(room.needed)), ("free there", show(room.free)),
                        ("scratch folder", room.scratch), ("needed there to prove it", show(room.scratchNeeded)),
                        ("free there", show(room.scratchFree)),
                    ]), .lines([room.obstacle ?? "it fits"]),
                ]), status: room.obstacle == nil ? .ok : .refused)
    }
}

extension BackupEntry {
    /// What people read.
    fileprivate var fields: [(String, String)] {
        [
            ("backup", String(id)), ("file", location), ("bytes", Readable.count(bytes)), ("made", finishedAt),
            ("how", method), ("run", run.map(String.init) ?? "none"), ("stage", stage),
            ("verified", "\(isPresent ? verified : "missing") at \(verifiedAt)"),
            ("keys of its values", keys.joined(separator: ", ") + (keysScanned ? "" : " (not scanned)")),
            ("kept", isPinned ? "pinned" : expiresAt.map { "until \($0)" } ?? "by count"),
        ]
    }
}

/// Reads a word that an option was given.
///
/// - Throws: ``CommandError`` with exit code 64 where there is no such word.
private func word<Value>(_ text: String?, _ option: String, _ read: (String) -> Value?) throws -> Value? {
    guard let text else { return nil }
    guard let value = read(text) else {
        throw CommandError(.callerUsage, "\(option) does not know \(quoted(text))", status: .usage)
    }
    return value
}

/// Runs work that the first Ctrl-C cancels.
private func stoppable<Value: Sendable>(
    _ interrupt: Interrupt, _ work: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    do {
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                while !interrupt.isSet { try await Task.sleep(for: .milliseconds(100)) }
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let value = first else { throw CancellationError() }
            return value
        }
    } catch is CancellationError where interrupt.isSet {
        throw CommandError(
            .callerInterrupted, "interrupted", hint: "What was begun is removed; the catalogue is as it was.",
            status: .interrupted)
    }
}
