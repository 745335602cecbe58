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

    /// Waits for as long as so many rows, and the time that they took, ask for; cut short when the task is cancelled.
    func pause(after rows: Int, taking time: Duration) async {
        guard rows > 0 else { return }
        let now = ContinuousClock.now
        var until = now + time * (1 / dutyCycle - 1)
        if let rowsPerSecond {
            let turn = nextFree.withLock { free in
                let begin = max(free ?? now, now)
                free = begin + .seconds(Double(rows) / rowsPerSecond)
                return free ?? now
            }
            until = max(until, turn)
        }
        guard until > now else { return }
        do {
            try await Task.sleep(until: until)
        } catch {
            // Cancelled: the walk notices at its next batch.
        }
    }
}
