package import KeyModel
internal import Storage

extension ControlSession {
    /// Records an occurrence, which claims its nominal time.
    ///
    /// - Returns: Whether the nominal time was free; false changes nothing.
    /// - Throws: ``StorageError``.
    package func claim(_ occurrence: OccurrenceRecord) throws -> Bool {
        let changed = try storage.execute(
            """
            INSERT INTO \(control: "occurrences") (schedule, nominal, nominal_local, zone, zone_version, reason, state,
                ignores_window, attempt, epoch, passed_over, claimed_at, updated_at, finished_at, message)
            VALUES (\(occurrence.id.schedule.description), \(occurrence.id.nominal), \(occurrence.nominalLocal),
                \(occurrence.zone), \(occurrence.zoneVersion), \(occurrence.reason), \(occurrence.state.rawValue),
                \(occurrence.ignoresWindow), \(occurrence.attempt), \(occurrence.epoch), \(occurrence.passedOver),
                \(occurrence.claimedAt), \(occurrence.updatedAt), \(occurrence.finishedAt), \(occurrence.message))
            ON CONFLICT (schedule, nominal) DO NOTHING
            """
        )
        return changed == 1
    }

    /// Writes back what of an occurrence can change.
    ///
    /// - Throws: ``StorageError``.
    package func update(_ occurrence: OccurrenceRecord) throws {
        try storage.execute(
            """
            UPDATE \(control: "occurrences") SET state = \(occurrence.state.rawValue), attempt = \(occurrence.attempt),
                epoch = \(occurrence.epoch), run_id = \(occurrence.run), started_at = \(occurrence.startedAt),
                updated_at = \(occurrence.updatedAt), finished_at = \(occurrence.finishedAt),
                next_attempt_at = \(occurrence.nextAttemptAt), message = \(occurrence.message)
            WHERE schedule = \(occurrence.id.schedule.description) AND nominal = \(occurrence.id.nominal)
            """
        )
    }

