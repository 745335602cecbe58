internal import ArgumentParser
internal import Control
internal import KeyModel
internal import Rotation

/// Implements `keyturn recover`.
struct RecoverCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Accept a database that was set back: restored, failed over, or put in place.",
        discussion: """
            Until then only opening works. Open runs are cancelled and destroyed keys are struck out again; rotate afterwards, \
            since values may lie under keys that were already left behind.
            """
    )

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("recover") }
}

/// Implements `keyturn version`.
struct VersionCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        Outcome(Report(["version": Version.text], [.lines(["keyturn \(Version.text)"])]))
    }
}
