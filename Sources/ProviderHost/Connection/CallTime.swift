internal import KeyModel
internal import PluginKit

/// The time that a call has, over every call over the wire that it takes; the start of a process has its own.
struct CallTime: Sendable {
    /// What the caller allowed.
    let deadline: Duration
    /// When it is over.
    let end: ContinuousClock.Instant

    /// Begins now.
    init(_ call: ProviderCall) {
        deadline = call.deadline
        end = .now + call.deadline
    }

    /// What is left of it.
    ///
    /// - Parameter subject: Who was asked for what: `provider "hsm" cannot wrap`.
    /// - Returns: The time, more than none.
    /// - Throws: `ProviderError` with `providerUnavailable` where nothing is.
    func left(_ subject: String) throws(ProviderError) -> Duration {
        let left = end - .now
        guard left > .zero else { throw isOver(subject) }
        return left
    }

    /// The failure of a call that did not come to its end in time.
    func isOver(_ subject: String) -> ProviderError {
        let time = Double(deadline.components.seconds) + Double(deadline.components.attoseconds) / 1e18
        return ProviderError(
            .providerUnavailable, "\(subject): it did not answer within \(time) s",
            hint: "An answer that still comes is thrown away; try again, or allow more with deadline = ….")
    }
}
