internal import Synchronization

/// Counts the calls that are really made of providers, whatever caches stand in between.
///
/// The task that drives a run carries one, so that the calls of the run are told from all others.
package final class CallTally: Sendable {
    /// The tally of the task at hand; nil where nobody counts.
    @TaskLocal package static var current: CallTally?

    private let state = Mutex<[String: [String: Int64]]>([:])

    /// Begins at nothing.
    package init() {}

    /// What was counted, by provider and call.
    package var counts: [String: [String: Int64]] { state.withLock { $0 } }

    /// Counts a call.
    package func count(_ call: String, of provider: String) {
        state.withLock { $0[provider, default: [:]][call, default: 0] += 1 }
    }
}
