internal import Frames
internal import KeyModel

/// The worker's account of a run that has ended.
struct WorkerAnswer {
    private let frame: FrameValue
    private let wasInterrupted: Bool

    /// Takes a frame of the kind `done`.
    init(_ frame: FrameValue, interrupted: Bool) {
        self.frame = frame
        wasInterrupted = interrupted
    }

    /// The result or the error; nil where the frame is not as it must be.
    var result: Result<ScriptResult, any Error>? {
        guard case .bool(let isGood) = frame["ok"], case .bool(let wasCut) = frame["output_was_cut"],
            case .integer(let milliseconds) = frame["cpu_ms"], case .integer(let memory) = frame["memory_bytes"]
        else { return nil }
        guard isGood else { return frame["error"].map { .failure(error($0)) } }
        guard case .array(let values) = frame["values"], case .bool(let isIncomplete) = frame["incomplete"] else {
            return nil
        }
        return .success(
            ScriptResult(
                values: values, isIncomplete: isIncomplete, outputWasCut: wasCut,
                processorTime: .milliseconds(milliseconds), memoryBytes: memory))
    }

    private func error(_ error: FrameValue) -> any Error {
        let kind = error["kind"]?.textValue ?? ""
        let file = error["file"]?.textValue ?? ""
        var message = ScriptFailure.shown(error["message"]?.textValue ?? "no reason given")
        let code = error["code"]?.textValue ?? ""
        let hint = error["hint"]?.textValue.flatMap { $0.isEmpty ? nil : $0 }
        // What the host said stands by itself.
        if code.isEmpty, !file.isEmpty, case .integer(let line) = error["line"] {
            message = line > 0 ? "\(file):\(line): \(message)" : "\(file): \(message)"
        }
        switch kind {
        case "syntax": return ScriptingError(.callerScriptMalformed, message)
        case "limit" where wasInterrupted: return ScriptingError(.callerInterrupted, "the script was interrupted")
        case "limit": return ScriptingError(.callerLimitExceeded, message, hint: "Look for a loop without end in it.")
        case "memory":
            return ScriptingError(
                .callerLimitExceeded, message, hint: "Set variables that hold much to nil, or begin a new session.")
        default:
            return RaisedError(
                codeName: code.isEmpty ? "callerScriptFailed" : code, message: message, hint: hint,
                traceback: error["traceback"]?.textValue ?? "")
        }
    }
}

extension FrameValue {
    /// The text; nil for anything else.
    fileprivate var textValue: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }
}
