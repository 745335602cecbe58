internal import ControlStore
package import KeyModel

/// What a schedule comes to: its next times, what is odd about them, and whether it can be kept; pure.
package struct SchedulePreview: Hashable, Sendable {
    /// One nominal time.
    package struct Time: Hashable, Sendable {
        /// The nominal time.
        package let occurrence: Occurrence
        /// When the window opens in which it starts: the nominal time itself where it lies in one, nil where none opens.
        package let opens: Timestamp?
        /// When it starts, after its delay.
        package fileprivate(set) var starts: Timestamp?
        /// Why it starts then, where that is not because its time came: `key_age`, `key_seals`.
        package fileprivate(set) var reason: String?
    }

    /// The next times.
    package private(set) var times: [Time]
    /// The schedule in words.
    package let explanation: [String]
    /// What whoever wrote it should know, with numbers.
    package let warnings: [String]
    /// Why it is refused; nil where it is not.
    package let refusal: String?
    /// What clocks do to it within two years.
    package let clockNotes: [String]

    /// Looks ahead.
    ///
    /// - Parameters:
    ///   - rules: When it runs.
    ///   - from: From when on.
    ///   - count: How many times.
    ///   - given: Its next times where a function gives them, ascending.
    package init(of rules: ScheduleRules, from: Timestamp, count: Int, given: [Timestamp]? = nil) {
        let zone = rules.zone
        let occurrences =
            given.map { times in times.map { Occurrence(at: $0, in: zone) } }
            ?? Array(rules.times.occurrences(after: from).prefix(count))
        times = occurrences.map { occurrence in
            let opens = rules.windows.map { $0.start(ofWorkDueAt: occurrence.at) } ?? occurrence.at
            return Time(
                occurrence: occurrence, opens: opens,
                starts: rules.start(ofNominal: occurrence.at, notBefore: occurrence.at)?.at)
        }
        explanation = rules.explanation
        if given == nil {
            let feasibility = Feasibility(of: rules, from: from)
            warnings = feasibility.warnings(for: rules)
            refusal = feasibility.refusal(of: rules)?.message
        } else {
            (warnings, refusal) = ([], nil)
        }
        clockNotes = rules.clockNotes(from: from, to: from.advanced(by: .seconds(731 * 86_400))).compactMap {
            occurrence in
            occurrence.remark(in: zone).map { "\(zone.text(occurrence.at)): \($0)" }
        }
    }
}

extension SchedulePreview {
    /// The same with the starts of a simulation, in which a key can ask for a run before its nominal time comes.
    package func following(_ simulation: ScheduleSimulation) -> SchedulePreview {
        var preview = self
        for index in preview.times.indices {
            let nominal = preview.times[index].occurrence.at
            guard let start = simulation.starts.first(where: { $0.nominal == nominal }) else { continue }
            preview.times[index].starts = start.at
            preview.times[index].reason = start.reason == PlannedRun.Trigger.time.rawValue ? nil : start.reason
        }
        return preview
    }
}

/// Plays schedules through, as if every run succeeded after a given time; pure.
package struct ScheduleSimulation: Sendable {
    /// A run that would start.
    package struct Start: Hashable, Sendable {
        /// The schedule.
        package let schedule: Name
        /// The nominal time that it claims.
        package let nominal: Timestamp
        /// When it starts.
        package let at: Timestamp
        /// Why: `time`, `key_age`, `key_seals`.
        package let reason: String
        /// How many earlier nominal times it makes up for.
        package let passedOver: Int
        /// Whether it starts outside of its windows, since its deadline forces it.
        package let ignoresWindow: Bool
    }

    /// The runs, in order.
    package private(set) var starts: [Start] = []
    /// How many nominal times are skipped, by schedule.
    package private(set) var skipped: [Name: Int] = [:]
    /// Where it ended: earlier than asked for where there are more runs than looked at.
    package private(set) var end: Timestamp

    /// No more runs are looked at.
    package static let mostStarts = 1000
    private static let mostRounds = 20_000

    /// Plays schedules through; those whose times a function gives start for the age of their key alone.
    ///
    /// - Parameters:
    ///   - schedules: The schedules.
    ///   - from: Where it begins, with keys that were made then unless facts say otherwise.
    ///   - end: Where it ends.
    ///   - facts: What is known of keyrings.
    package init(of schedules: [Schedule], from: Timestamp, to end: Timestamp, facts: [Name: KeyFacts] = [:]) {
        self.end = end
        var machine = SchedulerMachine()
        var keys = facts
        machine.load(
            schedules.map { schedule in
                (
                    schedule,
                    ScheduleRecord(
                        name: schedule.name, hash: schedule.hash, activatedAt: from, zone: schedule.rules.zone.name,
                        zoneVersion: schedule.rules.zone.databaseVersion)
                )
            }, open: [])
        for keyring in schedules.compactMap(\.keyring) where keys[keyring]?.madeAt == nil {
            keys[keyring, default: KeyFacts()].madeAt = from
        }
        machine.learned(keys)
        var now = from
        var rounds = 0
        while now < end {
            rounds += 1
            guard starts.count < Self.mostStarts, rounds <= Self.mostRounds else {
                self.end = now
                return
            }
            if play(&machine, &keys, at: now) { continue }
            guard let wake = machine.wake(after: now) else { return }
            now = max(wake, now.advanced(by: .milliseconds(1)))
        }
    }

    /// Does what the machine says; whether it said anything.
    private mutating func play(_ machine: inout SchedulerMachine, _ keys: inout [Name: KeyFacts], at now: Timestamp)
        -> Bool
    {
        let steps = machine.steps(at: now)
        for step in steps {
            switch step {
            case .claim(let name, let run, let ignoresWindow):
                guard let entry = machine.entries[name] else { continue }
                starts.append(
                    Start(
                        schedule: name, nominal: run.nominal, at: now, reason: run.trigger.rawValue,
                        passedOver: run.passedOver, ignoresWindow: ignoresWindow))
                var record = entry.record.settled(through: run.nominal, in: entry.schedule.rules.zone)
                record.lastStartedAt = now
                record.lastSuccessAt = now
                machine.recorded(record)
                guard entry.schedule.action == .rotate, let keyring = entry.schedule.keyring else { continue }
                keys[keyring] = KeyFacts(madeAt: now, seals: 0)
                machine.learned(keys)
            case .skip(let name, let through, let count, _):
                guard let entry = machine.entries[name] else { continue }
                skipped[name, default: 0] += count
                machine.recorded(entry.record.settled(through: through, in: entry.schedule.rules.zone))
            case .notePending(let name, let nominal):
                guard var record = machine.entries[name]?.record else { continue }
                record.pending = nominal
                machine.recorded(record)
            case .evaluate(let name, let facts): machine.answered(name, nil, for: facts)
            case .perform, .park, .checkpoint: break
            }
        }
        return !steps.isEmpty
    }
}
