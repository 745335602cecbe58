internal import KeyModel

/// How far a piece of work has come.
package struct ProgressSnapshot: Hashable, Sendable {
    /// The phase, one word.
    package var phase: String
    /// How much is done.
    package var done: UInt64
    /// How much there is in all; nil while nobody knows.
    package var total: UInt64?
    /// What is counted, in the plural.
    package var unit: String

    /// Makes a snapshot.
    package init(phase: String, done: UInt64, total: UInt64?, unit: String = "rows") {
        self.phase = phase
        self.done = done
        self.total = total
        self.unit = unit
    }
}

/// Turns snapshots of progress and readings of a monotonic clock into one line of text.
///
/// Reads no clock and writes nothing: the caller hands in the time, any origin will do, and shows the text.
package struct ProgressLine: Sendable {
    private let memory: Duration
    private let interval: Duration
    private var latest: (snapshot: ProgressSnapshot, time: Duration)?
    private var perSecond: Double?
    private var lastPlain: (phase: String, done: UInt64, time: Duration)?

    private static let barWidth = 20

    /// Makes a line for one run.
    ///
    /// - Parameters:
    ///   - memory: How far back the smoothed rate remembers.
    ///   - interval: The least time between two plain lines of one phase.
    package init(memory: Duration = .seconds(8), interval: Duration = .seconds(10)) {
        self.memory = memory
        self.interval = interval
    }

    /// Takes in how far the work has come at a time; a new phase, or a count that went back, starts the rate anew.
    package mutating func update(_ snapshot: ProgressSnapshot, at time: Duration) {
        defer { latest = (snapshot, time) }
        guard let latest, latest.snapshot.phase == snapshot.phase, latest.snapshot.done <= snapshot.done else {
            perSecond = nil
            return
        }
        let elapsed = (time - latest.time) / .seconds(1)
        guard elapsed > 0 else { return }
        let current = Double(snapshot.done - latest.snapshot.done) / elapsed
        let weight = elapsed / (elapsed + memory / .seconds(1))
        perSecond = perSecond.map { $0 + weight * (current - $0) } ?? current
    }

    /// The line for a terminal of this width: phase, bar, share, counts, rate and time left.
    ///
    /// Where it does not fit, the bar goes first, then the rate, the time left, the counts.
    package func text(width: Int, style: Style = .plain) -> String {
        guard let snapshot = latest?.snapshot else { return "" }
        let phase = snapshot.phase.escapedForTerminal
        let share = share(of: snapshot).map { "\($0) %" }
        let parts: [(text: String?, rank: Int)] = [
            (phase, 0), (bar(snapshot), 5), (share, 1), (counts(snapshot), 2), (rate(snapshot), 4), (left(snapshot), 3),
        ]
        for rank in (0...5).reversed() {
            let line = parts.filter { $0.rank <= rank }.compactMap(\.text).joined(separator: "  ")
            if line.terminalWidth <= width {
                return style.apply(.strong, to: phase) + line.dropFirst(phase.count)
            }
        }
        return phase.truncated(to: width)
    }

    /// The line for a log or a pipe; nil while the last one is fresh enough.
    ///
    /// A line is due when the phase has changed, when the phase has come to its end, and each time the interval has passed.
    package mutating func plainLine() -> String? {
        guard let (snapshot, time) = latest else { return nil }
        if let last = lastPlain, last.phase == snapshot.phase {
            let isComplete = snapshot.done == snapshot.total && last.done != snapshot.done
            guard isComplete || time - last.time >= interval else { return nil }
        }
        lastPlain = (snapshot.phase, snapshot.done, time)
        let share = share(of: snapshot).map { "\($0) %" }
        let parts = [counts(snapshot), share, rate(snapshot), left(snapshot)].compactMap { $0 }
        return "\(snapshot.phase.escapedForTerminal): \(parts.joined(separator: ", "))"
    }

    /// Whole per cent, rounded down so that 100 means all; more than was planned is all as well.
    private func share(of snapshot: ProgressSnapshot) -> Int? {
        guard let total = snapshot.total, total > 0 else { return nil }
        return snapshot.done >= total ? 100 : Int(min(99, Double(snapshot.done) / Double(total) * 100))
    }

    private func bar(_ snapshot: ProgressSnapshot) -> String? {
        guard let share = share(of: snapshot) else { return nil }
        let filled = share * Self.barWidth / 100
        return "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: Self.barWidth - filled) + "]"
    }

    private func counts(_ snapshot: ProgressSnapshot) -> String {
        let total = snapshot.total.map { " of \(Readable.count($0))" } ?? ""
        return "\(Readable.count(snapshot.done))\(total) \(snapshot.unit.escapedForTerminal)"
    }

    private func rate(_ snapshot: ProgressSnapshot) -> String? {
        perSecond.map { Readable.rate($0, unit: snapshot.unit.escapedForTerminal) }
    }

    /// Time left at the smoothed rate; silent at the end, and while the rate says nothing.
    private func left(_ snapshot: ProgressSnapshot) -> String? {
        guard let total = snapshot.total, snapshot.done < total, let perSecond else { return nil }
        let seconds = Double(total - snapshot.done) / perSecond
        guard seconds < 100 * 86_400 else { return nil }
        return "\(Readable.duration(.seconds(Int64(seconds.rounded(.up))))) left"
    }
}
