/// Holds a run down to a rate of rows, so that the application keeps its share.
package struct Throttle: Sendable {
    /// Rows a second at the most; nil for as fast as it goes.
    package let rowsPerSecond: Double?

    /// Makes a throttle.
    package init(rowsPerSecond: Double? = nil) { self.rowsPerSecond = rowsPerSecond }

    /// The most rows to write at once, so that a slow run still hears quickly what is asked of it and keeps its lease.
    var rowsAtOnce: Int { rowsPerSecond.map { Int(max(1, min($0 / 4, 1_000_000))) } ?? .max }

    /// Waits for as long as so many rows may take, cut short when the task is cancelled.
    func pause(after rows: Int) async {
        guard let rowsPerSecond, rowsPerSecond > 0, rows > 0 else { return }
        do {
            try await Task.sleep(for: .seconds(Double(rows) / rowsPerSecond))
        } catch {
            // Cancelled: the walk notices at its next batch.
        }
    }
}
