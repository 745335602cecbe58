internal import Synchronization

/// Asks a run to end at the next batch, leaving it ready to be resumed.
package final class Interrupt: Sendable {
    private struct State {
        var isRaised = false
        var handlers: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())

    /// Makes one that is not raised.
    package init() {}

    /// Whether someone asked.
    package var isSet: Bool { state.withLock { $0.isRaised } }

    /// Asks.
    package func set() {
        let due = state.withLock { state in
            state.isRaised = true
            defer { state.handlers = [] }
            return state.handlers
        }
        for handler in due { handler() }
    }

    /// Has something done when someone asks, once; at once where someone has already.
    package func onSet(_ handler: @escaping @Sendable () -> Void) {
        let isLate = state.withLock { state in
            if !state.isRaised { state.handlers.append(handler) }
            return state.isRaised
        }
        if isLate { handler() }
    }
}
