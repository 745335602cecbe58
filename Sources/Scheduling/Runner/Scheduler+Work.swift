internal import ControlStore
internal import KeyModel
internal import Logging

extension Scheduler {
    /// Does what the machine says until it has nothing more to say.
    func work() async throws {
        if alertChanged { try await recordAlert() }
        guard objection == nil, !isLeaseStale else { return }
        try await dealWithRequests()
        var hasLearned = false
        // Each round leaves less to do; the bound is for bugs of ours alone.
        for _ in 0..<1000 {
            let now = clock.now()
            let steps = machine.steps(at: now)
            guard !steps.isEmpty else { return }
            let starts = steps.contains {
                if case .claim = $0 { true } else if case .perform = $0 { true } else { false }
            }
            let occupant = starts ? try await actions.occupant() : nil
            var isStuck = true
            for step in steps {
                // Many functions together take longer than a lease lasts.
                guard try await holdLease(), !mustReload else { return poke() }
                switch step {
                case .claim(let name, _, _) where occupant != nil:
                    machine.held(name, at: now)
                    // What works there may be making the very key that this one waits for.
                    factsLearnedAt = nil
                case .claim(_, let run, _) where run.trigger != .time && !hasLearned:
                    // Somebody else's run may have made the very key that this one would make.
                    hasLearned = true
                    factsLearnedAt = nil
                    await learnFacts()
                    isStuck = false
                case .perform where occupant != nil: break
                default:
                    try await perform(step, at: now)
                    isStuck = false
                }
            }
            if isStuck { return }
        }
    }

    private func perform(_ step: SchedulerMachine.Step, at now: Timestamp) async throws {
        switch step {
        case .evaluate(let name, let facts): try await evaluate(name, facts)
        case .notePending(let name, let nominal): try await notePending(name, nominal)
        case .skip(let name, let through, let count, let reason):
            try await skip(name, through: through, count: count, reason.rawValue, at: now)
        case .claim(let name, let run, let ignoresWindow):
            try await claim(name, run, ignoresWindow: ignoresWindow, at: now)
        case .park(let id): try await park(id, at: now)
        case .perform(let id): try await begin(id, at: now)
        case .checkpoint(let id): try await checkpoint(id)
        }
    }

