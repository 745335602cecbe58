internal import ArgumentParser
internal import Control
internal import Foundation
internal import Frames
internal import Rotation

extension KeyListForm: ExpressibleByArgument {}

/// Implements `keyturn keyring`.
struct KeyringCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keyring", abstract: "List, show, import, export or destroy keys.",
        subcommands: [
            KeyringListCommand.self, KeyringShowCommand.self, KeyringImportCommand.self, KeyringExportCommand.self,
            KeyringDestroyCommand.self, KeyringDestructionsCommand.self, KeyringApproveCommand.self,
            KeyringSpareCommand.self, KeyringEraseCommand.self,
        ]
    )
}

/// Implements `keyturn keyring list`.
struct KeyringListCommand: CallCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the keyrings.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("keyrings.list") }
}

/// Implements `keyturn keyring show`.
struct KeyringShowCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a keyring: its versions, and who moved them when and why."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("keyrings.show", ["name": .string(name)])
    }
}

/// Implements `keyturn keyring import`.
struct KeyringImportCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Take over the keys that an application has used so far.",
        discussion: "The first key seals from now on, any others only open. The file may be removed afterwards."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring, declared and still without keys.")
    var name: String

    @Option(name: .long, help: "The core that the keys are for, as a check.")
    var core: String?

    @Option(name: .long, help: "The file with the keys; - for standard input.")
    var fromFile: String

    @Option(name: .long, help: "How the keys stand there: lines or fernet-list.")
    var form: KeyListForm = .lines

    func perform(_ caller: Caller) async throws -> Outcome {
        let arguments: [String: FrameValue?] = [
            "name": .string(name), "form": .string(form.rawValue), "core": .text(core),
        ]
        let input = try InputFile(fromFile).open()
        return caller.outcome(of: try await caller.call("keyrings.import", arguments, descriptors: [input]))
    }
}

/// Implements `keyturn keyring export`.
struct KeyringExportCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Print a keyring's keys for the application that holds them itself.",
        discussion: """
            One line on standard output, or in a file of mode 0600. Before a run has activated its key the new key comes last, \
            afterwards first. Asks for the keyring's name first; the keys are never logged.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var name: String

    @Option(name: .long, help: "How to write the keys: lines or fernet-list.")
    var form: KeyListForm = .lines

    @Option(name: .long, help: "Write to this new file, mode 0600, instead of standard output.")
    var toFile: String?

    func perform(_ caller: Caller) async throws -> Outcome {
        let file = try HandedFile(toFile)
        do {
            _ = try await caller.call(
                "keyrings.export", ["name": .string(name), "form": .string(form.rawValue)],
                descriptors: [try file.handOver()])
        } catch {
            file.remove()
            throw error
        }
        return Outcome(nil)
    }
}
