internal import KeyModel

/// Says why a backup was not made, proved, restored or removed.
package struct BackupError: Error, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, CaseIterable, Sendable {
        /// A request contradicts itself or what is declared; correcting it helps.
        case callerRequestInvalid
        /// A file or database stands in the way and is left alone; another name, or a typed confirmation, helps.
        case callerTargetExists
        /// Retention, a pin or an open run forbids it.
        case callerPolicyForbids
        /// No backup of that number, or no file of it.
        case callerNotFound
        /// A program is not installed; installing it helps.
        case providerProgramMissing
        /// A program is older than the server; a newer one helps.
        case providerProgramTooOld
        /// A program gave up; its own words are in the message.
        case providerProgramFailed
        /// A program gave no sign of life for too long and was ended; a retry can help.
        case providerTimedOut
        /// There is too little room; nothing was begun, or what was begun is removed.
        case storeFull
        /// A file could not be read or written; a retry can help.
        case storeUnavailable
        /// A backup is not what was written: truncated, altered, or of a format that does not parse.
        case dataDamaged
        /// A backup is of another database, or older than it must be.
        case dataForeign
        /// A backup holds no keyring, or one that does not open its values.
        case dataKeyringMissing
        /// The key that opens the backup itself was not given, or is not the right one.
        case keyIdentityMissing
    }

    /// Which of them.
    package let code: Code
    /// What could not be done, and why; lower case, one line, without secrets.
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

extension BackupError: CodedError {
    /// The stable name of the code.
    package var codeName: String { code.rawValue }
}
