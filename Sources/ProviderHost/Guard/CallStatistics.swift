package import PluginKit

/// Counts and latencies of one provider's calls; pure.
package struct CallStatistics: Hashable, Sendable {
    /// By the name of the call.
    package private(set) var entries: [String: CallFigures] = [:]

    /// Makes empty ones.
    package init() {}

    /// All calls together.
    package var calls: Int { entries.values.reduce(0) { $0 + $1.calls } }

    /// Records a call.
    package mutating func record(_ name: String, took time: Duration, failed: Bool) {
        let milliseconds = Double(time.components.seconds) * 1e3 + Double(time.components.attoseconds) / 1e15
        var entry = entries[name] ?? CallFigures()
        entry.calls += 1
        if failed { entry.failures += 1 }
        entry.lastMilliseconds = milliseconds
        entry.worstMilliseconds = max(entry.worstMilliseconds, milliseconds)
        entry.meanMilliseconds += (milliseconds - entry.meanMilliseconds) / Double(entry.calls)
        entries[name] = entry
    }
}
