internal import ArgumentParser
internal import Foundation
internal import KeyModel
internal import Rotation
internal import Terminal

/// A command that works on an instance and hands back what to print.
protocol InstanceCommand: AsyncParsableCommand {
    /// The options that every command takes.
    var global: GlobalOptions { get }

    /// Does the work.
    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome
}

/// What a command came to.
struct Outcome {
    /// What to print on standard output; nil for nothing.
    let report: Report?
    /// The exit code.
    let status: ExitStatus

    init(_ report: Report?, status: ExitStatus = .ok) {
        self.report = report
        self.status = status
    }
}

/// Runs one command: signals, output, errors, exit code.
struct Execution {
    let global: GlobalOptions

    func run(_ command: any InstanceCommand) async -> ExitStatus {
        let interrupt = Interrupt()
        let console = Console(global, interrupt)
        let signals = InterruptSignals(interrupt)
        defer { signals.stop() }
        do {
            let outcome = try await command.perform(console, interrupt)
            if let report = outcome.report { try console.print(report) }
            return outcome.status
        } catch {
            console.finishProgress()
            return console.fail(error)
        }
    }
}

/// Raises the interrupt at the first SIGINT or SIGTERM; a second one ends the process at once, which loses nothing.
final class InterruptSignals {
    private let sources: [any DispatchSourceSignal]

    init(_ interrupt: Interrupt) {
        sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                if interrupt.isSet { _exit(ExitStatus.interrupted.rawValue) }
                interrupt.set()
            }
            source.resume()
            return source
        }
    }

    func stop() { sources.forEach { $0.cancel() } }
}
