internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Scheduling

/// All schedules of an instance as they stand: declared, recorded, and what comes next.
struct ScheduleBoard {
    /// One schedule.
    struct Entry {
        let name: Name
        /// What is declared; nil where it is not, or cannot be used.
        let schedule: Schedule?
        /// Why what is declared cannot be used.
        let fault: String?
        /// What the scheduler recorded; nil before it has loaded the schedule.
        let record: ScheduleRecord?
        let open: [OccurrenceRecord]
        /// What its open run waits for, in words; nil where it waits for no person.
        var waitsFor: String?
        let next: Timestamp?
        let problems: [String]

        /// How it is doing, in a word.
        var state: String {
            if fault != nil { return "disabled" }
            if record?.pause != nil { return "paused" }
            if waitsFor != nil { return "waits_for_person" }
            if let occurrence = open.first { return occurrence.state.rawValue }
            return problems.isEmpty ? "waits" : "overdue"
        }
    }

    let entries: [Entry]
    /// Who works the schedules; nil for nobody.
    let holder: Lease?
    /// What is wrong as a whole.
    let alert: String?
    let now: Timestamp
    let zones: ZoneDatabase

    /// Reads everything.
    init(_ call: Invocation) async throws {
        let (control, declarations) = (call.instance.context.control, call.instance.configuration.schedules)
        zones = try ZoneDatabase.configured()
        let zones = zones
        let (instance, records, open, lease, shared, now, facts, waits) = try await control.read { session in
            (
                try session.instance()?.id ?? "",
                try session.schedules(), try session.openOccurrences(), try session.schedulerLease(),
                try session.scheduler(), try session.currentTime(), try session.keyFacts(),
                try session.schedulesWaitingForPeople()
            )
        }
        self.now = now
        holder = lease.flatMap { $0.expiresAt > now ? $0 : nil }
        alert = shared.alert
        var entries: [Entry] = []
        for declaration in declarations {
            let record = records.first { $0.name == declaration.name }
            let open = open.filter { $0.id.schedule == declaration.name }
            do throws(SchedulingError) {
                let schedule = try Schedule(ScheduleTerms(declaration), zones: zones, instance: instance)
                entries.append(Self.entry(schedule, record, open, facts, now))
            } catch {
                entries.append(
                    Entry(
                        name: declaration.name, schedule: nil, fault: error.message, record: record, open: open,
                        next: nil, problems: ["schedule \"\(declaration.name)\" is disabled: \(error.message)"]))
            }
        }
        for index in entries.indices { entries[index].waitsFor = waits[entries[index].name] }
        self.entries = entries
    }

    /// What needs someone, in words.
    var problems: [String] {
        let due = holder == nil ? entries.filter { $0.next.map { $0 <= now } ?? false } : []
        return (alert.map { ["schedules stand still: \($0)"] } ?? []) + entries.flatMap(\.problems)
            + due.map { "schedule \"\($0.name)\" is due and nobody works the schedules" }
    }

    /// The schedule of a name.
    ///
    /// - Throws: ``ControlError`` with `callerNotFound`.
    func entry(_ name: Name) throws(ControlError) -> Entry {
        if let entry = entries.first(where: { $0.name == name }) { return entry }
        let known = entries.map(\.name.description)
        throw ControlError(
            .callerNotFound, "no schedule \(quoted(name.description)) is declared",
            hint: nearest(to: name.description, among: known).map { "Did you mean \(quoted($0))?" }
                ?? "schedules.list() lists them.")
    }

    private static func entry(
        _ schedule: Schedule, _ record: ScheduleRecord?, _ open: [OccurrenceRecord], _ facts: [Name: KeyFacts],
        _ now: Timestamp
    ) -> Entry {
        var machine = SchedulerMachine()
        let present =
            record
            ?? ScheduleRecord(
                name: schedule.name, hash: schedule.hash, activatedAt: now, zone: schedule.rules.zone.name,
                zoneVersion: schedule.rules.zone.databaseVersion)
        machine.load([(schedule, present)], open: open)
        machine.learned(facts)
        _ = machine.steps(at: now)
        var problems: [String] = []
        let key = schedule.keyring.flatMap { facts[$0] }
        if schedule.action == .rotate, let made = key?.madeAt, let most = schedule.rules.maxKeyAge,
            schedule.rules.isOverdue(keyMadeAt: made, at: now)
        {
            problems.append(
                """
                the key of keyring \"\(schedule.keyring?.description ?? "")\" is overdue: \
                \(now.since(made).components.seconds / 86_400) days old, schedule \"\(schedule.name)\" allows \
                \(most.durationText)
                """)
        }
        for occurrence in open where occurrence.state == .needsOperator {
            problems.append(
                "schedule \"\(schedule.name)\" needs an operator: \(occurrence.message ?? "its run was given up")")
        }
        if let alert = record?.alert { problems.append("schedule \"\(schedule.name)\": \(alert)") }
        var next = present.pause == nil ? machine.entries[schedule.name]?.nextStart : nil
        // What is claimed already starts before anything that comes.
        if let waiting = open.first(where: { [.claimed, .paused, .retrying].contains($0.state) }) {
            let due = max(now, waiting.nextAttemptAt ?? now)
            let windows = waiting.ignoresWindow ? nil : schedule.rules.windows
            next = windows.map { $0.start(ofWorkDueAt: due) } ?? due
        }
        return Entry(
            name: schedule.name, schedule: schedule, fault: nil, record: record, open: open, next: next,
            problems: problems)
    }
}

extension ControlSession {
    /// The schedules whose open run waits for a person, with what it waits for.
    ///
    /// - Throws: `StorageError` or `ControlStoreError`.
    func schedulesWaitingForPeople() throws -> [Name: String] {
        guard let run = try openRun(), let occurrence = try occurrence(of: run) else { return [:] }
        switch run.state {
        case .paused:
            guard let pauser = try pauser(of: run.id), !pauser.hasPrefix(occurrence.id.actor) else { return [:] }
            return [occurrence.id.schedule: "run \(run.id) was paused by \(pauser): runs.resume(\(run.id))"]
        case .waiting:
            return [
                occurrence.id.schedule: "run \(run.id) waits: \(run.message ?? "runs.show(\(run.id)) says for what")"
            ]
        default: return [:]
        }
    }

    /// What the scheduler is told of each keyring.
    ///
    /// - Parameter countingRows: Whether rows are told, as the latest run found them.
    /// - Returns: The facts by keyring; none of a keyring without an active key.
    /// - Throws: `StorageError` or `ControlStoreError`.
    func keyFacts(countingRows: Bool = false) throws -> [Name: KeyFacts] {
        var facts: [Name: KeyFacts] = [:]
        let runs = countingRows ? try runs() : []
        for record in try keyrings() {
            guard let active = record.keyring.active else { continue }
            var key = KeyFacts(
                madeAt: active.activatedAt ?? active.createdAt,
                seals: UInt64(clamping: try sealsReserved(of: active.id)))
            if let run = runs.first(where: { $0.keyring == record.keyring.name && $0.state == .done }) {
                let counts = try progress(of: run.id).filter { $0.phase == .reencrypt }.map(\.expectedRows)
                if !counts.isEmpty { key.rows = counts.reduce(0, +) }
            }
            facts[record.keyring.name] = key
        }
        return facts
    }
}
