internal import Control
internal import Foundation
internal import Synchronization
internal import Terminal

/// Shows what happens while a script runs, and asks where there is a terminal to ask on.
final class ScriptClient: ControlClient {
    private struct State {
        var isLineShown = false
        var lastPlain: (phase: String, time: ContinuousClock.Instant)?
        /// The terminal's modes while something is typed that must not be shown.
        var hidden: termios?
    }

    private let settings: ConsoleSettings
    private let state = Mutex(State())
    private let rewritesLine: Bool
    private let style: Style

    init(_ settings: ConsoleSettings) {
        self.settings = settings
        let isTerminal = TerminalSize.isTerminal(STDERR_FILENO)
        rewritesLine = isTerminal && settings.environment["TERM"] != "dumb"
        style = Style(environment: settings.environment, isTerminal: isTerminal)
    }

    /// Whether there is a person who can be asked.
    static var hasPerson: Bool { TerminalSize.isTerminal(STDIN_FILENO) && TerminalSize.isTerminal(STDERR_FILENO) }

    func show(_ event: ControlEvent) async {
        switch event {
        case .output(let text):
            finish()
            let stream = settings.format.isForPrograms ? STDERR_FILENO : STDOUT_FILENO
            TerminalDevice.write(text.escapedLines + (text.hasSuffix("\n") ? "" : "\n"), to: stream)
        case .note(let text): if !settings.isQuiet { say(text) }
        case .warning(let text): say("warning: \(text)")
        case .review(let answer): say(String(Presentation(.table, style: style).review(answer).dropLast()))
        case .progress(let now): show(now)
        }
    }

    func answer(_ question: Question) async -> String? {
        guard Self.hasPerson else { return nil }
        finish()
        TerminalDevice.write("\(question.text.escapedLines): ", to: STDERR_FILENO)
        tcflush(STDIN_FILENO, TCIFLUSH)
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: self.readLine(isSecret: question.isSecret)) }
        }
    }

    /// Says something on standard error.
    func say(_ text: String) {
        finish()
        TerminalDevice.write(text.escapedLines + "\n", to: STDERR_FILENO)
    }

    /// Takes the line of progress off the terminal.
    func finish() {
        let wasShown = state.withLock { state in
            defer { state.isLineShown = false }
            return state.isLineShown
        }
        if wasShown { TerminalDevice.write("\r\u{1B}[K", to: STDERR_FILENO) }
    }

    /// Leaves the terminal as it was.
    func close() {
        finish()
        unhide()
    }

    private func hide() {
        state.withLock { state in
            var modes = termios()
            guard tcgetattr(STDIN_FILENO, &modes) == 0 else { return }
            state.hidden = modes
            modes.c_lflag &= ~tcflag_t(ECHO)
            tcsetattr(STDIN_FILENO, TCSADRAIN, &modes)
        }
    }

    private func unhide() {
        let wasHidden = state.withLock { state in
            guard var modes = state.hidden else { return false }
            tcsetattr(STDIN_FILENO, TCSADRAIN, &modes)
            state.hidden = nil
            return true
        }
        if wasHidden { TerminalDevice.write("\n", to: STDERR_FILENO) }
    }

    private func show(_ now: ControlEvent.Progress) {
        guard !settings.isQuiet else { return }
        if rewritesLine {
            let size = TerminalSize(descriptor: STDERR_FILENO, environment: settings.environment)
            let line = ProgressText.line(now, width: max(1, size.columns - 1), style: style)
            TerminalDevice.write("\r\u{1B}[K" + line, to: STDERR_FILENO)
            return state.withLock { $0.isLineShown = true }
        }
        let isDue = state.withLock { state in
            if let last = state.lastPlain, last.phase == now.phase, last.time.duration(to: .now) < .seconds(2) {
                return false
            }
            state.lastPlain = (now.phase, .now)
            return true
        }
        if isDue { TerminalDevice.write(ProgressText.plain(now) + "\n", to: STDERR_FILENO) }
    }

    private func readLine(isSecret: Bool) -> String? {
        if isSecret { hide() }
        defer { unhide() }
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while line.count < 1 << 16 {
            guard read(STDIN_FILENO, &byte, 1) == 1 else { return nil }
            if byte == 0x0A { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
        return nil
    }
}

/// Counts.
final class Counter: Sendable {
    private let count: Mutex<Int>

    init(from start: Int = 0) { count = Mutex(start) }

    func set(_ number: Int) { count.withLock { $0 = number } }

    func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }
}
