internal import KeyModel
internal import Storage

extension ControlSession {
    /// Records an attempt to perform a hook, or how it ended.
    ///
    /// - Throws: ``StorageError``.
    package func save(_ attempt: HookAttempt) throws {
        let hook = attempt.hook
        try storage.execute(
            """
            INSERT INTO \(control: "run_hooks") (attempt, run_id, stage, number, file, line, state, started_at, finished_at,
                output, message)
            VALUES (\(attempt.id), \(attempt.run), \(hook.stage.rawValue), \(Int64(hook.index)), \(hook.file), \(hook.line),
                \(attempt.state.rawValue), \(attempt.startedAt), \(attempt.finishedAt), \(attempt.output),
                \(attempt.message))
            ON CONFLICT (attempt) DO UPDATE SET state = excluded.state, finished_at = excluded.finished_at,
                output = excluded.output, message = excluded.message
            """
        )
    }

    /// The attempts to perform hooks in a run, oldest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func hookAttempts(of run: Int64) throws -> [HookAttempt] {
        let rows = try storage.query(
            """
            SELECT attempt, stage, number, file, line, state, started_at, finished_at, output, message
            FROM \(control: "run_hooks") WHERE run_id = \(run) ORDER BY started_at, stage, number
            """
        )
        return try rows.map { row in
            guard let stage = HookDeclaration.Stage(rawValue: try row.text(1)),
                let state = HookAttempt.State(rawValue: try row.text(5))
            else {
                throw ControlStoreError(.storeRecordDamaged, "a hook of run \(run) has no known stage or state")
            }
            let hook = HookDeclaration(
                stage: stage, index: Int(try row.integer(2)), file: try row.text(3), line: try row.integer(4))
            return HookAttempt(
                id: try row.text(0), run: run, hook: hook, state: state, startedAt: try row.timestamp(6),
                finishedAt: try row.optional(7, SQLRow.timestamp), output: try row.text(8),
                message: try row.optional(9, SQLRow.text))
        }
    }
}
