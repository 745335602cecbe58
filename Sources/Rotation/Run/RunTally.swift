internal import PluginKit
internal import Synchronization

/// What a run has asked of providers, over all processes that drove it.
final class RunTally: Sendable {
    typealias Counts = [String: [String: Int64]]

    /// Counts while this process drives the run.
    let present = CallTally()
    private let before: Counts
    private let written: Mutex<Counts>

    /// Goes on from what is recorded.
    init(after before: Counts) {
        self.before = before
        written = Mutex(before)
    }

    /// What is to be recorded now; nil where everything is.
    ///
    /// The built-in provider asks nobody, and is left out.
    var news: Counts? {
        let sum = present.counts.filter { $0.key != "local" }.reduce(into: before) { sum, provider in
            sum[provider.key, default: [:]].merge(provider.value) { $0 + $1 }
        }
        return written.withLock { $0 == sum } ? nil : sum
    }

    /// Notes that counts are recorded.
    func wrote(_ counts: Counts) { written.withLock { $0 = counts } }
}
