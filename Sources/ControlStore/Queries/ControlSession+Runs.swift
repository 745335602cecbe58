package import KeyModel
internal import Storage

extension ControlSession {
    /// Records a new run and returns its number.
    ///
    /// - Throws: ``StorageError``.
    package func insertRun(_ make: (Int64) throws -> RunRecord) throws -> RunRecord {
        let next = try storage.query("SELECT coalesce(max(id), 0) + 1 FROM \(control: "runs")").first?.integer(0) ?? 1
        let run = try make(next)
        try storage.execute(
            """
            INSERT INTO \(control: "runs") (id, kind, urgency, keyring, column_ids, phase, state, request, new_key, old_keys,
                plan, plan_hash, configuration_hash, actor, started_at, updated_at)
            VALUES (\(run.id), \(run.kind.rawValue), \(run.urgency.rawValue), \(run.keyring.description),
                \(try JSONText.encode(run.columnIDs)), \(run.phase.rawValue), \(run.state.rawValue), \(run.request.rawValue),
                \(run.newKey), \(try JSONText.encode(run.oldKeys.map(\.description))), \(run.plan), \(run.planHash),
                \(run.configurationHash), \(run.actor), \(run.startedAt), \(run.updatedAt))
            """
        )
        return run
    }

    /// Writes back what of a run can change, save its request.
    ///
    /// - Throws: ``StorageError``.
    package func update(_ run: RunRecord) throws {
        try storage.execute(
            """
            UPDATE \(control: "runs") SET phase = \(run.phase.rawValue), state = \(run.state.rawValue),
                new_key = \(run.newKey), old_keys = \(try JSONText.encode(run.oldKeys.map(\.description))),
                updated_at = \(run.updatedAt), finished_at = \(run.finishedAt), message = \(run.message),
                proof = \(run.proof)
            WHERE id = \(run.id)
            """
        )
    }

    /// Asks something of a run.
    ///
    /// - Throws: ``StorageError``.
    package func setRequest(_ request: RunRequest, of run: Int64) throws {
        try storage.execute("UPDATE \(control: "runs") SET request = \(request.rawValue) WHERE id = \(run)")
    }

    /// What is asked of a run.
    ///
    /// - Throws: ``StorageError``.
    package func request(of run: Int64) throws -> RunRequest {
        try storage.query("SELECT request FROM \(control: "runs") WHERE id = \(run)").first
            .flatMap { RunRequest(rawValue: try $0.text(0)) } ?? .none
    }

