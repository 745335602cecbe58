internal import ArgumentParser
internal import ControlStore
internal import KeyModel
internal import Rotation

/// Implements `keyturn recover`.
struct RecoverCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Accept a database that was set back: restored, failed over, or put in place.",
        discussion: """
            Until then only opening works. Open runs are cancelled and destroyed keys are struck out again; rotate afterwards, \
            since values may lie under keys that were already left behind.
            """
    )

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let directory = try global.directory()
        _ = try directory.read()
        try console.confirm("This accepts the database as it stands now", byTyping: "recover")
        let instance = try await OpenInstance.open(directory, appliesConfiguration: false, beginsJournal: true)
        let recovery = try await instance.locked { try await instance.engine.recover() }
        let runs = recovery.cancelledRuns.map { "run \($0) is cancelled" }
        let keys = recovery.destroyedKeys.map { "key \($0) is struck out again" }
        return Outcome(
            Report(recovery, [.lines(["the database is accepted at epoch \(recovery.epoch)"] + runs + keys)]))
    }
}

/// Implements `keyturn version`.
struct VersionCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        Outcome(Report(["version": Version.text], [.lines(["keyturn \(Version.text)"])]))
    }
}
