/// Counts and latencies of one provider's calls; pure.
package struct CallStatistics: Hashable, Sendable {
    /// What is known of one kind of call.
    package struct Entry: Hashable, Codable, Sendable {
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
    }

    /// By the name of the call.
    package private(set) var entries: [String: Entry] = [:]

    /// Makes empty ones.
    package init() {}

    /// All calls together.
    package var calls: Int { entries.values.reduce(0) { $0 + $1.calls } }

    /// Records a call.
    package mutating func record(_ name: String, took time: Duration, failed: Bool) {
        let milliseconds = Double(time.components.seconds) * 1e3 + Double(time.components.attoseconds) / 1e15
        var entry = entries[name] ?? Entry()
        entry.calls += 1
        if failed { entry.failures += 1 }
        entry.lastMilliseconds = milliseconds
        entry.worstMilliseconds = max(entry.worstMilliseconds, milliseconds)
        entry.meanMilliseconds += (milliseconds - entry.meanMilliseconds) / Double(entry.calls)
        entries[name] = entry
    }
}