    /// The newest runs, newest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func runs(limit: Int = 1000) throws -> [RunRecord] {
        try storage.query(Self.runColumns + " ORDER BY id DESC LIMIT \(limit)").map(runRecord)
    }

    /// The latest run that somebody began whose name begins so, or that has this number.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func latestRun(ofActor prefix: String, or id: Int64?) throws -> RunRecord? {
        let rest: SQL =
            " WHERE id = \(id) OR substr(actor, 1, \(prefix.count)) = \(prefix) ORDER BY id DESC LIMIT 1"
        return try storage.query(Self.runColumns + rest).first.map(runRecord)
    }

    /// The run of this number.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func run(_ id: Int64) throws -> RunRecord {
        guard let row = try storage.query(Self.runColumns + " WHERE id = \(id)").first else {
            throw ControlStoreError(
                .callerNotFound, "there is no run \(id)", hint: "\"keyturn runs\" lists them."
            )
        }
        return try runRecord(row)
    }

    /// The run that is not finished yet, if there is one.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func openRun() throws -> RunRecord? {
        let open = "('open', 'paused', 'waiting', 'needsOperator')"
        return try storage.query(Self.runColumns + " WHERE state IN \(raw: open) ORDER BY id DESC LIMIT 1").first
            .map(runRecord)
    }

    /// Adds a step to a run's history.
    ///
    /// - Throws: ``StorageError``.
    package func addStep(_ what: String, in phase: RunPhase, of run: Int64, at time: Timestamp) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "run_steps") (run_id, number, at, phase, what)
            SELECT \(run), coalesce(max(number), 0) + 1, \(time), \(phase.rawValue), \(what)
            FROM \(control: "run_steps") WHERE run_id = \(run)
            """
        )
    }

    /// Adds to a run's history who asked something of it.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func addStep(_ request: RunRequest, askedBy actor: String, of run: RunRecord, at time: Timestamp) throws {
        let what =
            switch request {
            case .none: Self.resumeAsked
            case .pause: Self.pauseAsked
            case .cancel: "cancel asked for by "
            }
        try addStep(what + actor, in: run.phase, of: run.id, at: time)
    }

    /// Who asked last that a run pause; nil where nobody did, or where somebody let it go on since.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func pauser(of run: Int64) throws -> String? {
        let asked = try steps(of: run).last {
            $0.what.hasPrefix(Self.pauseAsked) || $0.what.hasPrefix(Self.resumeAsked)
        }
        guard let asked, asked.what.hasPrefix(Self.pauseAsked) else { return nil }
        return String(asked.what.dropFirst(Self.pauseAsked.count))
    }

    /// Records that a run is cancelled for an emergency's sake.
    ///
    /// - Throws: ``StorageError``.
    package func addMakingWay(of run: RunRecord, by actor: String, at time: Timestamp) throws {
        try addStep(Self.madeWay + actor, in: run.phase, of: run.id, at: time)
    }

    /// Whether a run was cancelled for an emergency's sake.
    ///
    /// - Throws: ``StorageError``.
    package func hasMadeWay(_ run: Int64) throws -> Bool {
        try steps(of: run).contains { $0.what.hasPrefix(Self.madeWay) }
    }

    private static let madeWay = "makes way for an emergency of "
    private static let pauseAsked = "pause asked for by "
    private static let resumeAsked = "asked to go on by "

    /// The history of a run, oldest first.
    ///
    /// - Throws: ``StorageError``.
    package func steps(of run: Int64) throws -> [RunStep] {
        let rows = try storage.query(
            "SELECT at, phase, what FROM \(control: "run_steps") WHERE run_id = \(run) ORDER BY number"
        )
        return try rows.map { RunStep(at: try $0.timestamp(0), phase: try phase($0.text(1)), what: try $0.text(2)) }
    }

    /// Records that a consumer acknowledged a stage; a repeated one changes nothing.
    ///
    /// - Throws: ``StorageError``.
    package func acknowledge(_ acknowledgement: Acknowledgement, run: Int64) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "acknowledgements") (run_id, consumer, stage, at, actor)
            VALUES (\(run), \(acknowledgement.consumer.description), \(acknowledgement.stage.rawValue),
                    \(acknowledgement.at), \(acknowledgement.actor)) ON CONFLICT (run_id, consumer, stage) DO NOTHING
            """
        )
    }

    /// What was acknowledged for a run.
    ///
    /// - Throws: ``StorageError``.
    package func acknowledgements(of run: Int64) throws -> [Acknowledgement] {
        let rows = try storage.query(
            "SELECT consumer, stage, at, actor FROM \(control: "acknowledgements") WHERE run_id = \(run) ORDER BY at"
        )
        return try rows.compactMap { row in
            guard let stage = AcknowledgementStage(rawValue: try row.text(1)) else { return nil }
            return Acknowledgement(
                consumer: try Name(row.text(0)), stage: stage, at: try row.timestamp(2), actor: try row.text(3)
            )
        }
    }

    private static let runColumns: SQL =
        """
        SELECT id, kind, urgency, keyring, column_ids, phase, state, request, new_key, old_keys, plan, plan_hash,
            configuration_hash, actor, started_at, updated_at, finished_at, message, proof FROM \(control: "runs")
        """

    private func runRecord(_ row: SQLRow) throws -> RunRecord {
        let id = try row.integer(0)
        guard let kind = RunKind(rawValue: try row.text(1)), let urgency = RunUrgency(rawValue: try row.text(2)),
            let state = RunState(rawValue: try row.text(6))
        else {
            throw ControlStoreError(.storeRecordDamaged, "cannot read the record of run \(id)")
        }
        let oldKeys = try JSONText.decode(try row.text(9), as: [String].self, of: "run \(id)")
        return RunRecord(
            id: id, kind: kind, urgency: urgency, keyring: try Name(row.text(3)),
            columnIDs: try JSONText.decode(try row.text(4), as: [Int64].self, of: "run \(id)"),
            phase: try phase(row.text(5)), state: state, request: RunRequest(rawValue: try row.text(7)) ?? .none,
            newKey: try row.optional(8, SQLRow.keyID), oldKeys: oldKeys.compactMap { KeyID(hex: $0) },
            plan: try row.text(10), planHash: try row.text(11), configurationHash: try row.text(12),
            actor: try row.text(13), startedAt: try row.timestamp(14), updatedAt: try row.timestamp(15),
            finishedAt: try row.optional(16, SQLRow.timestamp), message: try row.optional(17, SQLRow.text),
            proof: try row.optional(18, SQLRow.text)
        )
    }

    private func phase(_ text: String) throws -> RunPhase {
        guard let phase = RunPhase(rawValue: text) else {
            throw ControlStoreError(.storeRecordDamaged, "a run has the phase \(quoted(text))")
        }
        return phase
    }
}
