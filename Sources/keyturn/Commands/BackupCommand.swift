internal import ArgumentParser
internal import Control
internal import Foundation
internal import Frames

/// Implements `keyturn backup`.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Make, prove, restore and remove backups.",
        subcommands: [
            BackupCreateCommand.self, BackupListCommand.self, BackupShowCommand.self, BackupVerifyCommand.self,
            BackupRestoreCommand.self, BackupPruneCommand.self, BackupRemoveCommand.self, BackupPinCommand.self,
            BackupUnpinCommand.self, BackupDrillCommand.self, BackupImportCommand.self, BackupRoomCommand.self,
        ]
    )
}

/// Implements `keyturn backup create`.
struct BackupCreateCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a backup, prove it, and list it.",
        discussion:
            "Nothing is listed unless every step succeeded. With --run it is the backup before or after that run.")

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

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(
            "backups.create",
            [
                "run": run.map { .integer($0) }, "stage": .text(stage), "verify": .text(verify), "pin": .flag(pin),
                "may_shrink": .flag(mayShrink),
            ])
    }
}

/// Implements `keyturn backup list`.
struct BackupListCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the backups, newest first.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("backups.list")
    }
}

/// Implements `keyturn backup show`.
struct BackupShowCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a backup and its manifest.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("backups.show", ["id": .integer(id)])
    }
}

/// Implements `keyturn backup verify`.
struct BackupVerifyCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Prove a backup that is there.",
        discussion: "By default it is restored aside and opened with nothing but the keyring inside.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    @Option(name: .long, help: "How far: format, checksums or restore.")
    var level = "restore"

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(
            "backups.verify",
            ["id": .integer(id), "verify": .string(level), "identity": .text(identity.map(absolutePath))])
    }
}

/// Implements `keyturn backup restore`.
struct BackupRestoreCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Restore a backup to a new file, database or folder, and open it there.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    @Option(name: .long, help: "A new file, the connection string of a new database, or a new folder.")
    var to: String

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    @Flag(name: .long, help: "Replace what stands there, after a typed confirmation.")
    var replace = false

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(
            replace ? "backups.replace" : "backups.restore",
            [
                "id": .integer(id), "to": .string(absolutePlace(to)),
                "identity": .text(identity.map(absolutePath)),
            ])
    }
}

/// Implements `keyturn backup prune`.
struct BackupPruneCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Remove the backups that retention lets go.",
        discussion: "Never below two that are verified, and nothing while a run owes the backup after it.")

    @OptionGroup var global: GlobalOptions

    @Flag(name: .long, help: "Only say what would go.")
    var dryRun = false

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(dryRun ? "backups.expendable" : "backups.prune")
    }
}

/// Implements `keyturn backup remove`.
struct BackupRemoveCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove one backup for good, whatever its age.",
        discussion: """
            After a leak: make new backups, remove those that the leaked key opens, then destroy the key. Never below two \
            that are verified.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("backups.remove", ["id": .integer(id)])
    }
}

/// Implements `keyturn backup pin`.
struct BackupPinCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin", abstract: "Keep a backup whatever its age.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("backups.pin", ["id": .integer(id)])
    }
}

/// Implements `keyturn backup unpin`.
struct BackupUnpinCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpin", abstract: "Leave a backup to retention again.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup.")
    var id: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("backups.pin", ["id": .integer(id), "pinned": false])
    }
}

/// Implements `keyturn backup drill`.
struct BackupDrillCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "drill", abstract: "Restore a backup aside, open it completely, and record the outcome.",
        discussion: "Ends with 1 where it does not open completely.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup; default: the newest.")
    var id: Int64?

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(
            "backups.drill", ["id": id.map { .integer($0) }, "identity": .text(identity.map(absolutePath))])
    }
}

/// Implements `keyturn backup import`.
struct BackupImportCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Take a backup into the catalogue that has its manifest beside it.",
        discussion: "As after the database was set back, when the catalogue in it is older than the folder.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The backup's file.")
    var file: String

    @Option(name: .long, help: "How far it is proved: format, checksums or restore.")
    var verify = "checksums"

    @Option(name: .long, help: "The file with a secret key that opens it.")
    var identity: String?

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(
            "backups.import",
            [
                "path": .string(absolutePath(file)), "verify": .string(verify),
                "identity": .text(identity.map(absolutePath)),
            ])
    }
}

/// Implements `keyturn backup room`.
struct BackupRoomCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "room", abstract: "Say what the next backup takes and what is free.",
        discussion: "Ends with 3 where it would not fit.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("backups.room", elseEnding: .refused)
    }
}

/// A path as the daemon understands it, whatever folder it works in.
func absolutePath(_ path: String) -> String { URL(filePath: path).standardizedFileURL.path }

/// A place to restore to as the daemon understands it; connection strings of libpq stay as they are.
private func absolutePlace(_ place: String) -> String {
    if place.contains("://") || place.contains("=") { return place }
    let prefix = "sqlite:"
    return place.hasPrefix(prefix) ? prefix + absolutePath(String(place.dropFirst(prefix.count))) : absolutePath(place)
}
