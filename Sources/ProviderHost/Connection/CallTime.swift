internal import KeyModel
internal import PluginKit
internal import Synchronization

/// The time that a call has, over everything that it takes: the start of a process, and every call over the wire.
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

    /// Waits for work no longer than there is time; the work itself goes on.
    ///
    /// - Returns: What came of it; nil where that took too long.
    func wait<Value: Sendable>(for work: @escaping @Sendable () async -> Value) async -> Value? {
        await withCheckedContinuation { continuation in
            let waiter = Waiter(continuation)
            let timer = Task {
                try? await Task.sleep(until: end, clock: .continuous)
                waiter.resume(nil)
            }
            Task {
                waiter.resume(await work())
                timer.cancel()
            }
        }
    }

    /// The failure of a call that did not come to its end in time.
    func isOver(_ subject: String) -> ProviderError {
        let time = Double(deadline.components.seconds) + Double(deadline.components.attoseconds) / 1e18
        return ProviderError(
            .providerUnavailable, "\(subject): it did not answer within \(time) s",
            hint: "An answer that still comes is thrown away; try again, or allow more with deadline = ….")
    }

    /// Goes on once, whoever comes first.
    private final class Waiter<Value: Sendable>: Sendable {
        private let continuation: Mutex<CheckedContinuation<Value?, Never>?>

        init(_ continuation: CheckedContinuation<Value?, Never>) { self.continuation = Mutex(continuation) }

        func resume(_ value: Value?) {
            let waiting = continuation.withLock { continuation in
                defer { continuation = nil }
                return continuation
            }
            waiting?.resume(returning: value)
        }
    }
}
