internal import Control
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Scheduling
internal import Scripting
internal import Storage
internal import Synchronization
internal import Terminal

/// Where a command speaks: results to standard output, progress and errors to standard error, questions to the terminal.
final class Console: Sendable {
    private let format: OutputFormat
    private let isQuiet: Bool
    private let isConfirmed: Bool
    private let interrupt: Interrupt
    /// Whether progress is one line that is written over: on a terminal that can.
    private let rewritesLine: Bool
    private let style: Style
    private let progress: Mutex<ProgressState>

    private struct ProgressState {
        var line = ProgressLine(interval: .seconds(2))
        var isShown = false
    }

    init(_ global: GlobalOptions, _ interrupt: Interrupt) {
        self.interrupt = interrupt
        format = global.output
        isQuiet = global.quiet
        isConfirmed = global.yes
        let environment = ProcessInfo.processInfo.environment
        style = Style(environment: environment, isTerminal: TerminalSize.isTerminal(STDOUT_FILENO))
        rewritesLine = TerminalSize.isTerminal(STDERR_FILENO) && environment["TERM"] != "dumb"
        progress = Mutex(ProgressState())
    }

    /// Prints a result in the format that was asked for.
    func print(_ report: Report) throws {
        finishProgress()
        switch format {
        case .json: write(try json(ResultEnvelope(result: report.value)), to: STDOUT_FILENO)
        case .ndjson: for line in try lines(of: report.value) { write(line, to: STDOUT_FILENO) }
        case .csv: for line in csv(report) { Self.write(line, to: STDOUT_FILENO) }
        case .table: for line in text(report) { write(line, to: STDOUT_FILENO) }
        }
    }

    /// Prints an error and returns the exit code for it.
    func fail(_ error: any Error) -> ExitStatus {
        if format == .json || format == .ndjson {
            write(ErrorEnvelope(error).text, to: STDOUT_FILENO)
        } else {
            let coded = error as? any CodedError
            write("keyturn: \(coded?.message ?? "\(error)")", to: STDERR_FILENO)
            if let hint = coded?.hint { write("hint: \(hint)", to: STDERR_FILENO) }
        }
        return ExitStatus(for: error)
    }

    /// Says something on standard error, unless quiet.
    func note(_ text: String) {
        guard !isQuiet else { return }
        finishProgress()
        write(text, to: STDERR_FILENO)
    }

    /// Shows how far a run is: one line that is rewritten on a terminal, plain lines now and then otherwise.
    func show(_ progress: ControlEvent.Progress) {
        // What makes a run need an operator is the command's error and said at its end.
        if let waiting = progress.waiting { return note("run \(progress.run) \(waiting)") }
        guard progress.done > 0 || progress.run == 0 else { return }
        let phase = progress.subject.isEmpty ? progress.phase : "\(progress.phase) \(progress.subject)"
        show(phase: phase, done: progress.done, expected: progress.total ?? 0)
    }

    /// Shows how far some work is.
    func show(phase: String, done: Int64, expected: Int64) {
        guard !isQuiet else { return }
        let now = Duration.nanoseconds(Int64(clamping: DispatchTime.now().uptimeNanoseconds))
        progress.withLock { state in
            let total = expected > 0 ? UInt64(max(expected, done)) : nil
            state.line.update(ProgressSnapshot(phase: phase, done: UInt64(max(0, done)), total: total), at: now)
            if rewritesLine {
                let size = TerminalSize(descriptor: STDERR_FILENO, environment: ProcessInfo.processInfo.environment)
                let text = done > 0 || total != nil ? state.line.text(width: size.columns - 1, style: style) : phase
                Self.write("\r\u{1B}[K" + text, to: STDERR_FILENO)
                state.isShown = true
            } else if let line = state.line.plainLine() {
                write(line, to: STDERR_FILENO)
            }
        }
    }

    /// Ends the line of progress, so that something else can be printed.
    func finishProgress() {
        progress.withLock { state in
            if state.isShown { write("", to: STDERR_FILENO) }
            state.isShown = false
        }
    }

