internal import Synchronization

/// A sleep that can be cut short.
final class Waker: Sendable {
    private struct State {
        var isWoken = false
        var waiting: AsyncStream<Void>.Continuation?
    }

    private let state = Mutex(State())

    /// Ends the sleep, or the next one if nobody sleeps.
    func wake() {
        state.withLock { state in
            state.isWoken = state.waiting == nil
            state.waiting?.finish()
            state.waiting = nil
        }
    }

    /// Sleeps until the time is over, ``wake()`` is called or the task is cancelled.
    func wait(for duration: Duration, on clock: any SchedulerClock) async {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let isWoken = state.withLock { state in
            defer { state.isWoken = false }
            if !state.isWoken { state.waiting = continuation }
            return state.isWoken
        }
        guard !isWoken else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in stream {} }
            // A sleep that is cancelled is over.
            group.addTask { try? await clock.sleep(for: duration) }
            await group.next()
            group.cancelAll()
        }
        state.withLock { $0.waiting = nil }
    }
}
