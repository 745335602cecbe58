internal import KeyModel

/// What a script raised and nobody caught: an error of its own, or one of the host's that it let pass.
package struct RaisedError: CodedError, Hashable {
    /// The code that it was raised with, such as the host gave it; `callerScriptMalformed` where it has none.
    package let codeName: String
    /// Where it was raised and what it says.
    package let message: String
    /// What to do about it.
    package let hint: String?
    /// The calls that led there, a line each; empty where they are not known.
    package let traceback: String

    /// Makes an error.
    package init(codeName: String, message: String, hint: String? = nil, traceback: String = "") {
        self.codeName = codeName
        self.message = message
        self.hint = hint
        self.traceback = traceback
    }
}
