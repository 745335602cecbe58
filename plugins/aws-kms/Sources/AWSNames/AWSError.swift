internal import KeyModel

/// Says why AWS cannot be used, in our words.
package struct AWSError: CodedError {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, CaseIterable, Sendable {
        /// A setting is not as it must be.
        case callerUsage
        /// No credentials were found, or they are not accepted.
        case providerCredentials
        /// AWS refuses: not allowed, no such key, or another region; a retry helps only after a change there.
        case providerDenied
        /// The customer disabled the key, or it waits for its deletion.
        case providerDisabled
        /// AWS does not answer, or answers that it cannot now; a retry helps.
        case providerUnavailable
        /// Too many calls; a retry helps after a while.
        case providerThrottled
        /// The answer is not one.
        case providerAnswer
        /// The wrapped key was altered, or belongs to another key or another context.
        case dataNotAuthentic
    }

    /// Which one.
    package let code: Code
    /// What could not be done, then why; never a secret.
    package let message: String
    /// What to do about it.
    package let hint: String?

    /// The stable name.
    package var codeName: String { code.rawValue }

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}
