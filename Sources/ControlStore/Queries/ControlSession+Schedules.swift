package import KeyModel
internal import Storage

extension ControlSession {
    /// What all schedulers share.
    ///
    /// - Throws: ``StorageError``.
    package func scheduler() throws -> SchedulerRecord {
        let rows = try storage.query(
            "SELECT revision, clock_high, clock_steps, alert FROM \(control: "scheduler")")
        return try rows.first.map { row in
            SchedulerRecord(
                revision: try row.integer(0), clockHigh: try row.optional(1, SQLRow.timestamp),
                clockSteps: try row.integer(2), alert: try row.optional(3, SQLRow.text))
        } ?? SchedulerRecord()
    }

    /// Writes what all schedulers share, save its revision.
    ///
    /// - Throws: ``StorageError``.
    package func update(_ scheduler: SchedulerRecord) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "scheduler") (one, revision, clock_high, clock_steps, alert)
            VALUES (1, 0, \(scheduler.clockHigh), \(scheduler.clockSteps), \(scheduler.alert))
            ON CONFLICT (one) DO UPDATE SET clock_high = excluded.clock_high, clock_steps = excluded.clock_steps,
                alert = excluded.alert
            """
        )
    }

    /// Every schedule that was ever loaded, by name.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func schedules() throws -> [ScheduleRecord] {
        try storage.query(Self.scheduleColumns + " ORDER BY name").map(schedule)
    }

    /// A schedule by its name.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func schedule(_ name: Name) throws -> ScheduleRecord {
        guard let row = try storage.query(Self.scheduleColumns + " WHERE name = \(name.description)").first else {
            throw ControlStoreError(
                .callerNotFound, "no daemon has taken up a schedule \(quoted(name.description))",
                hint: "\"keyturn serve\" takes up what keyturn.lua declares; schedules.list shows it.")
        }
        return try schedule(row)
    }

    /// Records a schedule that is loaded for the first time.
    ///
    /// - Throws: ``StorageError``.
    package func insert(_ schedule: ScheduleRecord) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "schedules") (name, hash, activated_at, zone, zone_version, expected_ms, missed, skipped,
                function_failures, is_declared)
            VALUES (\(schedule.name.description), \(schedule.hash), \(schedule.activatedAt), \(schedule.zone),
                \(schedule.zoneVersion), 0, 0, '{}', 0, 1)
            """
        )
    }

    /// Writes back what of a schedule its scheduler changes; whether it is paused is somebody else's to say.
    ///
    /// - Throws: ``StorageError``.
    package func update(_ schedule: ScheduleRecord) throws {
        try storage.execute(
            """
            UPDATE \(control: "schedules") SET hash = \(schedule.hash), watermark = \(schedule.watermark),
                watermark_local = \(schedule.watermarkLocal), zone = \(schedule.zone),
                zone_version = \(schedule.zoneVersion), pending = \(schedule.pending),
                last_started_at = \(schedule.lastStartedAt), last_success_at = \(schedule.lastSuccessAt),
                expected_ms = \(schedule.expected.wholeMilliseconds), missed = \(schedule.missed),
                skipped = \(try JSONText.encode(schedule.skipped)), function_failures = \(schedule.functionFailures),
                function_value = \(schedule.functionValue), alert = \(schedule.alert),
                is_declared = \(schedule.isDeclared)
            WHERE name = \(schedule.name.description)
            """
        )
    }

    /// Pauses a schedule, or lets it go on.
    ///
    /// - Throws: ``StorageError``.
    package func setPause(_ pause: ScheduleRecord.Pause?, of name: Name) throws {
        try storage.execute(
            """
            UPDATE \(control: "schedules") SET paused_at = \(pause?.at), paused_by = \(pause?.actor),
                paused_reason = \(pause?.reason) WHERE name = \(name.description)
            """
        )
        try raiseScheduleRevision()
    }

    /// Lets a paused schedule go on: nominal times that passed meanwhile are settled without a run, and an occurrence that was
    /// given up is tried again.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func resumeSchedule(_ name: Name, at time: Timestamp) throws {
        let record = try schedule(name)
        guard record.pause != nil else { return }
        for var occurrence in try openOccurrences() where occurrence.id.schedule == name {
            guard occurrence.state == .needsOperator else { continue }
            occurrence.state = .retrying
            occurrence.attempt = 1
            occurrence.nextAttemptAt = time
            occurrence.updatedAt = time
            try update(occurrence)
            try addStep("tried again on request", to: occurrence.id, epoch: occurrence.epoch)
        }
        if record.watermark.map({ $0 < time }) ?? true {
            try storage.execute(
                """
                UPDATE \(control: "schedules") SET watermark = \(time), watermark_local = NULL, pending = NULL
                WHERE name = \(name.description)
                """
            )
        }
        try setPause(nil, of: name)
    }

    /// Takes a time as right: what schedules have worked at later no longer counts.
    ///
    /// - Parameters:
    ///   - now: The time.
    ///   - most: The latest time up to which a schedule may be settled, which is its next nominal time.
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func acceptClock(_ now: Timestamp, most: (ScheduleRecord) throws -> Timestamp) throws {
        for var record in try schedules() {
            guard let watermark = record.watermark, case let limit = try most(record), watermark > limit else {
                continue
            }
            record.watermark = limit
            record.watermarkLocal = nil
            record.pending = nil
            try update(record)
        }
        var shared = try scheduler()
        shared.clockHigh = now
        shared.alert = nil
        try update(shared)
        try raiseScheduleRevision()
    }

    /// Tells the scheduler that something was changed behind its back.
    ///
    /// - Throws: ``StorageError``.
    package func raiseScheduleRevision() throws {
        try storage.execute(
            """
            INSERT INTO \(control: "scheduler") (one, revision, clock_steps) VALUES (1, 1, 0)
            ON CONFLICT (one) DO UPDATE SET revision = \(control: "scheduler").revision + 1
            """
        )
    }

    private static let scheduleColumns: SQL =
        """
        SELECT name, hash, activated_at, watermark, watermark_local, zone, zone_version, pending, paused_at, paused_by,
            paused_reason, last_started_at, last_success_at, expected_ms, missed, skipped, function_failures,
            function_value, alert, is_declared FROM \(control: "schedules")
        """

    private func schedule(_ row: SQLRow) throws -> ScheduleRecord {
        let name = try Name(row.text(0))
        var record = ScheduleRecord(
            name: name, hash: try row.text(1), activatedAt: try row.timestamp(2), zone: try row.text(5),
            zoneVersion: try row.text(6))
        record.watermark = try row.optional(3, SQLRow.timestamp)
        record.watermarkLocal = try row.optional(4, SQLRow.text)
        record.pending = try row.optional(7, SQLRow.timestamp)
        if let at = try row.optional(8, SQLRow.timestamp) {
            record.pause = ScheduleRecord.Pause(
                at: at, actor: try row.optional(9, SQLRow.text) ?? "", reason: try row.optional(10, SQLRow.text) ?? "")
        }
        record.lastStartedAt = try row.optional(11, SQLRow.timestamp)
        record.lastSuccessAt = try row.optional(12, SQLRow.timestamp)
        record.expected = .milliseconds(try row.integer(13))
        record.missed = try row.integer(14)
        record.skipped = try JSONText.decode(try row.text(15), of: "schedule \(name)")
        record.functionFailures = try row.integer(16)
        record.functionValue = try row.optional(17, SQLRow.text)
        record.alert = try row.optional(18, SQLRow.text)
        record.isDeclared = try row.integer(19) == 1
        return record
    }
}

extension Duration {
    /// Whole milliseconds.
    var wholeMilliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
