internal import Storage

extension ControlSession {
    /// Writes a window's mark, in the transaction of the batch that it counts.
    ///
    /// - Throws: ``StorageError``.
    package func save(_ mark: WindowMark, run: Int64) throws {
        try storage.postpone(
            """
            INSERT INTO \(control: "run_windows") (run_id, column_id, phase, number, batches_done, rows_written, rows_missed,
                bytes_written)
            VALUES (\(run), \(mark.columnID), \(mark.phase.rawValue), \(mark.number), \(mark.batchesDone), \(mark.written),
                \(mark.missed), \(mark.bytes))
            ON CONFLICT (run_id, column_id, phase, number) DO UPDATE SET batches_done = excluded.batches_done,
                rows_written = excluded.rows_written, rows_missed = excluded.rows_missed,
                bytes_written = excluded.bytes_written
            """
        )
    }

    /// The marks of windows that were begun and not yet folded into their column's progress.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func windowMarks(run: Int64) throws -> [WindowMark] {
        let rows = try storage.query(
            """
            SELECT column_id, phase, number, batches_done, rows_written, rows_missed, bytes_written
            FROM \(control: "run_windows") WHERE run_id = \(run) ORDER BY column_id, phase, number
            """
        )
        return try rows.map { row in
            guard let phase = RunPhase(rawValue: try row.text(1)) else {
                throw ControlStoreError(.storeRecordDamaged, "a window of run \(run) has no known phase")
            }
            return WindowMark(
                columnID: try row.integer(0), phase: phase, number: try row.integer(2), batchesDone: try row.integer(3),
                written: try row.integer(4), missed: try row.integer(5), bytes: try row.integer(6)
            )
        }
    }

    /// Removes the marks of windows up to a number, once they are folded into their column's progress.
    ///
    /// - Throws: ``StorageError``.
    package func removeWindowMarks(run: Int64, column: Int64, phase: RunPhase, through number: Int64) throws {
        try storage.execute(
            """
            DELETE FROM \(control: "run_windows") WHERE run_id = \(run) AND column_id = \(column)
                AND phase = \(phase.rawValue) AND number <= \(number)
            """
        )
    }
}