    /// Asks for a typed confirmation; `--yes` answers it, and without a terminal the answer is no.
    ///
    /// - Throws: ``CommandError`` with `callerNotConfirmed`, exit code 3.
    func confirm(_ question: String, byTyping word: String) throws {
        guard !isConfirmed else { return }
        guard TerminalSize.isTerminal(STDIN_FILENO), TerminalSize.isTerminal(STDERR_FILENO) else {
            throw CommandError(
                .callerNotConfirmed,
                "not confirmed: \(question.prefix(1).lowercased() + question.dropFirst()), and there is no terminal to ask on",
                hint: "Give --yes, or run it in a terminal; nothing was changed.", status: .refused
            )
        }
        Self.write("\(question).\nType \(quoted(word)) to go ahead: ", to: STDERR_FILENO)
        try waitForLine()
        guard let answer = readLine(strippingNewline: true), answer == word else {
            throw CommandError(
                .callerNotConfirmed, "not confirmed: the answer was not \(quoted(word))", hint: "Nothing was changed.",
                status: .refused
            )
        }
    }

    /// Waits until a line was typed, or someone presses Ctrl-C.
    private func waitForLine() throws {
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        while poll(&input, 1, 100) <= 0 {
            guard interrupt.isSet else { continue }
            write("", to: STDERR_FILENO)
            throw CommandError(.callerInterrupted, "interrupted", hint: "Nothing was changed.", status: .interrupted)
        }
    }

    /// Asks a person; nil where they interrupted or said nothing.
    func ask(_ question: Question) async -> String? {
        finishProgress()
        Self.write(question.text + ": ", to: STDERR_FILENO)
        do { try waitForLine() } catch { return nil }
        return readLine(strippingNewline: true)
    }

    private func text(_ report: Report) -> [String] {
        let isTerminal = TerminalSize.isTerminal(STDOUT_FILENO)
        let size = TerminalSize(descriptor: STDOUT_FILENO, environment: ProcessInfo.processInfo.environment)
        let width = isTerminal ? size.columns : nil
        return report.blocks.enumerated().flatMap { index, block -> [String] in
            let gap = index > 0 ? [""] : []
            switch block {
            case .lines(let lines): return gap + lines
            case .record(let fields):
                return gap + Record(fields.map { Record.Field($0.0, $0.1) }).lines(width: width, style: style)
            case .table(let title, let columns, let rows):
                let heading = title.map { [style.apply(.strong, to: $0)] } ?? []
                return gap + heading + Table(columns: columns, rows: rows).lines(width: width, style: style)
            }
        }
    }

    private func csv(_ report: Report) -> [String] {
        for case .table(_, let columns, let rows) in report.blocks {
            let bare = rows.map { zip($0, columns).map { $1.alignment == .right ? Self.ungrouped($0) : $0 } }
            return [columns.map(\.header)].map(CSV.line) + bare.map(CSV.line)
        }
        return text(report).map { CSV.line([$0]) }
    }

    /// A count without the commas that group its digits for people; other texts as they are.
    private static func ungrouped(_ text: String) -> String {
        text.allSatisfy { $0.isNumber || $0 == "," } ? text.replacing(",", with: "") : text
    }

    private func lines(of value: any Encodable) throws -> [String] {
        if let value = value as? FrameValue, case .array(let elements) = value {
            return try elements.map { try json($0, isCompact: true) }
        }
        let mirror = Mirror(reflecting: value)
        guard mirror.displayStyle == .collection else { return [try json(value, isCompact: true)] }
        return try mirror.children.compactMap { $0.value as? any Encodable }.map { try json($0, isCompact: true) }
    }

    private func json(_ value: any Encodable, isCompact: Bool = false) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            isCompact
            ? [.sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private func write(_ line: String, to descriptor: Int32) { Self.write(line + "\n", to: descriptor) }

    /// Writes text to a descriptor, all of it; a reader that went away is no error.
    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            guard written > 0 else { return }
            bytes = bytes.dropFirst(written)
        }
    }
}

extension ExitStatus {
    /// The exit code for an error.
    init(for error: any Error) {
        switch error {
        case let error as CommandError: self = error.status
        default: self = ExitStatus(rawValue: ControlError(wrapping: error).status) ?? .failed
        }
    }
}
