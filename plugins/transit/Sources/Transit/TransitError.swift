internal import KeyModel
package import PluginKit

/// Says why a transit engine cannot be used, in our words.
package struct TransitError: CodedError {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, CaseIterable, Sendable {
        /// A setting is not as it must be.
        case callerUsage
        /// The server refuses: the token may not, or the version is too old; a retry helps only after a change there.
        case providerDenied
        /// The server does not hold the key.
        case providerKeyUnknown
        /// The server does not answer, or is sealed; a retry helps.
        case providerUnavailable
        /// The answer is not one.
        case providerAnswer
        /// The wrapped key was altered, or belongs to another key or another place.
        case dataNotAuthentic
    }

    /// Which one.
    package let code: Code
    /// What could not be done, then why; never a secret.
    package let message: String
    /// What to do about it.
    package let hint: String?
    /// The status of the server's answer, where it refused with one.
    package var status: Int?

    /// The stable name.
    package var codeName: String { code.rawValue }

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// The same in the words of PluginKit.
    package var forHost: ProviderError {
        let code: ProviderError.Code =
            switch self.code {
            case .callerUsage: .providerMisconfigured
            case .providerDenied: .providerDenied
            case .providerKeyUnknown: .providerKeyUnknown
            case .providerUnavailable: .providerUnavailable
            case .providerAnswer: .providerAnswerInvalid
            case .dataNotAuthentic: .dataNotAuthentic
            }
        return ProviderError(code, message, hint: hint)
    }
}
