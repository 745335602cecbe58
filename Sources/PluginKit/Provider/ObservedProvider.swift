/// Counts and latencies of one kind of call to a provider.
package struct CallFigures: Hashable, Codable, Sendable {
    /// How many calls were made.
    package var calls = 0
    /// How many of them failed.
    package var failures = 0
    /// The latency of the newest, in milliseconds.
    package var lastMilliseconds = 0.0
    /// The worst latency, in milliseconds.
    package var worstMilliseconds = 0.0
    /// The mean latency, in milliseconds.
    package var meanMilliseconds = 0.0

    /// Begins to count.
    package init() {}
}

/// A provider whose calls are counted and timed by whoever stands before it.
package protocol ObservedProvider: KeyProvider {
    /// Counts and latencies by call, since the process began.
    var figures: [String: CallFigures] { get }
    /// Whether the last calls reached it; nil where none was made.
    var isReachable: Bool? { get }
    /// How many keys are held unwrapped.
    var heldKeys: Int { get }
}
