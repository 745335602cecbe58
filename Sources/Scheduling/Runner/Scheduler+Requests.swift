internal import ControlStore
internal import KeyModel
internal import Logging

extension Scheduler {
    /// Does what somebody asked: a run now, or one for nominal times that had none.
    func dealWithRequests() async throws {
        guard requestsSeen != shared.revision else { return }
        let revision = shared.revision
        for request in try await control.read({ try $0.openScheduleRequests() }) { try await deal(with: request) }
        requestsSeen = revision
    }

    private func deal(with request: ScheduleRequest) async throws {
        let now = clock.now()
        guard let entry = machine.entries[request.schedule] else {
            return try await refuse(request, "there is no such schedule now", at: now)
        }
        guard !machine.hasOpen(request.schedule) else {
            return try await refuse(request, "a run of this schedule is open", at: now)
        }
        switch request.kind {
        case .trigger:
            var record = entry.record
            record.lastStartedAt = now
            logger.log(
                level: request.ignoresWindow ? .warning : .notice, "run asked for",
                metadata: [
                    "schedule": "\(request.schedule)", "actor": "\(request.actor)",
                    "ignores.window": "\(request.ignoresWindow)",
                ])
            try await claim(
                entry.schedule, request.at, reason: "manual", record, ignoresWindow: request.ignoresWindow,
                passedOver: 0, at: now, settling: request.number)
        case .backfill: try await backfill(request, entry, at: now)
        }
    }

    /// One run stands for all nominal times of the stretch that had none: several in a row would only burn keys.
    private func backfill(_ request: ScheduleRequest, _ entry: SchedulerMachine.Entry, at now: Timestamp) async throws {
        guard let range = request.range else { return try await refuse(request, "it names no stretch", at: now) }
        let end = min(range.upperBound, now)
        guard range.lowerBound <= end else {
            return try await refuse(request, "the stretch lies in the future", at: now)
        }
        let stretch = range.lowerBound...end
        let claimed = try await control.read { try $0.claimedNominals(of: request.schedule, in: stretch) }
        let before = Timestamp(milliseconds: range.lowerBound.milliseconds - 1)
        var latest: Timestamp?
        var candidate = Timestamp(milliseconds: end.milliseconds + 1)
        while latest == nil, let earlier = entry.schedule.rules.times.previous(before: candidate)?.at,
            earlier >= range.lowerBound
        {
            if !claimed.contains(earlier) { latest = earlier }
            candidate = earlier
        }
        guard let nominal = latest else {
            return try await refuse(request, "no nominal time of the stretch is without a run", at: now)
        }
        let count =
            entry.schedule.rules.times.count(after: before, through: nominal) - claimed.filter { $0 < nominal }.count
        var record = entry.record
        record.lastStartedAt = now
        try await claim(
            entry.schedule, nominal, reason: "backfill", record, ignoresWindow: request.ignoresWindow,
            passedOver: max(0, count - 1), at: now, settling: request.number)
    }

    private func refuse(_ request: ScheduleRequest, _ reason: String, at now: Timestamp) async throws {
        try await write { session, _ in
            try session.settle(scheduleRequest: request.number, outcome: "refused: \(reason)", at: now)
        }
        logger.notice(
            "request refused", metadata: ["schedule": "\(request.schedule)", "reason": "\(reason)"])
    }
}
