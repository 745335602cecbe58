internal import Control
internal import Foundation
internal import KeyModel
internal import Terminal

/// Runs Lua from a command line, a file or standard input: to its end or its first error.
///
/// Results go to standard output, everything else to standard error, and what a script prints to whichever of the two keeps standard
/// output readable for programs.
package final class ScriptRun {
    /// Where the Lua comes from.
    package enum Source: Hashable, Sendable {
        /// The command line.
        case text(String)
        /// A file, whose own lines may be commands of the console.
        case file(name: String, text: String)
        /// Standard input.
        case input(String)
    }

    /// Whether there is a person who can be asked.
    package static var hasPerson: Bool { ScriptClient.hasPerson }

    private let settings: ConsoleSettings
    private let connection: Connection
    private let client: ScriptClient
    private let arguments: [String]
    private let isFormatFixed: Bool
    private var presentation: Presentation
    private var isTiming = false
    private var hasLeft = false

    /// Prepares to run scripts.
    ///
    /// - Parameters:
    ///   - settings: What to do with results.
    ///   - arguments: What scripts find in `arg`.
    ///   - opening: Opens a way to the instance.
    package init(_ settings: ConsoleSettings, arguments: [String], opening: @escaping Connection.Opening) {
        self.settings = settings
        self.arguments = arguments
        connection = Connection(opening)
        isFormatFixed = settings.format.isForPrograms
        let isTerminal = TerminalSize.isTerminal(STDOUT_FILENO)
        let size = TerminalSize(descriptor: STDOUT_FILENO, environment: settings.environment)
        presentation = Presentation(
            settings.format, width: isTerminal ? size.columns : nil,
            style: Style(environment: settings.environment, isTerminal: isTerminal))
        client = ScriptClient(settings)
    }

    /// Runs a script.
    ///
    /// - Returns: The exit code.
    package func run(_ source: Source) async -> Int32 {
        let stopping = Stopping(connection, client)
        let signals = TerminalSignals([.interrupt, .end]) { stopping.step() }
        defer { signals.stop() }
        let status = await perform(source)
        client.close()
        await connection.close()
        return status
    }

    private func perform(_ source: Source) async -> Int32 {
        do {
            switch source {
            case .text(let text): return try await finish(text, name: "-c", isInteractive: true)
            case .input(let text): return try await finish(text, name: "stdin", isInteractive: false)
            case .file(let name, let text): return try await perform(ScriptText(text).pieces, name: name)
            }
        } catch {
            return fail(error)
        }
    }

    /// Runs the pieces of a file; where programs read the output, it is one result: that of the last piece.
    private func perform(_ pieces: [ScriptText.Piece], name: String) async throws -> Int32 {
        let last = pieces.lastIndex { if case .lua = $0 { true } else { false } }
        var status: Int32 = 0
        for (place, piece) in pieces.enumerated() where !hasLeft {
            switch piece {
            case .command(let line): try await perform(try BackslashCommand(line), name: name)
            case .lua(let text):
                let isShown = !isFormatFixed || place == last
                status = max(status, try await finish(text, name: name, isInteractive: false, isShown: isShown))
            }
        }
        return status
    }

    private func finish(
        _ text: String, name: String, isInteractive: Bool, isShown: Bool = true
    ) async throws -> Int32 {
        let start = ContinuousClock.now
        let script = Script(
            text, name: name, isInteractive: isInteractive, arguments: arguments, confirmation: settings.confirmation)
        let answer = try await connection.perform(.script(script), for: client)
        client.finish()
        if isShown { TerminalDevice.write(presentation.text(answer), to: STDOUT_FILENO) }
        if isTiming { client.say("time: \(Readable.duration(start.duration(to: .now)))") }
        return answer.isGood ? 0 : 1
    }

    private func perform(_ command: BackslashCommand, name: String) async throws {
        switch command {
        case .help, .history:
            throw ControlError(.callerUsage, "\(name.escapedForTerminal) holds a command that is for people only")
        case .leave: hasLeft = true
        case .expand: presentation.isExpanded.toggle()
        case .timing: isTiming.toggle()
        case .format(let format):
            guard !isFormatFixed else {
                throw ControlError(
                    .callerUsage, "\\o cannot change the format that -o chose",
                    hint: "Leave -o away, or take \\o out of the file.")
            }
            presentation.format = format ?? presentation.format
        case .watch(let seconds, let input):
            while true {
                let script = Script(
                    input, name: name, isInteractive: true, arguments: arguments, confirmation: settings.confirmation)
                let answer = try await connection.perform(.script(script), for: client)
                guard TerminalDevice.write(presentation.text(answer), to: STDOUT_FILENO) else { return }
                try await Task.sleep(for: .seconds(seconds))
            }
        }
    }

    private func fail(_ error: any Error) -> Int32 {
        client.finish()
        let text: String
        if presentation.isErrorOnOutput {
            text = presentation.text(error)
        } else {
            let coded = error as? any CodedError
            let hint = coded?.hint.map { "hint: \($0.escapedForTerminal)\n" } ?? ""
            text = "keyturn: \((coded?.message ?? "\(error)").escapedLines)\n\(hint)"
        }
        TerminalDevice.write(text, to: presentation.isErrorOnOutput ? STDOUT_FILENO : STDERR_FILENO)
        return (error as? ControlError)?.status ?? 1
    }
}

/// Stops a script a little harder with each signal.
private final class Stopping: Sendable {
    private let connection: Connection
    private let client: ScriptClient
    private let times = Counter()

    init(_ connection: Connection, _ client: ScriptClient) {
        self.connection = connection
        self.client = client
    }

    func step() {
        switch times.next() {
        case 1: Task { [connection] in await connection.cancel() }
        case 2: Task { [connection] in await connection.killScript() }
        default:
            client.close()
            _exit(130)
        }
    }
}
