internal import ArgumentParser
internal import Control
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Providers
internal import Rotation

/// Implements `keyturn root`.
struct RootCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "root", abstract: "Export the root key for safe-keeping, restore it, or drop old generations.",
        subcommands: [RootExportCommand.self, RootRestoreCommand.self, RootPruneCommand.self]
    )
}

/// Implements `keyturn root export`.
struct RootExportCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write an encrypted copy of root.key.",
        discussion:
            "In the age format, for recipients or under a passphrase; the program \"age\" opens it without Keyturn."
    )

    @OptionGroup var global: GlobalOptions

    @Option(name: .long, help: "Encrypt for this recipient (age1…); may be repeated.")
    var recipient: [String] = []

    @Flag(name: .long, help: "Encrypt under a passphrase, asked for on the terminal.")
    var passphrase = false

    @Option(name: .long, help: "The new file.")
    var to: String

    func validate() throws {
        if passphrase == !recipient.isEmpty { throw ValidationError("give either --recipient or --passphrase") }
    }

    func perform(_ caller: Caller) async throws -> Outcome {
        let file = try HandedFile(to)
        do {
            _ = try await caller.call(
                "root.export", ["recipients": .texts(recipient)], descriptors: [try file.handOver()])
        } catch {
            file.remove()
            throw error
        }
        return Outcome(
            Report(
                ["file": to],
                [.lines(["root.key is exported to \(to); keep it where this machine's loss does not reach it"])]))
    }
}

/// Implements `keyturn root restore`.
struct RootRestoreCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Bring root.key back from an exported copy.",
        discussion:
            "Only where there is none; asks for the passphrase on the terminal unless an identity file is given."
    )

    @OptionGroup var global: GlobalOptions

    @Option(name: .long, help: "The exported copy.")
    var from: String

    @Option(name: .long, help: "The age identity file to open it with.")
    var identity: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let directory = try global.directory()
        let escrow = RootKeyEscrow(
            file: RootKeyFile(path: directory.rootKey), environment: ProcessInfo.processInfo.environment
        )
        try escrow.restore(from: from, identity: identity)
        return Outcome(Report(["file": directory.rootKey], [.lines(["root.key is restored"])]))
    }
}

/// Implements `keyturn root prune`.
struct RootPruneCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Drop the generations of the root key that nothing needs any more.",
        discussion: "Ends with 3 while keys or backups need each of them."
    )

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("root.prune") }
}
