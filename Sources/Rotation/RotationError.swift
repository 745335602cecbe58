internal import KeyModel

/// Says why keys could not be turned.
package struct RotationError: CodedError, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, Sendable {
        /// What was asked for cannot be done to this keyring or column; correcting it helps.
        case callerRequestInvalid
        /// No core, keyring, column or row of that name.
        case callerNotFound
        /// The plan no longer matches the database or the configuration; making a new one helps.
        case callerPlanStale
        /// Another run is open; finishing or cancelling it helps.
        case callerRunOpen
        /// The run is in a phase or a state that does not allow this.
        case callerRunState
        /// The policy demands something that is missing: a backup, an acknowledgement.
        case callerPolicyForbids
        /// A hook of the configuration failed; its own words stand in the message.
        case callerHookFailed
        /// The keyring has no version that may seal.
        case keyNotActive
        /// A version cannot be unwrapped by any of its wrapped copies; the cause says why.
        case keyNotUnwrapped
        /// The version's seals are used up; a rotation helps.
        case keySealsExhausted
        /// A value does not open: damaged, moved, or sealed under a key that is not here.
        case dataNotAuthentic
        /// A value is not of the form that it must have.
        case dataMalformed
        /// The room on disk does not suffice; freeing some helps.
        case storeFull
        /// Reading back gave something else than was written; nothing was committed.
        case internalReadBackDiffers
        /// Someone keeps writing under an old key.
        case storeNotSettling
    }

    /// Which of them.
    package let code: Code
    /// What could not be done, and why; lower case, one line, without secrets.
    package let message: String
    /// What to do about it.
    package var hint: String?
    /// What lay beneath.
    package var cause: (any Error)?

    /// The stable name of the code.
    package var codeName: String { code.rawValue }

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause
    }
}
