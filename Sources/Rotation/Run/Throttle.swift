internal import Storage
internal import Synchronization

/// Holds a run down, so that the application keeps its share; shared by all of a run's writers.
package final class Throttle: Sendable {
    private let rowsPerSecond: Double?
    private let dutyCycle: Double
    private let nextFree = Mutex<ContinuousClock.Instant?>(nil)

    /// Makes a throttle.
    ///
    /// - Parameters:
    ///   - rowsPerSecond: Rows rewritten a second at the most, over all writers; nil for as fast as it goes.
    ///   - dutyCycle: The share of the time in which a writer writes, above 0, at most 1.
    package init(rowsPerSecond: Double? = nil, dutyCycle: Double = 1) {
        self.rowsPerSecond = rowsPerSecond
        self.dutyCycle = dutyCycle
    }

    /// Whether a run is held down at all.
    var isHolding: Bool { rowsPerSecond != nil || dutyCycle < 1 }

    /// The most rows to write at once, so that a slow run still hears quickly what is asked of it and keeps its lease.
    var rowsAtOnce: Int { rowsPerSecond.map { Int(max(1, min($0 / 4, 1_000_000))) } ?? .max }

    /// The batches that are written one after the other in a second; the shorter each, the less an application waits.
    private static let batchesPerSecond = 100.0

    /// A slower run is hardly felt, however it is cut; longer batches cost it less.
    private static let leastFelt = 5_000.0

    /// The rate up to which one writer is enough.
    private static let oneWriter = 20_000.0

    /// Batches for the rate: short ones, evenly spread, of windows that are read and decided as they are needed rather than
    /// many at once.
    func adapt(_ tuning: BatchTuning) -> BatchTuning {
        guard let rowsPerSecond, rowsPerSecond >= Self.leastFelt else { return tuning }
        var adapted = tuning
        let batch = rowsPerSecond / Self.batchesPerSecond
        adapted.windowRows = Int(min(Double(tuning.windowRows), batch * Double(tuning.batchesPerWindow)))
        if rowsPerSecond <= Self.oneWriter { (adapted.writers, adapted.interleavedWindows) = (1, 1) }
        return adapted
    }

    /// Decides for rows a few at a time, resting in between, so that nobody else waits for a processor for long.
    func decide(
        _ rows: [StoredRow], _ body: ([StoredRow]) -> [ColumnCipher.Outcome]
    ) async -> [ColumnCipher.Outcome] {
        guard let rowsPerSecond else { return body(rows) }
        let few = Int(max(50, min(rowsPerSecond / 200, 1e6)))
        var outcomes: [ColumnCipher.Outcome] = []
        outcomes.reserveCapacity(rows.count)
        for start in stride(from: 0, to: rows.count, by: few) {
            outcomes += body(Array(rows[start..<min(start + few, rows.count)]))
            // A walk that is cancelled meanwhile ends at its next batch.
            try? await Task.sleep(for: .milliseconds(1))
        }
        return outcomes
    }

    /// How long a pause goes on before it is asked again whether it should.
    private static let longestNap = Duration.milliseconds(250)

    /// Waits for as long as so many rows, and the time that they took, ask for; cut short when the task is cancelled or
    /// `goesOn` says no.
    func pause(after rows: Int, taking time: Duration, while goesOn: () async throws -> Bool) async throws {
        guard rows > 0 else { return }
        let clock = ContinuousClock()
        let until = clock.now + wait(after: rows, taking: time, now: clock.now)
        while clock.now < until, !Task.isCancelled, try await goesOn() {
            do {
                try await clock.sleep(until: min(until, clock.now + Self.longestNap))
            } catch {
                return  // Cancelled: the walk notices at its next batch.
            }
        }
    }

    private func wait(after rows: Int, taking time: Duration, now: ContinuousClock.Instant) -> Duration {
        let idle = time * (1 / dutyCycle - 1)
        guard let rowsPerSecond else { return idle }
        let turn = nextFree.withLock { free in
            let end = max(free ?? now, now) + .seconds(Double(rows) / rowsPerSecond)
            free = end
            return end
        }
        return max(idle, now.duration(to: turn))
    }
}
