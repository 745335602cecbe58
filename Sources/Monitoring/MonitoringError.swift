internal import KeyModel

/// Says why figures cannot be offered.
package struct MonitoringError: CodedError, Hashable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, Sendable {
        /// A text is no loopback address with a port; correcting it helps.
        case callerAddressMalformed
        /// The address is taken or cannot be used.
        case storeAddressUnavailable
    }

    /// Which of them.
    package let code: Code
    /// What could not be done, and why; lower case, one line.
    package let message: String
    /// What to do about it.
    package let hint: String?

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// The stable name of the code.
    package var codeName: String { code.rawValue }
}
