internal import Frames
internal import KeyModel
internal import Scripting

extension Answer {
    /// What a script handed back: nothing, its one value, or a list of several.
    init(_ result: ScriptResult) {
        let value: FrameValue =
            switch result.values.count {
            case 0: .null
            case 1: result.values[0]
            default: .array(result.values)
            }
        self.init(value)
    }
}

extension ControlError {
    /// The error of a script in a session's terms: its own code, and the exit code that goes with it.
    init(ofScript error: any Error) {
        guard let coded = error as? any CodedError else {
            self.init(.callerScriptFailed, "\(error)")
            return
        }
        let status = Code(rawValue: coded.codeName)?.status ?? 1
        self.init(codeName: coded.codeName, coded.message, hint: coded.hint, status: status)
    }
}
