internal import Synchronization

/// How many requests of one session are answered at a time, and whether any more are.
final class SessionPlaces: Sendable {
    /// The most requests in hand; a session that has as many is not read from.
    static let count = 64

    private let state = Mutex(State())

    private struct State {
        var taken = 0
        var isClosed = false
        /// Whoever waits for a place.
        var taking: CheckedContinuation<Void, Never>?
        /// Whoever waits until none is taken.
        var closing: CheckedContinuation<Void, Never>?

        /// Whether a place can be taken, or never will be; nil where one is to be waited for.
        var decision: Bool? { isClosed ? false : taken < SessionPlaces.count ? true : nil }
    }

    /// Takes a place, and waits for one where all are taken; for one caller at a time.
    ///
    /// - Returns: Whether there is one; false once they are closed.
    func take() async -> Bool {
        while true {
            let decision = state.withLock { state in
                let decision = state.decision
                if decision == true { state.taken += 1 }
                return decision
            }
            if let decision { return decision }
            await wait()
        }
    }

    /// Gives a place back.
    func giveBack() {
        let waiting = state.withLock { state in
            state.taken -= 1
            return [state.taking.take(), state.taken == 0 ? state.closing.take() : nil]
        }
        for waiting in waiting { waiting?.resume() }
    }

    /// Gives no more places out, and waits until all are back.
    func close() async {
        await withCheckedContinuation { continuation in
            let waiting = state.withLock { state in
                state.isClosed = true
                if state.taken > 0 { state.closing = continuation }
                return [state.taking.take(), state.taken == 0 ? continuation : nil]
            }
            for waiting in waiting { waiting?.resume() }
        }
    }

    private func wait() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.decision == nil { state.taking = continuation }
                return state.decision != nil
            }
            if isOver { continuation.resume() }
        }
    }
}
