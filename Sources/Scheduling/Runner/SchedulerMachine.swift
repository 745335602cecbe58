package import ControlStore
package import KeyModel

/// Decides what the scheduler does next, from what it knows of all schedules; pure.
///
/// It is fed with what is recorded, with what functions answered and with what is known of keys. It hands out steps; whoever
/// performs them writes the outcome to the database first and then tells the machine.
package struct SchedulerMachine: Sendable {
    /// Something to do.
    package enum Step: Hashable, Sendable {
        /// Record a nominal time that has come and whose start is later.
        case notePending(Name, Timestamp)
        /// Settle nominal times without a run.
        case skip(Name, through: Timestamp, count: Int, DueDecision.SkipReason)
        /// Claim a nominal time; its action follows once that is recorded.
        case claim(Name, PlannedRun, ignoresWindow: Bool)
        /// Start an action, or take it up again.
        case perform(OccurrenceRecord.ID)
        /// Record that an action which nobody carries out any more waits for the next window.
        case park(OccurrenceRecord.ID)
        /// Ask an action that is being carried out to stop where it can go on.
        case checkpoint(OccurrenceRecord.ID)
        /// Ask the function of a schedule.
        case evaluate(Name, FunctionFacts)
    }

    /// What is known of a schedule.
    package struct Entry: Sendable {
        /// The schedule.
        package let schedule: Schedule
        /// What is recorded of it.
        package var record: ScheduleRecord
        /// What is known of its keyring.
        package var key = KeyFacts()
        /// What its function last answered, for the nominal time that this makes due.
        var answer: Timestamp?
        /// When its function is asked next.
        var asksAt: Timestamp?
        /// Nothing about it changes by itself before.
        var wake: Timestamp?
        /// When it starts next, as it was last seen.
        package fileprivate(set) var nextStart: Timestamp?
    }

    /// The schedules by name.
    package private(set) var entries: [Name: Entry] = [:]
    /// The occurrences whose actions this process carries out.
    package private(set) var running: Set<OccurrenceRecord.ID> = []
    private var openRecords: [OccurrenceRecord.ID: OccurrenceRecord] = [:]
    /// No schedule wakes before; nil where that is not known.
    private var nextWake: Timestamp?
    private var checkpointed: Set<OccurrenceRecord.ID> = []
    private var keepDistances = false

    /// Due schedules that something stands in the way of are looked at again after this.
    private static let holdTime = Duration.seconds(5)
    /// How often a function that says when is asked.
    private static let nextPoll = Duration.seconds(60)

    /// Makes a machine without schedules.
    package init() {}

    // MARK: What it is told

    /// Replaces all it knows by what is recorded; actions that are carried out go on.
    package mutating func load(
        _ schedules: [(schedule: Schedule, record: ScheduleRecord)], open: [OccurrenceRecord]
    ) {
        let old = entries
        entries = [:]
        for (schedule, record) in schedules {
            var entry = Entry(schedule: schedule, record: record)
            entry.key = old[schedule.name]?.key ?? KeyFacts()
            if old[schedule.name]?.schedule.hash == schedule.hash {
                entry.answer = old[schedule.name]?.answer
                entry.asksAt = old[schedule.name]?.asksAt
            }
            entries[schedule.name] = entry
        }
        openRecords = [:]
        for occurrence in open where entries[occurrence.id.schedule] != nil { openRecords[occurrence.id] = occurrence }
        nextWake = nil
        keepDistances = entries.values.contains { !$0.schedule.notWith.isEmpty }
    }

    /// Forgets which actions are carried out, since the lease was lost.
    package mutating func abandonRunning() {
        running = []
        checkpointed = []
    }

    /// Takes note of what was recorded of a schedule.
    package mutating func recorded(_ record: ScheduleRecord) {
        entries[record.name]?.record = record
        wake(record.name)
    }

    /// Takes note of what was recorded of an occurrence, and whether its action is carried out here.
    package mutating func recorded(_ occurrence: OccurrenceRecord, isRunning: Bool) {
        let name = occurrence.id.schedule
        openRecords[occurrence.id] = occurrence.state.isOpen ? occurrence : nil
        if isRunning {
            running.insert(occurrence.id)
        } else {
            running.remove(occurrence.id)
            checkpointed.remove(occurrence.id)
            // Whoever waited for it may go on.
            wakeAll()
        }
        wake(name)
    }

    /// Takes note of what is known of keyrings.
    package mutating func learned(_ facts: [Name: KeyFacts]) {
        for (name, entry) in entries {
            guard let keyring = entry.schedule.keyring, let key = facts[keyring] else { continue }
            if key.madeAt != entry.key.madeAt || key.seals != entry.key.seals { wake(name) }
            entries[name]?.key = key
        }
    }

    /// Takes note of a function's answer; nil where it gave none.
    package mutating func answered(_ name: Name, _ answer: FunctionAnswer?, for facts: FunctionFacts) {
        guard let entry = entries[name] else { return }
        let poll: Duration = if case .when(let poll) = entry.schedule.function { poll } else { Self.nextPoll }
        let grid = poll.inMilliseconds
        let slot = facts.now.milliseconds.floorDivided(by: max(grid, 1000))
        entries[name]?.asksAt = Timestamp(milliseconds: (slot + 1) * max(grid, 1000))
        switch answer {
        case .isDue(true): entries[name]?.answer = Timestamp(milliseconds: slot * max(grid, 1000))
        case .at(let time): entries[name]?.answer = time
        case .isDue(false), nil: entries[name]?.answer = nil
        }
        wake(name)
    }

    /// Has everything looked at anew, since a clock or the zones changed.
    package mutating func wakeAll() { for name in entries.keys { wake(name) } }

    private mutating func wake(_ name: Name) {
        entries[name]?.wake = nil
        nextWake = nil
    }

    // MARK: What it says

    /// The occurrences that are not over, oldest first.
    package var open: [OccurrenceRecord] { openRecords.values.sorted { $0.id < $1.id } }

    /// The occurrence of this id, if it is not over.
    package func open(_ id: OccurrenceRecord.ID) -> OccurrenceRecord? { openRecords[id] }

    /// Whether an occurrence of a schedule is not over.
    package func hasOpen(_ name: Name) -> Bool { openRecords.keys.contains { $0.schedule == name } }

    /// Whether a key asks for a run of a schedule, whatever stands in its way.
    package func isKeyDue(_ name: Name, at now: Timestamp) -> Bool {
        guard let entry = entries[name] else { return false }
        var facts = facts(of: entry, isBusy: false)
        facts.hasOpenRun = false
        switch rules(of: entry).decide(at: now, facts) {
        case .start(let run), .hold(let run, _): return run.trigger != .time
        case .wait, .skip: return false
        }
    }

    /// What to do now; to be asked again when that is done.
    package mutating func steps(at now: Timestamp) -> [Step] {
        var steps: [Step] = []
        var isBusy = !running.isEmpty
        // One run is open on a database at a time: what waits with one keeps the others waiting.
        let parked = openRecords.values.first { $0.state == .paused && $0.run != nil }?.id
        for occurrence in open {
            let isHeldUp = parked != nil && parked != occurrence.id
            guard let step = step(for: occurrence, at: now, isBusy: isBusy || isHeldUp) else { continue }
            if case .perform = step { isBusy = true }
            steps.append(step)
        }
        let asked = steps.count
        var due: [(Name, PlannedRun, Bool)] = []
        if nextWake.map({ $0 <= now }) ?? true {
            for (name, entry) in entries where entry.wake.map({ $0 <= now }) ?? true {
                look(at: entry, name, now, isBusy: isBusy, steps: &steps, due: &due)
            }
            nextWake = entries.values.reduce(Timestamp.never) { min($0, $1.wake ?? now) }
        }
        steps[asked...].sort { Self.order($0) < Self.order($1) }
        // One at a time: the others find the database busy when they are looked at again.
        if let first = due.min(by: { ($0.1.nominal, $0.0) < ($1.1.nominal, $1.0) }) {
            steps.append(.claim(first.0, first.1, ignoresWindow: first.2))
        }
        return steps
    }

    /// When something happens by itself next; nil for never.
    package func wake(after now: Timestamp) -> Timestamp? {
        var earliest = entries.isEmpty ? nil : nextWake ?? now
        for occurrence in open {
            guard let time = nextChange(of: occurrence, after: now) else { continue }
            earliest = min(earliest ?? time, time)
        }
        return earliest
    }

    /// Takes note that an action was asked to stop at the end of its window.
    package mutating func asked(toStop id: OccurrenceRecord.ID) { checkpointed.insert(id) }

    /// Takes note that a claim could not be made, since something else works on the database.
    package mutating func held(_ name: Name, at now: Timestamp) {
        entries[name]?.wake = now.advanced(by: Self.holdTime)
        nextWake = nil
    }

    // MARK: Occurrences that are not over

    private func step(for occurrence: OccurrenceRecord, at now: Timestamp, isBusy: Bool) -> Step? {
        guard let entry = entries[occurrence.id.schedule] else { return nil }
        let mayRun = occurrence.ignoresWindow || isOpen(entry, at: now)
        if running.contains(occurrence.id) {
            let mustStop = !mayRun && entry.schedule.windowEnd == .checkpoint && !checkpointed.contains(occurrence.id)
            return mustStop && occurrence.state == .running ? .checkpoint(occurrence.id) : nil
        }
        let isManual = occurrence.reason == "manual" || occurrence.reason == "backfill"
        guard entry.record.pause == nil || isManual else { return nil }
        switch occurrence.state {
        case .running where !mayRun && entry.schedule.windowEnd == .checkpoint: return .park(occurrence.id)
        case .running: return isBusy ? nil : .perform(occurrence.id)
        case .claimed, .paused: return mayRun && !isBusy ? .perform(occurrence.id) : nil
        case .retrying:
            let isTime = occurrence.nextAttemptAt.map { $0 <= now } ?? true
            return isTime && mayRun && !isBusy ? .perform(occurrence.id) : nil
        case .needsOperator, .succeeded, .cancelled, .skipped: return nil
        }
    }

    /// When an open occurrence changes by itself.
    private func nextChange(of occurrence: OccurrenceRecord, after now: Timestamp) -> Timestamp? {
        guard let entry = entries[occurrence.id.schedule] else { return nil }
        if running.contains(occurrence.id) {
            guard !occurrence.ignoresWindow, entry.schedule.windowEnd == .checkpoint else { return nil }
            return entry.schedule.rules.windows?.opening(atOrAfter: now).flatMap { $0.contains(now) ? $0.end : nil }
        }
        guard occurrence.state != .needsOperator, entry.record.pause == nil else { return nil }
        let due = max(now.advanced(by: Self.holdTime), occurrence.nextAttemptAt ?? now)
        guard !occurrence.ignoresWindow, let windows = entry.schedule.rules.windows else { return due }
        return windows.start(ofWorkDueAt: due)
    }

    private func isOpen(_ entry: Entry, at now: Timestamp) -> Bool {
        entry.schedule.rules.windows.map { $0.opening(atOrAfter: now)?.contains(now) ?? false } ?? true
    }

    // MARK: Schedules

    private mutating func look(
        at entry: Entry, _ name: Name, _ now: Timestamp, isBusy: Bool, steps: inout [Step],
        due: inout [(Name, PlannedRun, Bool)]
    ) {
        guard entry.record.pause == nil else {
            entries[name]?.wake = .never
            return
        }
        // A time that a function gave and that has come is not asked away again.
        let settled = entry.record.watermark ?? entry.record.activatedAt
        let hasCome = entry.schedule.function == .next && (entry.answer.map { $0 > settled && $0 <= now } ?? false)
        if entry.schedule.function != nil, !hasCome, entry.asksAt.map({ $0 <= now }) ?? true {
            steps.append(.evaluate(name, functionFacts(entry, now)))
            return
        }
        let (rules, facts) = (rules(of: entry), facts(of: entry, isBusy: isBusy))
        let decision = rules.decide(at: now, facts)
        if case .skip(let through, let count, let reason) = decision {
            steps.append(.skip(name, through: through, count: count, reason))
            return
        }
        if let pending = rules.pendingNominal(at: now, facts), entry.record.pending != pending {
            if case .start = decision {} else { steps.append(.notePending(name, pending)) }
        }
        switch decision {
        case .start(let run):
            due.append((name, run, !isOpen(entry, at: now)))
            entries[name]?.wake = nil
            entries[name]?.nextStart = now
        case .wait(let run):
            entries[name]?.nextStart = run?.at
            let times = [run?.at, rules.times.next(after: now)?.at, entry.asksAt, facts.notBefore]
            entries[name]?.wake = times.compactMap(\.self).filter { $0 > now }.min() ?? .never
        case .hold(let run, _):
            entries[name]?.nextStart = max(run.at, facts.notBefore ?? run.at)
            entries[name]?.wake = now.advanced(by: Self.holdTime)
        case .skip: break
        }
    }

    private func rules(of entry: Entry) -> ScheduleRules {
        var rules = entry.schedule.rules
        if entry.schedule.function != nil { rules.times = .given(entry.answer, in: rules.zone) }
        if entry.record.expected > .zero { rules.expectedDuration = entry.record.expected }
        return rules
    }

    private func facts(of entry: Entry, isBusy: Bool) -> ScheduleFacts {
        var facts = ScheduleFacts(activatedAt: entry.record.activatedAt)
        facts.watermark = entry.record.watermark
        facts.pending = entry.record.pending
        if entry.schedule.action == .rotate {
            // A run that has just succeeded has made a key, whatever is known of it so far.
            facts.keyMadeAt = entry.key.madeAt.map { max($0, entry.record.lastSuccessAt ?? $0) }
            facts.seals = entry.key.seals
        }
        facts.hasOpenRun = hasOpen(entry.schedule.name)
        facts.isDatabaseBusy = isBusy || isHeldUp(by: entry.schedule.name)
        facts.notBefore = distance(kept: entry.schedule)
        return facts
    }

    /// Whether the run of another schedule is open, so that the database is not free though nothing works on it now.
    private func isHeldUp(by name: Name) -> Bool {
        openRecords.values.contains { $0.id.schedule != name && $0.state != .needsOperator && $0.run != nil }
    }

    /// The earliest start that keeps the distance from each schedule that either of the two names.
    private func distance(kept schedule: Schedule) -> Timestamp? {
        guard keepDistances else { return nil }
        return entries.values.compactMap { other -> Timestamp? in
            guard other.schedule.name != schedule.name, let started = other.record.lastStartedAt else { return nil }
            let names = schedule.notWith.contains(other.schedule.name)
            let isNamed = other.schedule.notWith.contains(schedule.name)
            guard names || isNamed else { return nil }
            let apart = max(names ? schedule.apart : .zero, isNamed ? other.schedule.apart : .zero)
            return started.advanced(by: apart)
        }.max()
    }

    private func functionFacts(_ entry: Entry, _ now: Timestamp) -> FunctionFacts {
        FunctionFacts(
            now: now, zone: entry.schedule.rules.zone.name, after: entry.record.watermark ?? entry.record.activatedAt,
            lastSuccess: entry.record.lastSuccessAt, key: entry.key)
    }

    /// Steps come out in the same order whatever order a dictionary has.
    private static func order(_ step: Step) -> (Int, String) {
        switch step {
        case .evaluate(let name, _): (0, name.description)
        case .skip(let name, _, _, _): (1, name.description)
        case .notePending(let name, _): (2, name.description)
        case .park(let id), .checkpoint(let id), .perform(let id): (3, id.schedule.description)
        case .claim(let name, _, _): (4, name.description)
        }
    }
}

extension Timestamp {
    /// A time that does not come.
    static let never = Timestamp(milliseconds: .max)
}
