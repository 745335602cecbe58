/// Decides whether and when a call is tried again; pure, so that its numbers can be tested.
///
/// The figures are those of AWS's SDKs since 2026: full jitter over 50 ms, 100 ms, … and over 1 s, 2 s, … where the server
/// throttles, at most three attempts. Source: "Retry behavior", AWS SDKs and Tools Reference Guide.
package struct RetryPolicy: Sendable {
    /// Why an attempt failed, as far as waiting is concerned.
    package enum Reason: Sendable {
        /// The server or the way to it failed for a moment.
        case transient
        /// The server wants fewer calls.
        case throttled
    }

    /// The most attempts of one call, the first included.
    package var attempts: Int
    /// The first wait after a transient failure.
    package var base: Duration
    /// The first wait after throttling.
    package var throttledBase: Duration
    /// The longest wait.
    package var longest: Duration

    /// Makes a policy.
    package init(
        attempts: Int = 3, base: Duration = .milliseconds(50), throttledBase: Duration = .seconds(1),
        longest: Duration = .seconds(20)
    ) {
        self.attempts = attempts
        self.base = base
        self.throttledBase = throttledBase
        self.longest = longest
    }

    /// Works out how long to wait before the next attempt.
    ///
    /// - Parameters:
    ///   - attempt: How many attempts there were, from 1.
    ///   - reason: Why the last one failed.
    ///   - asked: What the server itself asked for, of which at most 5 s beyond our own wait are heeded.
    ///   - remaining: The time that the whole call has left.
    ///   - chance: A random number, 0 ..< 1.
    /// - Returns: The wait; nil where there is no other attempt.
    package func wait(
        after attempt: Int, _ reason: Reason, asked: Duration? = nil, remaining: Duration, chance: Double
    ) -> Duration? {
        guard attempt < attempts else { return nil }
        let first = reason == .throttled ? throttledBase : base
        let most = min(longest, first * Double(1 << min(attempt - 1, 20)))
        var wait = most * chance
        if let asked { wait = min(max(wait, asked), wait + .seconds(5)) }
        return wait < remaining ? wait : nil
    }
}

/// Keeps a client from doubling the load of a server that is down: retries cost, successes earn.
package struct RetryBudget: Sendable {
    /// What is left, 0…500.
    package private(set) var left = RetryBudget.most

    private static let most = 500

    /// Starts with all of it.
    package init() {}

    /// Takes the price of a retry; false where it cannot be paid, and then there is none.
    package mutating func pay(_ reason: RetryPolicy.Reason) -> Bool {
        let price = reason == .throttled ? 5 : 14
        guard left >= price else { return false }
        left -= price
        return true
    }

    /// Earns one for a call that succeeded.
    package mutating func earn() { left = min(Self.most, left + 1) }
}
