internal import Frames
internal import KeyModel

/// What the worker says where a script did not run to its end.
struct ScriptFailure {
    private let kind: String
    private let message: String
    private let line: Int64?
    private let file: String

    /// Reads the `error` of an answer.
    init(_ error: FrameValue, file: String) {
        if case .string(let file) = error["file"], !file.isEmpty { self.file = file } else { self.file = file }
        if case .string(let kind) = error["kind"] { self.kind = kind } else { kind = "" }
        if case .string(let message) = error["message"] { self.message = message } else { message = "no reason given" }
        if case .integer(let line) = error["line"] { self.line = line } else { line = nil }
    }

    /// The error to hand on.
    var error: ScriptingError {
        let place = line.map { "\(file):\($0)" } ?? file
        let text = "\(place): \(Self.shown(message))"
        return switch kind {
        case "syntax", "runtime": ScriptingError(.callerScriptMalformed, text, hint: hint)
        case "limit", "memory": ScriptingError(.callerLimitExceeded, text, hint: hint)
        default: ScriptingError(.internalWorkerFailed, "the Lua worker cannot work: \(Self.shown(message))", hint: hint)
        }
    }

    private var hint: String? {
        switch kind {
        case "limit", "memory": "A configuration only declares; look for a loop without end in it."
        case "confinement": "The kernel must allow seccomp filters; Lua is not run without them."
        default: unknownName.map(Self.hint(forUnknown:))
        }
    }

    /// The name of which the worker says that it means nothing.
    private var unknownName: String? {
        let mark = "unknown name \""
        guard message.hasPrefix(mark), message.hasSuffix("\"") else { return nil }
        return String(message.dropFirst(mark.count).dropLast())
    }

    private static func hint(forUnknown name: String) -> String {
        if outside.contains(name) { return "A configuration reaches nothing outside itself; \(name) is not there." }
        let known = Declaration.Word.allCases.map(\.rawValue) + functions
        return nearest(to: name, among: known).map { "Did you mean \"\($0)\"?" }
            ?? "A text stands in quotes; a variable is declared with local."
    }

    /// The message on one line, without what a connection string holds.
    static func shown(_ message: String) -> String {
        var shown = ""
        for scalar in message.unicodeScalars {
            // A text that Lua quotes may hold a password.
            if shown.hasSuffix("://") { return shown + "…" }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    private static let functions = [
        "assert", "coroutine", "error", "ipairs", "math", "next", "pairs", "pcall", "print", "select", "string",
        "table", "tonumber", "tostring", "type", "utf8",
    ]
    private static let outside = [
        "collectgarbage", "debug", "dofile", "io", "load", "loadfile", "os", "package", "rawset", "require", "warn",
    ]
}
