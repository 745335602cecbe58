internal import ArgumentParser
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Terminal

/// Implements `keyturn runs`.
struct RunsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs", abstract: "List the runs, or show one step by step.",
        subcommands: [RunsListCommand.self, RunsShowCommand.self], defaultSubcommand: RunsListCommand.self
    )
}

/// Implements `keyturn runs list`.
struct RunsListCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the runs, newest first.")

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let runs = try await instance.engine.runs()
        let columns = ["run", "kind", "keyring", "phase", "state", "started", "finished", "by"].map { Table.Column($0) }
        let rows = runs.map { run in
            [
                String(run.id), run.urgency == .emergency ? "\(run.kind.rawValue)!" : run.kind.rawValue,
                run.keyring.description,
                run.phase.rawValue, run.state.rawValue, run.startedAt.description, run.finishedAt?.description ?? "",
                run.actor,
            ]
        }
        return Outcome(Report(runs.map(RunSummary.init), [.table(nil, columns: columns, rows: rows)]))
    }
}

/// Implements `keyturn runs show`.
struct RunsShowCommand: InstanceCommand {
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

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let history = try await instance.engine.runHistory(run)
        if let proof { try write(history, to: proof) }
        return Outcome(history.report)
    }

    private func write(_ history: RunHistory, to path: String) throws {
        guard let signed = try SignedProof.decode(history.run.proof),
            let signature = Data(base64Encoded: signed.signature)
        else {
            throw CommandError(.callerFile, "run \(run) has no proof", hint: "A run is proved when it is verified.")
        }
        try OutputFile(path).write(Bytes(signed.statement.utf8))
        try OutputFile(path + ".sig").write(Bytes(signature))
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
struct RunPauseCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Pause a run after the batch in hand.",
        discussion: "It keeps its place; resume it when you like."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The run's number.")
    var run: Int64

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        try await instance.engine.ask(.pause, of: run)
        return Outcome(Report(["run": run], [.lines(["run \(run) pauses after the batch in hand"])]))
    }
}

/// Implements `keyturn run resume`.
struct RunResumeCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Go on with a run that was paused, interrupted or killed.",
        discussion: "Where another process still holds the paused run, that one goes on; otherwise this one drives it."
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var driving: DriveArguments

    @Argument(help: "The run's number.")
    var run: Int64

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        try await instance.engine.ask(.none, of: run)
        do {
            return try await instance.locked { try await driving.drive(run, instance, console, interrupt) }
        } catch let error as ControlStoreError where error.code == .storeLeaseHeld {
            let holder = try await instance.engine.liveLease()?.holder ?? "another process"
            return Outcome(Report(["run": run], [.lines(["run \(run) goes on in \(holder)"])]))
        }
    }
}

/// Implements `keyturn run cancel`.
struct RunCancelCommand: InstanceCommand {
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

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        try console.confirm("This cancels run \(run)", byTyping: String(run))
        try await instance.engine.ask(.cancel, of: run)
        do {
            _ = try await instance.locked {
                try await instance.engine.drive(run, DriveOptions(interrupt: interrupt, waitsForPeople: false))
            }
            return Outcome(Report(["run": run], [.lines(["run \(run) is cancelled"])]))
        } catch let error as ControlStoreError where error.code == .storeLeaseHeld {
            return Outcome(Report(["run": run], [.lines(["run \(run) ends after the batch in hand"])]))
        }
    }
}

/// Implements `keyturn run ack`.
struct RunAcknowledgeCommand: InstanceCommand {
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

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let name = try Name(consumer)
        try console.confirm("This says that \"\(name)\" holds the keys it needs for run \(run)", byTyping: consumer)
        let stage = try await instance.engine.acknowledge(run: run, consumer: name)
        let text = stage == .opens ? "can open with the new key" : "seals with the new key"
        return Outcome(Report(["consumer": consumer, "stage": stage.rawValue], [.lines(["\(name) \(text)"])]))
    }
}
