package import ProviderHTTP
internal import Synchronization

/// What all clients of AWS in one provider share: the way out, the clock with its correction, and how they try again.
package final class AWSContext: Sendable {
    /// The machine.
    package let surroundings: Surroundings
    /// The way out.
    package let transport: any HTTPTransport
    /// How calls are tried again.
    package let retries: RetryPolicy

    private let state = Mutex(State())

    private struct State {
        var budget = RetryBudget()
        var offset = 0.0
        var calls: [String: Int] = [:]
    }

    /// Puts the parts together.
    package init(_ surroundings: Surroundings, _ transport: any HTTPTransport, retries: RetryPolicy = RetryPolicy()) {
        self.surroundings = surroundings
        self.transport = transport
        self.retries = retries
    }

    /// By how many seconds this machine's clock is behind AWS's, as far as AWS complained of it.
    package var clockOffset: Double { state.withLock { $0.offset } }

    /// The requests that were sent, by action.
    package var requests: [String: Int] { state.withLock { $0.calls } }

    /// The time by AWS's clock, in whole seconds since 1970.
    var time: Int64 { Int64((surroundings.now() + clockOffset).rounded(.down)) }

    /// Takes over the server's time.
    func correctClock(by date: Double) { state.withLock { $0.offset = date - surroundings.now() } }

    func count(_ action: String) { state.withLock { $0.calls[action, default: 0] += 1 } }

    func earn() { state.withLock { $0.budget.earn() } }

    /// The wait before another attempt; nil where there is none.
    func wait(
        after attempt: Int, _ reason: RetryPolicy.Reason, asked: Duration?, _ deadline: Deadline
    ) -> Duration? {
        guard
            let wait = retries.wait(
                after: attempt, reason, asked: asked, remaining: deadline.remaining, chance: surroundings.chance())
        else { return nil }
        return state.withLock { $0.budget.pay(reason) } ? wait : nil
    }
}
