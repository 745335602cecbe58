internal import KeyModel

/// Says why a script or a configuration could not be used.
package struct ScriptingError: Error, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, Sendable {
        /// The file is not there, is no regular file, cannot be read or is too large; a retry helps after a remedy.
        case callerFileUnreadable
        /// The text is no Lua, or raised an error as it ran; correcting it helps.
        case callerScriptMalformed
        /// The text is Lua, but what it declares makes no configuration; correcting it helps.
        case callerConfigurationInvalid
        /// The script wanted more time or memory than it may have; a retry cannot help.
        case callerLimitExceeded
        /// Somebody stopped the script.
        case callerInterrupted
        /// The session runs a script already, or is closed.
        case callerBusy
        /// The worker of a session went away or had to be killed, and the session's variables with it; a retry begins anew.
        case internalWorkerLost
        /// The program that runs Lua is not there or cannot be started; a retry helps after a remedy.
        case internalWorkerMissing
        /// The program that runs Lua crashed or broke its protocol; a retry may help.
        case internalWorkerFailed
    }

    /// Which of them.
    package let code: Code
    /// What could not be done to which thing, and why; lower case, one line, without secrets.
    package let message: String
    /// What to do about it.
    package var hint: String?
    /// What lay beneath.
    package var cause: (any Error)?

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause
    }
}

extension ScriptingError: CodedError {
    /// The stable name of the code.
    package var codeName: String { code.rawValue }
}