    /// Writes under the lease.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (ControlSession, Int64) throws -> Value
    ) async throws -> Value {
        guard let epoch = lease?.epoch else { throw CancellationError() }
        return try await control.write { session in
            try session.checkSchedulerLease(epoch: epoch)
            return try body(session, epoch)
        }
    }

    /// Writes under the lease what is decided by schedules as they were read: not where somebody has changed them since, paused
    /// one or accepted a clock.
    func writeAsRead<Value: Sendable>(
        _ body: @escaping @Sendable (ControlSession, Int64) throws -> Value
    ) async throws -> Value {
        let seen = shared.revision
        return try await write { session, epoch in
            guard try session.scheduler().revision == seen else {
                throw ControlStoreError(.storeScheduleChanged, "schedules were changed and are read again")
            }
            return try body(session, epoch)
        }
    }

    private func recordAlert() async throws {
        var shared = shared
        shared.alert = objection
        let record = shared
        try await writeAsRead { session, _ in try session.update(record) }
        self.shared = record
        alertChanged = false
    }

    private func notePending(_ name: Name, _ nominal: Timestamp) async throws {
        guard var record = machine.entries[name]?.record else { return }
        record.pending = nominal
        let noted = record
        try await writeAsRead { session, _ in try session.update(noted) }
        reached(.pendingNoted)
        machine.recorded(noted)
    }

    /// Settles nominal times without a run; one row stands for all of them.
    func skip(
        _ name: Name, through nominal: Timestamp, count: Int, _ reason: String, at now: Timestamp
    ) async throws {
        guard let entry = machine.entries[name] else { return }
        var record = entry.record.settled(through: nominal, in: entry.schedule.rules.zone)
        record.skipped[reason, default: 0] += Int64(count)
        if reason == DueDecision.SkipReason.missed.rawValue { record.missed += Int64(count) }
        let settled = record
        try await writeAsRead { session, epoch in
            var row = entry.schedule.occurrence(
                nominal, reason: reason, state: .skipped, epoch: epoch, passedOver: max(0, count - 1), at: now)
            row.finishedAt = now
            if try session.claim(row) { try session.addStep("skipped \(reason)", to: row.id, epoch: epoch) }
            try session.update(settled)
            try session.pruneOccurrences(of: name)
        }
        reached(.skipped)
        metrics.skipped(name, count, reason: reason)
        logger.notice(
            "nominal times skipped",
            metadata: ["schedule": "\(name)", "reason": "\(reason)", "count": "\(count)"])
        machine.recorded(settled)
    }

    private func claim(_ name: Name, _ run: PlannedRun, ignoresWindow: Bool, at now: Timestamp) async throws {
        guard let entry = machine.entries[name] else { return }
        var record = entry.record.settled(through: run.nominal, in: entry.schedule.rules.zone)
        record.lastStartedAt = now
        record.missed += Int64(run.passedOver)
        try await claim(
            entry.schedule, run.nominal, reason: run.trigger.rawValue, record, ignoresWindow: ignoresWindow,
            passedOver: run.passedOver, at: now)
        if run.passedOver > 0 {
            metrics.skipped(name, run.passedOver, reason: DueDecision.SkipReason.missed.rawValue)
        }
        if ignoresWindow {
            logger.warning(
                "run starts outside of its windows",
                metadata: ["schedule": "\(name)", "reason": "\(run.trigger.rawValue)"])
        }
    }

    /// Claims a nominal time.
    func claim(
        _ schedule: Schedule, _ nominal: Timestamp, reason: String, _ record: ScheduleRecord, ignoresWindow: Bool,
        passedOver: Int, at now: Timestamp, settling request: Int64? = nil
    ) async throws {
        let claimed = try await writeAsRead { session, epoch -> OccurrenceRecord? in
            let row = schedule.occurrence(
                nominal, reason: reason, state: .claimed, epoch: epoch, passedOver: passedOver,
                ignoresWindow: ignoresWindow, at: now)
            try session.update(record)
            let isFree = try session.claim(row)
            if isFree {
                let words = ignoresWindow ? "claimed \(reason), outside of windows" : "claimed \(reason)"
                try session.addStep(words, to: row.id, epoch: epoch)
            }
            if let request {
                let outcome = isFree ? "claimed \(nominal)" : "refused: \(nominal) has its run already"
                try session.settle(scheduleRequest: request, outcome: outcome, at: now)
            }
            return isFree ? row : nil
        }
        reached(.claimed)
        machine.recorded(record)
        if let claimed {
            machine.recorded(claimed, isRunning: false)
        } else {
            // Somebody has claimed it, perhaps we ourselves in a transaction that seemed to have failed.
            mustReload = true
            try await reload()
        }
    }

    private func park(_ id: OccurrenceRecord.ID, at now: Timestamp) async throws {
        guard var occurrence = machine.open(id) else { return }
        occurrence.state = .paused
        occurrence.updatedAt = now
        occurrence.message = "the window closed; goes on in the next one"
        let parked = occurrence
        try await write { session, epoch in
            try session.update(parked.under(epoch))
            try session.addStep("paused, its process died and the window closed", to: id, epoch: epoch)
        }
        reached(.pauseRecorded)
        machine.recorded(parked, isRunning: false)
    }

    private func begin(_ id: OccurrenceRecord.ID, at now: Timestamp) async throws {
        guard let entry = machine.entries[id.schedule], var occurrence = machine.open(id) else { return }
        let isFirst = occurrence.startedAt == nil
        let was = occurrence.state
        occurrence.state = .running
        occurrence.startedAt = occurrence.startedAt ?? now
        occurrence.updatedAt = now
        occurrence.nextAttemptAt = nil
        occurrence.message = nil
        let begun = occurrence
        let epoch = try await writeAsRead { session, epoch in
            try session.update(begun.under(epoch))
            let words = isFirst ? "started" : was == .running ? "taken over" : "resumed"
            try session.addStep("\(words), attempt \(begun.attempt)", to: id, epoch: epoch)
            return epoch
        }
        reached(.started)
        machine.recorded(begun, isRunning: true)
        jobs.append(
            OccurrenceRequest(
                id: id, schedule: entry.schedule, attempt: begun.attempt, run: begun.run, epoch: epoch,
                reason: begun.reason, ignoresWindow: begun.ignoresWindow))
        logger.info(
            "occurrence starts",
            metadata: [
                "schedule": "\(id.schedule)", "nominal": "\(id.nominal)", "attempt": "\(begun.attempt)",
                "reason": "\(begun.reason)",
            ])
    }

    private func checkpoint(_ id: OccurrenceRecord.ID) async throws {
        guard let entry = machine.entries[id.schedule], let occurrence = machine.open(id), let epoch = lease?.epoch
        else { return }
        logger.notice("window closes; run stops at a checkpoint", metadata: ["schedule": "\(id.schedule)"])
        do {
            try await actions.checkpoint(
                OccurrenceRequest(
                    id: id, schedule: entry.schedule, attempt: occurrence.attempt, run: occurrence.run, epoch: epoch,
                    reason: occurrence.reason, ignoresWindow: occurrence.ignoresWindow))
        } catch {
            logger.error(
                "run could not be stopped yet; it goes on outside of its window",
                metadata: ["schedule": "\(id.schedule)", "reason": "\(described(error))"])
            throw error
        }
        machine.asked(toStop: id)
    }

    private func evaluate(_ name: Name, _ facts: FunctionFacts) async throws {
        guard let entry = machine.entries[name], let function = entry.schedule.function else { return }
        let kind: ScheduleFunction = if case .next = function { .next } else { .when }
        var record = entry.record
        var answer: FunctionAnswer?
        do {
            guard let functions else {
                throw SchedulingError(.callerFunctionInvalid, "there is nothing to evaluate functions with")
            }
            let value = try await functions.evaluate(name, kind, facts)
            answer = try FunctionAnswer(value, of: kind, facts)
            record.functionValue = value.words
            record.functionFailures = 0
            record.alert = nil
        } catch {
            if error is CancellationError { throw error }
            record.functionFailures += 1
            if record.functionFailures >= ScheduleRecord.failuresToTell {
                record.alert = "its function fails: \(described(error))"
            }
            logger.log(
                level: record.functionFailures == ScheduleRecord.failuresToTell ? .error : .info, "function failed",
                metadata: ["schedule": "\(name)", "reason": "\(described(error))"])
        }
        let evaluated = record
        // What a function says is recorded when it changes, not each time.
        if evaluated != entry.record { try await writeAsRead { session, _ in try session.update(evaluated) } }
        machine.recorded(evaluated)
        machine.answered(name, answer, for: facts)
    }
}

