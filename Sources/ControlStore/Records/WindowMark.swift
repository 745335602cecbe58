/// What the batches of a window that is being written have come to; one row a window, so that two writers never wait for
/// each other's.
package struct WindowMark: Hashable, Sendable {
    /// The column.
    package let columnID: Int64
    /// The phase.
    package let phase: RunPhase
    /// The window's number in its walk.
    package let number: Int64
    /// Batches that are committed.
    package var batchesDone: Int64
    /// Rows rewritten by them.
    package var written: Int64
    /// Rows that someone else wrote first.
    package var missed: Int64
    /// Bytes of values written.
    package var bytes: Int64

    /// Makes the mark of a window of which nothing is written yet.
    package init(
        columnID: Int64, phase: RunPhase, number: Int64, batchesDone: Int64 = 0, written: Int64 = 0, missed: Int64 = 0,
        bytes: Int64 = 0
    ) {
        self.columnID = columnID
        self.phase = phase
        self.number = number
        self.batchesDone = batchesDone
        self.written = written
        self.missed = missed
        self.bytes = bytes
    }
}
