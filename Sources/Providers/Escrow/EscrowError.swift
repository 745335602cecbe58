internal import KeyModel

/// Says why a root key was not put into escrow or brought back.
package struct EscrowError: Error, Hashable, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, Sendable {
        /// Nobody, or no age recipient, was named; correcting it helps.
        case callerRecipientMalformed
        /// A file stands in the way and is left alone; another name helps.
        case callerFileExists
        /// A passphrase can only be asked for on a terminal; a retry on one helps.
        case callerNoTerminal
        /// The `age` program is not installed; installing it helps.
        case providerProgramMissing
        /// The `age` program gave up; its own words are in the message.
        case providerProgramFailed
        /// A file could not be read or written; a retry can help.
        case storeUnavailable
        /// What came out is no root key, or no escrow copy; a retry cannot help.
        case dataMalformed
    }

    /// Which of them.
    package let code: Code
    /// What could not be done, and why; lower case, one line, without secrets.
    package let message: String
    /// What to do about it.
    package let hint: String?

    init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}

extension EscrowError: CodedError {
    /// The stable name of the code.
    package var codeName: String { code.rawValue }
}
