package import Rotation
internal import Synchronization

/// The life of one request: whether it is asked to end, and who must be told then.
package final class CallScope: Sendable {
    /// Raised when it is asked to end.
    package let interrupt = Interrupt()
    private let handlers = Mutex<[@Sendable () -> Void]>([])

    /// Makes the scope of a request.
    package init() {}

    /// Whether it is asked to end.
    package var isCancelled: Bool { interrupt.isSet }

    /// Asks it to end.
    package func cancel() {
        let due = handlers.withLock { handlers in
            interrupt.set()
            defer { handlers = [] }
            return handlers
        }
        for handler in due { handler() }
    }

    /// Has something done when the request is asked to end; at once where it was already.
    package func onCancel(_ handler: @escaping @Sendable () -> Void) {
        let isLate = handlers.withLock { handlers in
            if !interrupt.isSet { handlers.append(handler) }
            return interrupt.isSet
        }
        if isLate { handler() }
    }
}
