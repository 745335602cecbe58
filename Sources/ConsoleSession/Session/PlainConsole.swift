internal import Control
internal import Foundation
internal import KeyModel
internal import Terminal

/// A console without a terminal that can be edited on: reads lines, performs them, and writes what they come to.
///
/// Goes on after a failure; the exit code is that of the first one.
package final class PlainConsole {
    private let settings: ConsoleSettings
    private let connection: Connection
    private let client: ScriptClient
    private let isTerminal: Bool
    private var presentation: Presentation
    private let reader = LineReader()
    private var isLeaving = false
    private var isTiming = false
    private var status: Int32 = 0

    /// The most bytes of one input.
    private static let limit = 1 << 20

    /// Prepares a console.
    ///
    /// - Parameters:
    ///   - settings: What to do with results.
    ///   - isTerminal: Whether somebody types, who gets prompts.
    ///   - opening: Opens a way to the instance.
    package init(_ settings: ConsoleSettings, isTerminal: Bool, opening: @escaping Connection.Opening) {
        self.settings = settings
        self.isTerminal = isTerminal
        connection = Connection(opening)
        client = ScriptClient(settings)
        let size = TerminalSize(descriptor: STDOUT_FILENO, environment: settings.environment)
        presentation = Presentation(settings.format, width: isTerminal ? size.columns : nil)
    }

    /// Reads and performs until the input ends.
    ///
    /// - Returns: The exit code.
    package func run() async -> Int32 {
        let interruption = Interruption(connection)
        let signals = TerminalSignals([.interrupt]) { interruption.step() }
        defer { signals.stop() }
        await runStartupFile()
        var input = ""
        while !isLeaving {
            prompt(isContinued: !input.isEmpty)
            guard let line = await readLine() else { break }
            if input.isEmpty, line.first == "\\" {
                await perform(command: line)
                continue
            }
            if input.isEmpty, BackslashCommand.isFarewell(line) { break }
            input += input.isEmpty ? line : "\n" + line
            interruption.begin()
            if await perform(input) { input = "" }
            interruption.end()
            if input.utf8.count > Self.limit { input = "" }
        }
        if !input.isEmpty { report(ControlError(.callerIncomplete, "the last input is not complete")) }
        client.close()
        await connection.close()
        return isTerminal ? 0 : status
    }

    private func prompt(isContinued: Bool) {
        guard isTerminal else { return }
        TerminalDevice.write(isContinued ? "-> " : "\(settings.name)> ", to: STDOUT_FILENO)
    }

    private func runStartupFile() async {
        guard settings.readsStartupFile, isTerminal else { return }
        do {
            guard let script = try StartupFile.read(environment: settings.environment) else { return }
            _ = try await connection.perform(.script(script), for: client)
        } catch {
            report(error)
        }
    }

    /// Performs an input.
    ///
    /// - Returns: False where more lines are wanted.
    private func perform(_ input: String) async -> Bool {
        guard !input.allSatisfy(\.isWhitespace) else { return true }
        let start = ContinuousClock.now
        do {
            let script = Script(
                input, name: "console", isInteractive: true, confirmation: settings.confirmation)
            let answer = try await connection.perform(.script(script), for: client)
            client.finish()
            if !TerminalDevice.write(presentation.text(answer), to: STDOUT_FILENO) { isLeaving = true }
            if !answer.isGood, status == 0 { status = 1 }
        } catch let error as ControlError where error.means(.callerIncomplete) {
            return false
        } catch {
            report(error)
        }
        if isTiming { client.say("time: \(Readable.duration(start.duration(to: .now)))") }
        return true
    }

    private func perform(command line: String) async {
        do {
            switch try BackslashCommand(line) {
            case .help:
                let fields = BackslashCommand.list.map { Record.Field($0[0], $0[1]) }
                client.say(Record(fields).lines().joined(separator: "\n"))
            case .leave: isLeaving = true
            case .expand: presentation.isExpanded.toggle()
            case .format(let format): presentation.format = format ?? presentation.format
            case .timing: isTiming.toggle()
            case .history, .watch:
                throw ControlError(.callerUsage, "this command needs a terminal that can be edited on")
            }
        } catch {
            report(error)
        }
    }

    private func report(_ error: any Error) {
        client.finish()
        let text = presentation.text(error)
        TerminalDevice.write(text, to: presentation.isErrorOnOutput ? STDOUT_FILENO : STDERR_FILENO)
        if status == 0 { status = (error as? ControlError)?.status ?? 1 }
    }

    /// The next line without its end; nil at the end of the input.
    private func readLine() async -> String? {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { [reader] in continuation.resume(returning: reader.next()) }
        }
    }
}

/// Reads lines of standard input.
private final class LineReader: @unchecked Sendable {
    // Safety: read by one line at a time, each on a thread that ends before the next begins.
    private var buffered: [UInt8] = []
    private var hasEnded = false

    /// The most bytes of a line; what goes beyond begins a line of its own.
    private static let limit = 1 << 20

    func next() -> String? {
        while true {
            if let end = buffered.firstIndex(of: 0x0A) ?? (buffered.count >= Self.limit ? Self.limit - 1 : nil) {
                let line = buffered[..<end]
                buffered.removeFirst(min(end + 1, buffered.count))
                return Self.text(line)
            }
            guard !hasEnded else {
                defer { buffered = [] }
                return buffered.isEmpty ? nil : Self.text(buffered[...])
            }
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            let count = read(STDIN_FILENO, &bytes, bytes.count)
            if count > 0 { buffered += bytes[..<count] } else if count == 0 || errno != EINTR { hasEnded = true }
        }
    }

    private static func text(_ line: ArraySlice<UInt8>) -> String {
        String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
    }
}

/// What SIGINT does: stops what runs, a little harder each time, or ends the console where nothing does.
private final class Interruption: Sendable {
    private let connection: Connection
    private let times = Counter(from: -1)

    init(_ connection: Connection) { self.connection = connection }

    func begin() { times.set(0) }
    func end() { times.set(-1) }

    func step() {
        switch times.next() {
        case 1: Task { [connection] in await connection.cancel() }
        case 2: Task { [connection] in await connection.killScript() }
        default: _exit(130)
        }
    }
}