extension ScheduleRecord {
    /// The record once nominal times up to one are settled; what is settled never becomes less.
    func settled(through nominal: Timestamp, in zone: Zone) -> ScheduleRecord {
        var record = self
        if watermark.map({ $0 < nominal }) ?? true {
            record.watermark = nominal
            record.watermarkLocal = zone.local(at: nominal).description
        }
        if let pending, pending <= nominal { record.pending = nil }
        return record
    }
}

extension Schedule {
    /// An occurrence of this schedule that was not written yet.
    func occurrence(
        _ nominal: Timestamp, reason: String, state: OccurrenceRecord.State, epoch: Int64, passedOver: Int,
        ignoresWindow: Bool = false, at now: Timestamp
    ) -> OccurrenceRecord {
        let zone = rules.zone
        return OccurrenceRecord(
            id: OccurrenceRecord.ID(schedule: name, nominal: nominal),
            nominalLocal: zone.local(at: nominal).description,
            zone: zone.name, zoneVersion: zone.databaseVersion, reason: reason, state: state,
            ignoresWindow: ignoresWindow, epoch: epoch, passedOver: Int64(passedOver), at: now)
    }
}

extension OccurrenceRecord {
    /// The record as it is written under a lease.
    func under(_ epoch: Int64) -> OccurrenceRecord {
        var record = self
        record.epoch = epoch
        return record
    }
}
