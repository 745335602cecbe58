internal import ArgumentParser
internal import Control
internal import Foundation
internal import Frames

/// Implements `keyturn runs`.
struct RunsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs", abstract: "List the runs, or show one step by step.",
        subcommands: [RunsListCommand.self, RunsShowCommand.self], defaultSubcommand: RunsListCommand.self
    )
}

/// Implements `keyturn runs list`.
struct RunsListCommand: CallCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the runs, newest first.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("runs.list") }
}

/// Implements `keyturn runs show`.
struct RunsShowCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show one run: its steps, its counts, what it quarantined, its proof.",
        discussion: """
            With --proof the signed statement is written to FILE and its signature to FILE.sig, so that "openssl pkeyutl \
            -verify -rawin" can check it with the public key that is printed.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The run's number.")
    var run: Int64

    @Option(name: .long, help: "Write the proof to this file.")
    var proof: String?

    func perform(_ caller: Caller) async throws -> Outcome {
        let shown = try await caller.call("runs.show", ["run": .integer(run)])
        if let proof { try write(try await caller.call("runs.proof", ["run": .integer(run)]).value, to: proof) }
        return Outcome(Report(shown))
    }

    private func write(_ proof: FrameValue, to path: String) throws {
        guard case .string(let statement)? = proof["statement"], case .string(let text)? = proof["signature"],
            let signature = Data(base64Encoded: text)
        else { throw CommandError(.callerFile, "the proof of run \(run) cannot be read") }
        try OutputFile(path).write(Array(statement.utf8))
        try OutputFile(path + ".sig").write(Array(signature))
    }
}

/// Implements `keyturn run`.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Pause, resume, cancel or acknowledge a run.",
        subcommands: [RunPauseCommand.self, RunResumeCommand.self, RunCancelCommand.self, RunAcknowledgeCommand.self]
    )
}

/// Implements `keyturn run pause`.
struct RunPauseCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Pause a run after the batch in hand.",
        discussion: "It keeps its place; resume it when you like."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The run's number.")
    var run: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("runs.pause", ["run": .integer(run)])
    }
}

/// Implements `keyturn run resume`.
struct RunResumeCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Go on with a run that was paused, interrupted or killed.",
        discussion: "Where another process still holds the paused run, that one goes on; otherwise this one drives it."
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var driving: DriveArguments

    @Argument(help: "The run's number.")
    var run: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("runs.resume", driving.named(["run": .integer(run)]))
    }
}

/// Implements `keyturn run cancel`.
struct RunCancelCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Cancel a run after the batch in hand.",
        discussion: """
            Before the new key is active it is discarded and nothing has changed. Afterwards the run only stops: rows not yet \
            rewritten stay under the older key, and the next rotation takes them along.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The run's number.")
    var run: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("runs.cancel", ["run": .integer(run)])
    }
}

/// Implements `keyturn run ack`.
struct RunAcknowledgeCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "ack", abstract: "Say that a consumer can go along with a run.",
        discussion: """
            First when it can open with the new key (export: old first), then when it seals with it (export: new first); a \
            run waits for every consumer that the keyring declares.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The run's number.")
    var run: Int64

    @Option(name: .long, help: "The consumer.")
    var consumer: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("runs.acknowledge", ["run": .integer(run), "consumer": .string(consumer)])
    }
}
