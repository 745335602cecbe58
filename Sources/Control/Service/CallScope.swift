package import Rotation

/// The life of one request: whether it is asked to end, and who must be told then.
package final class CallScope: Sendable {
    /// Raised when it is asked to end.
    package let interrupt = Interrupt()

    /// Makes the scope of a request.
    package init() {}

    /// Whether it is asked to end.
    package var isCancelled: Bool { interrupt.isSet }

    /// Asks it to end.
    package func cancel() { interrupt.set() }

    /// Has something done when the request is asked to end; at once where it was already.
    package func onCancel(_ handler: @escaping @Sendable () -> Void) { interrupt.onSet(handler) }
}
