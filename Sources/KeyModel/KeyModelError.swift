/// Says which rule of the key model a value or a move would break.
public struct KeyModelError: Error, Hashable, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    public enum Code: String, Sendable {
        /// A text is no duration; correcting it helps.
        case callerDurationMalformed
        /// A text is no name; correcting it helps.
        case callerNameMalformed
        /// A text is no time; correcting it helps.
        case callerTimeMalformed
        /// The table of moves has no such move; a retry cannot help.
        case keyMoveIllegal
        /// The version's state does not allow what was asked; a retry cannot help.
        case keyStateForbids
        /// Stored versions contradict each other; a retry cannot help.
        case keyringInconsistent
    }

    /// Which rule.
    public let code: Code
    /// What could not be done to which thing, and why; lower case, one line.
    public let message: String
    /// What to do about it, where that is not obvious.
    public let hint: String?

    /// Makes an error.
    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}
