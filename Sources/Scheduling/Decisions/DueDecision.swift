package import KeyModel

/// What is known about a schedule at one moment.
package struct ScheduleFacts: Hashable, Sendable {
    /// When the schedule was first loaded; it never looks further back.
    package var activatedAt: Timestamp
    /// The latest nominal time that was claimed or skipped; it never goes back, also not when the schedule is edited.
    package var watermark: Timestamp?
    /// When the key was made whose age counts.
    package var keyMadeAt: Timestamp?
    /// How much was sealed under it.
    package var seals: UInt64?
    /// Whether an occurrence of this schedule is open: running, or waiting for a retry.
    package var hasOpenRun = false
    /// Whether anything else runs on the database.
    package var isDatabaseBusy = false
    /// A nominal time that had come under the rules as they were before they were edited.
    package var pending: Timestamp?
    /// Nothing may start before, since a schedule that keeps its distance from this one has just started.
    package var notBefore: Timestamp?

    /// Makes facts of a schedule that has never run.
    package init(activatedAt: Timestamp) { self.activatedAt = activatedAt }

    /// Nominal times up to here are settled.
    var settled: Timestamp { watermark ?? activatedAt }
}

/// A run that is to start.
package struct PlannedRun: Hashable, Sendable {
    /// Why it starts.
    package enum Trigger: String, Hashable, Sendable {
        /// Its nominal time came.
        case time
        /// Its key grows too old.
        case keyAge = "key_age"
        /// Too much was sealed under its key.
        case keySeals = "key_seals"
    }

    /// Why.
    package let trigger: Trigger
    /// The nominal time that it claims.
    ///
    /// A run for another reason claims the one that would come next, so that the two do not follow each other;
    /// where that is claimed already, the millisecond after it, which no expression names.
    package let nominal: Timestamp
    /// When it starts: after windows and jitter.
    package let at: Timestamp
    /// How many earlier nominal times it makes up for.
    package var passedOver = 0

    /// Plans a run.
    package init(trigger: Trigger, nominal: Timestamp, at: Timestamp, passedOver: Int = 0) {
        self.trigger = trigger
        self.nominal = nominal
        self.at = at
        self.passedOver = passedOver
    }
}

/// What a schedule does next.
package enum DueDecision: Hashable, Sendable {
    /// Something that is due must not start yet.
    package enum Obstacle: String, Hashable, Sendable {
        /// A run of the same schedule is open.
        case ownRun = "own_run"
        /// Another run works on the database.
        case databaseBusy = "database_busy"
        /// A schedule from which this one keeps its distance has just started.
        case tooClose = "too_close"
    }

    /// Why a nominal time gets no run.
    package enum SkipReason: String, Hashable, Sendable {
        /// Nothing could run when it came.
        case missed
        /// A run of the same schedule was open.
        case overlap
    }

    /// Claim its nominal time and start the run.
    case start(PlannedRun)
    /// Nothing to do before this run; nil where nothing follows.
    case wait(PlannedRun?)
    /// Due, but something is in the way; ask again when it has ended.
    case hold(PlannedRun, Obstacle)
    /// Settle all nominal times up to this one without a run.
    case skip(through: Timestamp, count: Int, SkipReason)
}

extension ScheduleRules {
    /// Decides what to do now.
    ///
    /// Pure: the same facts always come to the same. A clock that was set back starts nothing twice: what is settled stays settled.
    package func decide(at now: Timestamp, _ facts: ScheduleFacts) -> DueDecision {
        let pending = pendingNominal(at: now, facts)
        if let pending, misfire == .skip, isMissed(pending, at: now) {
            return .skip(through: pending, count: times.count(after: facts.settled, through: pending), .missed)
        }
        let timeRun = timeRun(pending, at: now, facts)
        if let timeRun, facts.hasOpenRun, overlap == .skip, timeRun.at <= now {
            return .skip(through: timeRun.nominal, count: timeRun.passedOver + 1, .overlap)
        }
        let candidates = [timeRun, ageRun(pending, at: now, facts), sealsRun(pending, at: now, facts)]
        guard let run = candidates.compactMap(\.self).min(by: { $0.at < $1.at }) else { return .wait(nil) }
        guard run.at <= now else { return .wait(run) }
        guard !facts.hasOpenRun else { return .hold(run, .ownRun) }
        guard facts.notBefore.map({ $0 <= now }) ?? true else { return .hold(run, .tooClose) }
        return facts.isDatabaseBusy ? .hold(run, .databaseBusy) : .start(run)
    }

    /// The latest nominal time that has come and is not settled.
    package func pendingNominal(at now: Timestamp, _ facts: ScheduleFacts) -> Timestamp? {
        guard facts.settled < now else { return nil }
        let latest = times.previous(before: now.advanced(by: .milliseconds(1)))?.at
        return [latest, facts.pending].compactMap(\.self).filter { $0 > facts.settled && $0 <= now }.max()
    }

    /// Whether a pending nominal time could not be started when it should have been.
    private func isMissed(_ nominal: Timestamp, at now: Timestamp) -> Bool {
        guard let planned = start(ofNominal: nominal, notBefore: nominal), planned.at <= now else { return false }
        return now.since(planned.at) > grace || planned.end.map { $0 <= now } ?? false
    }

    private func timeRun(_ pending: Timestamp?, at now: Timestamp, _ facts: ScheduleFacts) -> PlannedRun? {
        guard let pending else {
            guard let next = times.next(after: max(now, facts.settled))?.at else { return nil }
            return start(ofNominal: next, notBefore: next).map { PlannedRun(trigger: .time, nominal: next, at: $0.at) }
        }
        return start(ofNominal: pending, notBefore: now).map { planned in
            let count = times.count(after: facts.settled, through: pending)
            return PlannedRun(trigger: .time, nominal: pending, at: planned.at, passedOver: max(0, count - 1))
        }
    }

    private func ageRun(_ pending: Timestamp?, at now: Timestamp, _ facts: ScheduleFacts) -> PlannedRun? {
        guard let made = facts.keyMadeAt, let maxKeyAge, let planned = start(forKeyMadeAt: made) else { return nil }
        guard planned < now else { return claiming(.keyAge, pending, at: planned, now, facts) }
        let opening = windows.map { $0.start(ofWorkDueAt: now) } ?? now
        let limit = max(now, made.advanced(by: maxKeyAge))
        let start = deadline == .force ? min(opening ?? limit, limit) : opening
        return start.map { claiming(.keyAge, pending, at: $0, now, facts) }
    }

    private func sealsRun(_ pending: Timestamp?, at now: Timestamp, _ facts: ScheduleFacts) -> PlannedRun? {
        guard let maxSeals, let seals = facts.seals, seals >= maxSeals else { return nil }
        let start = windows.map { $0.start(ofWorkDueAt: now) } ?? now
        return start.map { claiming(.keySeals, pending, at: $0, now, facts) }
    }

    private func claiming(
        _ trigger: PlannedRun.Trigger, _ pending: Timestamp?, at start: Timestamp, _ now: Timestamp,
        _ facts: ScheduleFacts
    ) -> PlannedRun {
        let moment = max(start, now)
        let next = facts.settled <= moment ? times.next(after: moment)?.at : nil
        // Any node comes to the same, whatever its clock says, so that the claim stays unique.
        let spare = facts.settled.advanced(by: .milliseconds(1))
        let count = pending.map { times.count(after: facts.settled, through: $0) } ?? 1
        return PlannedRun(trigger: trigger, nominal: pending ?? next ?? spare, at: start, passedOver: max(0, count - 1))
    }
}
