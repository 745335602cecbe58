internal import KeyModel
internal import Storage

extension ControlSession {
    /// How far each column is in a run, by phase and column.
    ///
    /// - Throws: ``StorageError``.
    package func progress(of run: Int64) throws -> [ColumnProgress] {
        let rows = try storage.query(
            """
            SELECT column_id, phase, cursor, is_done, sweep, rows_read, rows_written, rows_missed, rows_skipped,
                rows_quarantined, bytes_written, expected_rows, census
            FROM \(control: "run_progress") WHERE run_id = \(run) ORDER BY phase, column_id
            """
        )
        return try rows.map(columnProgress)
    }

    /// Writes how far a column is.
    ///
    /// - Throws: ``StorageError``.
    package func save(_ progress: ColumnProgress, run: Int64) throws {
        let counts = progress.counts
        try storage.execute(
            """
            INSERT INTO \(control: "run_progress") (run_id, column_id, phase, cursor, is_done, sweep, rows_read, rows_written,
                rows_missed, rows_skipped, rows_quarantined, bytes_written, expected_rows, census)
            VALUES (\(run), \(progress.columnID), \(progress.phase.rawValue), \(progress.cursor?.encoded),
                \(progress.isDone), \(progress.sweep), \(counts.read), \(counts.written), \(counts.missed),
                \(counts.skipped), \(counts.quarantined), \(counts.bytes), \(progress.expectedRows), \(progress.census))
            ON CONFLICT (run_id, column_id, phase) DO UPDATE SET cursor = excluded.cursor, is_done = excluded.is_done,
                sweep = excluded.sweep, rows_read = excluded.rows_read, rows_written = excluded.rows_written,
                rows_missed = excluded.rows_missed, rows_skipped = excluded.rows_skipped,
                rows_quarantined = excluded.rows_quarantined, bytes_written = excluded.bytes_written,
                expected_rows = excluded.expected_rows, census = excluded.census
            """
        )
    }

    /// Records values that could not be opened; a value that is known already keeps its first time.
    ///
    /// - Throws: ``StorageError``.
    package func quarantine(_ records: [QuarantineRecord], run: Int64) throws {
        for record in records {
            try storage.execute(
                """
                INSERT INTO \(control: "quarantine") (run_id, column_id, row_key, shown_key, reason, at)
                VALUES (\(run), \(record.columnID), \(record.key.encoded), \(record.key.description), \(record.reason),
                        \(record.at)) ON CONFLICT (run_id, column_id, row_key) DO UPDATE SET reason = excluded.reason
                """
            )
        }
    }

    /// Forgets what was quarantined in a column, before it is counted anew.
    ///
    /// - Throws: ``StorageError``.
    package func clearQuarantine(run: Int64, column: Int64) throws {
        try storage.execute("DELETE FROM \(control: "quarantine") WHERE run_id = \(run) AND column_id = \(column)")
    }

    /// How many values a run has quarantined.
    ///
    /// - Throws: ``StorageError``.
    package func quarantineCount(run: Int64) throws -> Int64 {
        try storage.query("SELECT count(*) FROM \(control: "quarantine") WHERE run_id = \(run)").first?.integer(0) ?? 0
    }

    /// The values that a run has quarantined, at most `limit`.
    ///
    /// - Throws: ``StorageError``.
    package func quarantined(run: Int64, limit: Int = 1000) throws -> [QuarantineRecord] {
        let rows = try storage.query(
            """
            SELECT column_id, row_key, reason, at FROM \(control: "quarantine") WHERE run_id = \(run)
            ORDER BY column_id, at, row_key LIMIT \(limit)
            """
        )
        return try rows.map { row in
            guard let key = RowKey(encoded: try row.blob(1)) else {
                throw ControlStoreError(.storeRecordDamaged, "cannot read a quarantined row of run \(run)")
            }
            return QuarantineRecord(
                columnID: try row.integer(0), key: key, reason: try row.text(2), at: try row.timestamp(3)
            )
        }
    }

    private func columnProgress(_ row: SQLRow) throws -> ColumnProgress {
        var counts = RowCounts()
        counts.read = try row.integer(5)
        counts.written = try row.integer(6)
        counts.missed = try row.integer(7)
        counts.skipped = try row.integer(8)
        counts.quarantined = try row.integer(9)
        counts.bytes = try row.integer(10)
        guard let phase = RunPhase(rawValue: try row.text(1)) else {
            throw ControlStoreError(.storeRecordDamaged, "a column's progress has no known phase")
        }
        return ColumnProgress(
            columnID: try row.integer(0), phase: phase,
            cursor: try row.optional(2, SQLRow.blob).flatMap(RowKey.init(encoded:)),
            isDone: try row.integer(3) != 0, sweep: Int(try row.integer(4)), counts: counts,
            expectedRows: try row.integer(11), census: try row.optional(12, SQLRow.text)
        )
    }
}
