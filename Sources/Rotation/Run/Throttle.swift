/// Holds a run down to a rate of rows, so that the application keeps its share.
package struct Throttle: Sendable {
    /// Rows a second at the most; nil for as fast as it goes.
    package let rowsPerSecond: Double?

    /// Makes a throttle.
    package init(rowsPerSecond: Double? = nil) { self.rowsPerSecond = rowsPerSecond }

    /// How long a pause goes on before it is asked again whether it should.
    private static let longestNap = Duration.milliseconds(250)

    /// Waits for as long as so many rows may take, cut short when the task is cancelled or `goesOn` says no.
    func pause(after rows: Int, while goesOn: () async throws -> Bool) async throws {
        guard let rowsPerSecond, rowsPerSecond > 0, rows > 0 else { return }
        var left = Duration.seconds(Double(rows) / rowsPerSecond)
        while left > .zero, !Task.isCancelled, try await goesOn() {
            let nap = min(left, Self.longestNap)
            left -= nap
            do {
                try await Task.sleep(for: nap)
            } catch {
                return  // Cancelled: the walk notices at its next batch.
            }
        }
    }
}
