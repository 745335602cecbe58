internal import Control
internal import Terminal

/// A command of the console itself, as it was typed: `\x`.
package enum BackslashCommand: Hashable, Sendable {
    /// What there is.
    case help
    /// Out.
    case leave
    /// Records instead of tables, or back.
    case expand
    /// How results are printed; nil asks.
    case format(ResultFormat?)
    /// The same input again and again.
    case watch(seconds: Double, input: String)
    /// How long things take, or no more.
    case timing
    /// The inputs of before, so many.
    case history(Int)

    /// What `\?` shows.
    package static let list = [
        ["\\?", "this list"], ["help()", "what can be called, with help(\"keyrings.list\") for one entry"],
        ["\\q", "leave; so do exit and Ctrl-D"], ["\\x", "records instead of tables, or back"],
        ["\\o FORMAT", "print results as table, json, ndjson, csv or lua"],
        ["\\watch N EXPR", "show EXPR every N seconds, until Ctrl-C"],
        ["\\timing", "show how long each input takes, or no more"],
        ["\\history [N]", "the last N inputs"],
    ]

    /// What `\?` shows of keys.
    package static let keys = [
        ["Ctrl-C", "clears what is typed; cancels what runs; leaves a watched run, which goes on"],
        ["Ctrl-D, Ctrl-\\", "leaves; Ctrl-\\ even where nothing answers"],
        ["Tab", "completes"], ["Up, Down", "earlier inputs that begin like this one"],
        ["Ctrl-R", "searches earlier inputs"], ["Alt-Enter", "begins a new line"],
        ["Ctrl-W, Ctrl-U, Ctrl-K", "cut a word, to the beginning, to the end; Ctrl-Y puts it back"],
        ["Ctrl-_, Alt-_", "undo, redo"],
    ]

    /// Whether a text of Lua is part of it.
    var isLua: Bool { if case .watch = self { true } else { false } }

    /// Whether an input is what people type elsewhere to leave.
    package static func isFarewell(_ input: String) -> Bool {
        let words = input.split(whereSeparator: \.isWhitespace)
        return words.count == 1 && ["exit", "quit", "exit()", "quit()"].contains(words[0])
    }

    private static let names = ["?", "q", "x", "o", "watch", "timing", "history"]

    /// Reads a line that begins with a backslash.
    ///
    /// - Throws: ``ControlError`` with `callerUsage`, naming what there is.
    package init(_ line: String) throws {
        let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true).map(String.init)
        let name = String(words.first?.dropFirst() ?? "")
        let rest = Array(words.dropFirst())
        switch name {
        case "?", "h", "help": self = .help
        case "q", "quit": self = .leave
        case "x": self = .expand
        case "o": self = .format(try rest.first.map(Self.format))
        case "timing": self = .timing
        case "history": self = .history(try Self.count(rest.first))
        case "watch": self = try Self.watch(rest)
        default:
            throw ControlError(
                .callerUsage, "there is no command \"\\\(name.escapedForTerminal)\"",
                hint: "The commands are \(Self.names.map { "\\\($0)" }.joined(separator: ", ")).")
        }
    }

    private static func format(_ text: String) throws -> ResultFormat {
        guard let format = ResultFormat(rawValue: text) else {
            throw ControlError(
                .callerUsage, "there is no format \"\(text.escapedForTerminal)\"",
                hint: "The formats are \(ResultFormat.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        return format
    }

    private static func count(_ text: String?) throws -> Int {
        guard let text else { return 20 }
        guard let count = Int(text), (1...10_000).contains(count) else {
            throw ControlError(
                .callerUsage, "\\history takes a number from 1 to 10000, not \"\(text.escapedForTerminal)\"")
        }
        return count
    }

    private static func watch(_ words: [String]) throws -> BackslashCommand {
        guard words.count == 2, let seconds = Double(words[0]), seconds >= 0.1, seconds <= 86_400 else {
            throw ControlError(
                .callerUsage, "\\watch takes seconds, from 0.1 to 86400, and what to show",
                hint: "Example: \\watch 2 status()")
        }
        return .watch(seconds: seconds, input: words[1])
    }
}
