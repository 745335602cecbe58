internal import ControlStore
internal import KeyModel
internal import Logging

extension Scheduler {
    /// Carries out an action and records what became of it.
    ///
    /// Nothing is recorded when the lease is lost meanwhile: whoever holds it then goes on.
    package func perform(_ request: OccurrenceRequest) async {
        guard lease?.epoch == request.epoch else { return }
        let (signal, continuation) = AsyncStream<Void>.makeStream()
        alive[request.id] = continuation
        let outcome = await carryOut(request, until: signal)
        alive[request.id] = nil
        if let outcome { await ended(request, outcome) }
        poke()
    }

    /// The outcome of an action; nil where it was abandoned.
    private func carryOut(_ request: OccurrenceRequest, until signal: AsyncStream<Void>) async -> OccurrenceOutcome? {
        let actions = actions
        return await withTaskGroup(of: OccurrenceOutcome?.self) { group in
            group.addTask {
                do {
                    return try await actions.perform(request) { try await self.began(run: $0, request) }
                } catch is CancellationError {
                    return nil
                } catch {
                    return .failed(described(error))
                }
            }
            group.addTask {
                for await _ in signal {}
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            // An abandoned action has ended only when it returns.
            await group.waitForAll()
            return Task.isCancelled ? nil : first
        }
    }

    private func began(run: Int64, _ request: OccurrenceRequest) async throws {
        try await exclusively { try await record(run: run, of: request) }
    }

    private func record(run: Int64, of request: OccurrenceRequest) async throws {
        guard lease?.epoch == request.epoch, var occurrence = machine.open(request.id)
        else { throw CancellationError() }
        guard occurrence.run != run else { return }
        occurrence.run = run
        let recorded = occurrence
        try await write { session, epoch in
            try session.update(recorded.under(epoch))
            try session.addStep("run \(run)", to: request.id, epoch: epoch)
        }
        reached(.runRecorded)
        machine.recorded(recorded, isRunning: true)
    }

    private func ended(_ request: OccurrenceRequest, _ outcome: OccurrenceOutcome) async {
        reached(.actionEnded)
        // The action has happened; the record is tried for as long as the lease is ours, else whoever takes it over finds out.
        while lease?.epoch == request.epoch {
            do {
                try await exclusively { try await record(outcome, of: request) }
                factsLearnedAt = nil
                return
            } catch {
                logger.warning(
                    "the end of an occurrence cannot be recorded yet",
                    metadata: ["schedule": "\(request.id.schedule)", "reason": "\(described(error))"])
                if (error as? ControlStoreError)?.code == .storeLeaseLost { return loseLease() }
                mustReload = true
                poke()
                do { try await clock.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }

    private func record(_ outcome: OccurrenceOutcome, of request: OccurrenceRequest) async throws {
        guard let entry = machine.entries[request.id.schedule], var occurrence = machine.open(request.id) else {
            mustReload = true
            return
        }
        let now = clock.now()
        var record = entry.record
        var pause: ScheduleRecord.Pause?
        occurrence.updatedAt = now
        let words: String
        switch outcome {
        case .succeeded(let message):
            occurrence.state = .succeeded
            occurrence.finishedAt = now
            occurrence.message = message
            record.lastSuccessAt = max(record.lastSuccessAt ?? now, now)
            words = "succeeded"
        case .paused:
            occurrence.state = .paused
            occurrence.message = "the window closed; goes on in the next one"
            words = "paused"
        case .cancelled(let message), .madeWay(let message):
            occurrence.state = .cancelled
            occurrence.finishedAt = now
            occurrence.message = message
            words = "cancelled: \(message)"
            guard case .cancelled = outcome else { break }
            // It may have made its key before it was cancelled.
            factsLearnedAt = nil
            await learnFacts()
            // The key asks for a run still; whoever cancelled this one would see another begin at once.
            if machine.isKeyDue(request.id.schedule, at: now) {
                pause = ScheduleRecord.Pause(
                    at: now, actor: "scheduler",
                    reason: "\(message), and the key is due still; resume it when a run may start")
            }
        case .failed(let message):
            occurrence.message = message
            if let wait = entry.schedule.retry.wait(after: Int(occurrence.attempt), of: request.id) {
                occurrence.state = .retrying
                occurrence.attempt += 1
                occurrence.nextAttemptAt = now.advanced(by: wait)
                words = "failed, next attempt in \(wait.durationText): \(message)"
            } else {
                (occurrence.state, words) = (.needsOperator, "given up: \(message)")
                pause = givenUp(occurrence, message, at: now)
            }
        case .needsOperator(let message):
            occurrence.message = message
            (occurrence.state, words) = (.needsOperator, "given up: \(message)")
            pause = givenUp(occurrence, message, at: now)
        }
        try await write(occurrence, record, pause, words)
    }

    private func givenUp(
        _ occurrence: OccurrenceRecord, _ message: String, at now: Timestamp
    ) -> ScheduleRecord.Pause {
        ScheduleRecord.Pause(
            at: now, actor: "scheduler",
            reason: "needs an operator after attempt \(occurrence.attempt) for \(occurrence.nominalLocal): \(message)")
    }

    private func write(
        _ occurrence: OccurrenceRecord, _ record: ScheduleRecord, _ pause: ScheduleRecord.Pause?, _ words: String
    ) async throws {
        let written = try await writeAsRead { session, epoch in
            var record = record
            try session.update(occurrence.under(epoch))
            try session.addStep(words, to: occurrence.id, epoch: epoch)
            if occurrence.state == .succeeded {
                let latest = try session.occurrences(of: record.name)
                record.expected = Self.usual(latest) ?? record.expected
            }
            try session.update(record)
            if let pause { try session.setPause(pause, of: record.name) }
            if !occurrence.state.isOpen { try session.pruneOccurrences(of: record.name) }
            return record
        }
        machine.recorded(occurrence, isRunning: false)
        var current = written
        current.pause = pause ?? written.pause
        machine.recorded(current)
        if pause != nil { mustReload = true }
        switch occurrence.state {
        case .retrying: reached(.retryRecorded)
        case .paused: reached(.pauseRecorded)
        case .needsOperator: reached(.gaveUp)
        default: reached(.finished)
        }
        logger.log(
            level: occurrence.state == .needsOperator ? .error : occurrence.state == .retrying ? .warning : .info,
            "occurrence ended", metadata: ["schedule": "\(record.name)", "outcome": "\(words)"])
    }

    /// How long nineteen of twenty of the latest runs took at most; nil where there are fewer than five.
    static func usual(_ latest: [OccurrenceRecord]) -> Duration? {
        let lengths = latest.compactMap { occurrence -> Duration? in
            guard occurrence.state == .succeeded, let start = occurrence.startedAt, let end = occurrence.finishedAt
            else { return nil }
            return end.since(start)
        }.sorted()
        guard lengths.count >= 5 else { return nil }
        return lengths[(lengths.count * 19 - 1) / 20]
    }
}
