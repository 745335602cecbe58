internal import ControlStore
internal import KeyModel
internal import Logging

extension Scheduler {
    /// Opens the time zone database where that is due, and tries all declarations anew where its release changed.
    ///
    /// A schedule that cannot be used is left out and says so; the others are not affected.
    func loadZones() throws {
        let uptime = clock.uptime()
        if let checked = zonesCheckedAt, uptime - checked < setting.zoneCheck, !schedules.isEmpty || !faults.isEmpty {
            return
        }
        zonesCheckedAt = uptime
        let opened = try openZones()
        // A zone can come back without another release.
        let isTried = schedules.count + faults.count == declarations.count
        if let zones, zones.version == opened.version, isTried, faults.isEmpty { return }
        if let zones, zones.version != opened.version {
            logger.notice(
                "time zones changed", metadata: ["from": "\(zones.version)", "to": "\(opened.version)"])
        }
        zones = opened
        let known = faults
        schedules = [:]
        faults = [:]
        for declaration in declarations {
            do {
                schedules[declaration.name] = try Schedule(declaration, zones: opened, instance: setting.instance)
            } catch {
                faults[declaration.name] = error.message
                guard known[declaration.name] != error.message else { continue }
                logger.error(
                    "schedule disabled",
                    metadata: ["schedule": "\(declaration.name)", "reason": "\(error.message)"])
            }
        }
        mustReload = true
    }

    /// Reads what is recorded, and records the schedules that are new, edited, moved by another release of the time zone
    /// database, or no longer declared.
    func reload() async throws {
        guard let lease else { return }
        let (now, schedules, faults) = (clock.now(), schedules, faults)
        let mayActivate = objection == nil
        let (records, open, shared) = try await control.write { session in
            try session.checkSchedulerLease(epoch: lease.epoch)
            var known = Dictionary(
                try session.schedules().map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            for (name, schedule) in schedules {
                guard let present = known[name] else {
                    guard mayActivate else { continue }
                    let record = ScheduleRecord(
                        name: name, hash: schedule.hash, activatedAt: now, zone: schedule.rules.zone.name,
                        zoneVersion: schedule.rules.zone.databaseVersion)
                    try session.insert(record)
                    known[name] = record
                    continue
                }
                let record = present.following(schedule, at: now)
                if record != present { try session.update(record) }
                known[name] = record
            }
            for (name, present) in known where schedules[name] == nil {
                var record = present
                record.isDeclared = faults[name] != nil
                record.alert = faults[name]
                if record != present { try session.update(record) }
            }
            return (known, try session.openOccurrences(), try session.scheduler())
        }
        reached(.schedulesRecorded)
        let steps = self.shared.clockSteps
        self.shared = shared
        self.shared.clockSteps = max(steps, shared.clockSteps)
        machine.load(
            schedules.values.compactMap { schedule in records[schedule.name].map { (schedule, $0) } }, open: open)
        mustReload = false
    }

    /// Asks what is known of keyrings, once in a while; where that fails, what was known before counts.
    func learnFacts() async {
        let uptime = clock.uptime()
        if let learned = factsLearnedAt, uptime - learned < setting.factsCheck { return }
        factsLearnedAt = uptime
        do {
            machine.learned(try await actions.keyFacts())
        } catch {
            logger.warning("keyrings cannot be asked about", metadata: ["reason": "\(described(error))"])
        }
        recordFigures()
    }

    private func recordFigures() {
        let now = clock.now()
        for (name, entry) in machine.entries {
            var figures = ScheduleFigures()
            figures.nextDue = entry.record.pause == nil ? entry.nextStart : nil
            figures.sinceSuccess = entry.record.lastSuccessAt.map { now.since($0) }
            if let most = entry.schedule.rules.maxKeyAge, let made = entry.key.madeAt {
                figures.keyAge = now.since(made) / most
            }
            metrics.record(name, figures)
        }
    }
}

extension ScheduleRecord {
    /// The record as it must be for a schedule as it is declared now.
    ///
    /// What is settled stays settled: by the instant, and where another release of the time zone database has moved that
    /// local time to later, by the local time too.
    func following(_ schedule: Schedule, at now: Timestamp) -> ScheduleRecord {
        var record = self
        let zone = schedule.rules.zone
        if zone.name == self.zone, zone.databaseVersion != zoneVersion, let watermark, let watermarkLocal,
            let moved = zone.firstInstant(showing: watermarkLocal)
        {
            record.watermark = max(watermark, moved)
        }
        if !isDeclared {
            // A schedule that comes back is a new one: it does not look back.
            record.watermark = max(watermark ?? now, now)
            record.pending = nil
        }
        record.hash = schedule.hash
        record.zone = zone.name
        record.zoneVersion = zone.databaseVersion
        record.isDeclared = true
        record.alert = record.functionFailures >= Self.failuresToTell ? alert : nil
        return record
    }

    /// A function that fails so often in a row is worth an alert.
    static let failuresToTell: Int64 = 3
}

extension Zone {
    /// The first instant at which the wall shows a time, or the end of the gap that it falls into; nil for a text that is no time.
    func firstInstant(showing local: String) -> Timestamp? {
        guard let time = try? Timestamp(withOffset: local + "Z") else { return nil }
        return (table.firstInstant(showing: time.seconds) ?? table.gapEnd(over: time.seconds)).map {
            Timestamp(seconds: $0)
        }
    }
}