    /// An occurrence; nil where its nominal time was never claimed.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func occurrence(_ id: OccurrenceRecord.ID) throws -> OccurrenceRecord? {
        let key: SQL = " WHERE schedule = \(id.schedule.description) AND nominal = \(id.nominal)"
        return try storage.query(Self.occurrenceColumns + key).first.map(occurrence)
    }

    /// The occurrences that are not over, oldest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func openOccurrences() throws -> [OccurrenceRecord] {
        let states = OccurrenceRecord.State.allCases.filter(\.isOpen).map { "'\($0.rawValue)'" }.joined(separator: ", ")
        return try storage.query(
            Self.occurrenceColumns + " WHERE state IN (\(raw: states)) ORDER BY claimed_at, schedule"
        ).map(occurrence)
    }

    /// The latest occurrences of a schedule, newest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func occurrences(of schedule: Name, limit: Int = 20) throws -> [OccurrenceRecord] {
        let rest: SQL =
            " WHERE schedule = \(schedule.description) ORDER BY claimed_at DESC, nominal DESC LIMIT \(limit)"
        return try storage.query(Self.occurrenceColumns + rest).map(occurrence)
    }

    /// Forgets the oldest occurrences of a schedule that are over, with their history, once there are far more than are shown.
    ///
    /// - Throws: ``StorageError``.
    package func pruneOccurrences(of schedule: Name, keeping kept: Int = 1000, slack: Int = 100) throws {
        let latest: SQL =
            """
            SELECT claimed_at FROM \(control: "occurrences") WHERE schedule = \(schedule.description)
            ORDER BY claimed_at DESC, nominal DESC
            """
        guard try !storage.query(latest + " LIMIT 1 OFFSET \(kept + slack)").isEmpty,
            let oldest = try storage.query(latest + " LIMIT 1 OFFSET \(kept)").first?.timestamp(0)
        else { return }
        try storage.execute(
            """
            DELETE FROM \(control: "occurrences") WHERE schedule = \(schedule.description)
                AND claimed_at <= \(oldest) AND finished_at IS NOT NULL
            """
        )
        try storage.execute(
            """
            DELETE FROM \(control: "occurrence_steps") WHERE schedule = \(schedule.description) AND NOT EXISTS (
                SELECT 1 FROM \(control: "occurrences") o
                WHERE o.schedule = \(control: "occurrence_steps").schedule
                    AND o.nominal = \(control: "occurrence_steps").nominal)
            """
        )
    }

    /// The nominal times of a schedule that are claimed within a stretch, its end included.
    ///
    /// - Throws: ``StorageError``.
    package func claimedNominals(of schedule: Name, in range: ClosedRange<Timestamp>) throws -> Set<Timestamp> {
        let rows = try storage.query(
            """
            SELECT nominal FROM \(control: "occurrences") WHERE schedule = \(schedule.description)
                AND nominal >= \(range.lowerBound) AND nominal <= \(range.upperBound)
            """
        )
        return Set(try rows.map { try $0.timestamp(0) })
    }

    /// Adds a step to the history of an occurrence, at the database's time.
    ///
    /// - Throws: ``StorageError``.
    package func addStep(_ what: String, to occurrence: OccurrenceRecord.ID, epoch: Int64) throws {
        let now = try storage.currentTime()
        try storage.execute(
            """
            INSERT INTO \(control: "occurrence_steps") (number, at, schedule, nominal, epoch, what)
            SELECT coalesce(max(number), 0) + 1, \(now), \(occurrence.schedule.description), \(occurrence.nominal),
                \(epoch), \(what) FROM \(control: "occurrence_steps")
            """
        )
    }

    /// The history of all occurrences after a step, oldest first, so many steps at most.
    ///
    /// - Throws: ``StorageError``.
    package func occurrenceSteps(after number: Int64 = 0, limit: Int = 10_000) throws -> [OccurrenceStep] {
        let rows = try storage.query(
            """
            SELECT number, at, schedule, nominal, epoch, what FROM \(control: "occurrence_steps")
            WHERE number > \(number) ORDER BY number LIMIT \(limit)
            """
        )
        return try rows.map { row in
            OccurrenceStep(
                number: try row.integer(0), at: try row.timestamp(1),
                occurrence: OccurrenceRecord.ID(
                    schedule: try Name(row.text(2)), nominal: try row.timestamp(3)),
                epoch: try row.integer(4), what: try row.text(5))
        }
    }

    /// Asks something of the scheduler; returns the number of the request.
    ///
    /// - Throws: ``StorageError``.
    package func insert(_ request: ScheduleRequest) throws -> Int64 {
        let next =
            try storage.query(
                "SELECT coalesce(max(number), 0) + 1 FROM \(control: "schedule_requests")"
            ).first?.integer(0) ?? 1
        try storage.execute(
            """
            INSERT INTO \(control: "schedule_requests") (number, schedule, kind, at, actor, ignores_window, range_start,
                range_end)
            VALUES (\(next), \(request.schedule.description), \(request.kind.rawValue), \(request.at), \(request.actor),
                \(request.ignoresWindow), \(request.range?.lowerBound), \(request.range?.upperBound))
            """
        )
        try raiseScheduleRevision()
        return next
    }

    /// The requests that nobody has dealt with, oldest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func openScheduleRequests() throws -> [ScheduleRequest] {
        try storage.query(Self.requestColumns + " WHERE handled_at IS NULL ORDER BY number LIMIT 1000")
            .map { try scheduleRequest($0) }
    }

    /// The latest requests for a schedule, newest first, with what became of each; nil while nobody has dealt with it.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func scheduleRequests(
        of schedule: Name, limit: Int
    ) throws -> [(request: ScheduleRequest, outcome: String?)] {
        let rest: SQL = " WHERE schedule = \(schedule.description) ORDER BY number DESC LIMIT \(limit)"
        return try storage.query(Self.requestColumns + rest)
            .map { (try scheduleRequest($0), try $0.optional(8, SQLRow.text)) }
    }

    /// What became of a request; nil while nobody has dealt with it.
    ///
    /// - Throws: ``StorageError``.
    package func outcome(ofScheduleRequest number: Int64) throws -> String? {
        try storage.query(
            "SELECT outcome FROM \(control: "schedule_requests") WHERE number = \(number)"
        ).first?.optional(0, SQLRow.text)
    }

    /// Records what became of a request.
    ///
    /// - Throws: ``StorageError``.
    package func settle(scheduleRequest number: Int64, outcome: String, at time: Timestamp) throws {
        try storage.execute(
            """
            UPDATE \(control: "schedule_requests") SET handled_at = \(time), outcome = \(outcome)
            WHERE number = \(number)
            """
        )
    }

    private static let requestColumns: SQL =
        """
        SELECT number, schedule, kind, at, actor, ignores_window, range_start, range_end, outcome
        FROM \(control: "schedule_requests")
        """

    private func scheduleRequest(_ row: SQLRow) throws -> ScheduleRequest {
        guard let kind = ScheduleRequest.Kind(rawValue: try row.text(2)) else {
            throw ControlStoreError(
                .storeRecordDamaged, "a request for a schedule is of the kind \(quoted(try row.text(2)))")
        }
        let start = try row.optional(6, SQLRow.timestamp)
        let end = try row.optional(7, SQLRow.timestamp)
        let range = start.flatMap { start in end.flatMap { start <= $0 ? start...$0 : nil } }
        var request = ScheduleRequest(
            schedule: try Name(row.text(1)), kind: kind, at: try row.timestamp(3), actor: try row.text(4),
            ignoresWindow: try row.integer(5) == 1, range: range)
        request.number = try row.integer(0)
        return request
    }

    private static let occurrenceColumns: SQL =
        """
        SELECT schedule, nominal, nominal_local, zone, zone_version, reason, state, ignores_window, attempt, epoch, run_id,
            passed_over, claimed_at, started_at, updated_at, finished_at, next_attempt_at, message
        FROM \(control: "occurrences")
        """

    private func occurrence(_ row: SQLRow) throws -> OccurrenceRecord {
        let id = OccurrenceRecord.ID(schedule: try Name(row.text(0)), nominal: try row.timestamp(1))
        guard let state = OccurrenceRecord.State(rawValue: try row.text(6)) else {
            throw ControlStoreError(
                .storeRecordDamaged, "the occurrence \(id.nominal) of schedule \(id.schedule) is damaged")
        }
        var record = OccurrenceRecord(
            id: id, nominalLocal: try row.text(2), zone: try row.text(3), zoneVersion: try row.text(4),
            reason: try row.text(5), state: state, ignoresWindow: try row.integer(7) == 1, epoch: try row.integer(9),
            passedOver: try row.integer(11), at: try row.timestamp(12))
        record.attempt = try row.integer(8)
        record.run = try row.optional(10, SQLRow.integer)
        record.startedAt = try row.optional(13, SQLRow.timestamp)
        record.updatedAt = try row.timestamp(14)
        record.finishedAt = try row.optional(15, SQLRow.timestamp)
        record.nextAttemptAt = try row.optional(16, SQLRow.timestamp)
        record.message = try row.optional(17, SQLRow.text)
        return record
    }
}
