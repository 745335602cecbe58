import ControlStore
import Foundation
import KeyModel
import Logging
import Scheduling
import StorageSQLite
import Synchronization
import Testing

/// A clock that tests set; nothing sleeps on it.
final class ManualClock: SchedulerClock {
    private let state: Mutex<(now: Timestamp, uptime: Duration)>

    init(_ now: Timestamp) { state = Mutex((now, .seconds(1000))) }

    func now() -> Timestamp { state.withLock { $0.now } }
    func uptime() -> Duration { state.withLock { $0.uptime } }
    func sleep(for duration: Duration) async throws { advance(by: duration) }

    /// Time passes.
    func advance(by duration: Duration) {
        state.withLock { $0 = ($0.now.advanced(by: duration), $0.uptime + duration) }
    }

    /// Somebody sets the time of day.
    func step(by duration: Duration) { state.withLock { $0.now = $0.now.advanced(by: duration) } }
    /// Somebody sets the time of day.
    func set(_ now: Timestamp) { state.withLock { $0.now = now } }
}

/// Actions that do what a test says and remember what they were asked.
final class ScriptedActions: OccurrenceActions {
    struct State {
        var requests: [OccurrenceRequest] = []
        var checkpoints: [OccurrenceRecord.ID] = []
        var outcomes: [OccurrenceOutcome] = []
        var facts: [Name: KeyFacts] = [:]
        var occupant: String?
    }

    let state = Mutex(State())
    /// Whether a run that succeeds makes a new key, as a rotation does.
    let makesKeys: ManualClock?

    init(makingKeysAt clock: ManualClock? = nil) { makesKeys = clock }

    func perform(
        _ request: OccurrenceRequest, started: @escaping @Sendable (Int64) async throws -> Void
    ) async throws -> OccurrenceOutcome {
        let number = state.withLock { state in
            state.requests.append(request)
            return Int64(state.requests.count)
        }
        if request.run == nil { try await started(number) }
        return state.withLock { state in
            let outcome = state.outcomes.isEmpty ? .succeeded(nil) : state.outcomes.removeFirst()
            if case .succeeded = outcome, let makesKeys, let keyring = request.schedule.keyring {
                state.facts[keyring] = KeyFacts(madeAt: makesKeys.now())
            }
            return outcome
        }
    }

    func checkpoint(_ request: OccurrenceRequest) async throws { state.withLock { $0.checkpoints.append(request.id) } }
    func keyFacts() async throws -> [Name: KeyFacts] { state.withLock { $0.facts } }
    func occupant() async throws -> String? { state.withLock { $0.occupant } }

    var requests: [OccurrenceRequest] { state.withLock { $0.requests } }
    var nominals: [String] { requests.map { $0.id.nominal.description } }
}

/// A scheduler on a file of SQLite, with clocks and actions that a test holds.
final class Bench: Sendable {
    let engine: SQLiteEngine
    let control: ControlStore
    let clock: ManualClock
    let actions: ScriptedActions
    private let folder: URL
    private let renewal: Duration
    private let longestSleep: Duration
    private static let zones = Result { try ZoneDatabase() }

    init(
        at now: String, actions: ScriptedActions? = nil, renewal: Duration = .seconds(600),
        longestSleep: Duration = .seconds(30)
    ) async throws {
        self.renewal = renewal
        self.longestSleep = longestSleep
        folder = FileManager.default.temporaryDirectory.appending(path: "scheduler-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        engine = try SQLiteEngine(path: folder.appending(path: "data.db").path, create: true)
        control = ControlStore(engine: engine)
        clock = ManualClock(try Timestamp(withOffset: now))
        self.actions = actions ?? ScriptedActions()
        try await control.write { session in
            try session.migrate(at: Timestamp(milliseconds: 0))
            try session.insert(
                InstanceRecord(
                    id: "test", namespace: "test", nonce: "n", epoch: 1, createdAt: Timestamp(milliseconds: 0),
                    rootKeyID: "r"))
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// A scheduler as a daemon makes it when it starts; time in the tests passes in leaps, so leases are long.
    func scheduler(
        _ declarations: ScheduleTerms..., node: String = "node", functions: (any ScheduleFunctions)? = nil,
        comparesClocks: Bool = false, zones: (@Sendable () throws -> ZoneDatabase)? = nil
    ) -> Scheduler {
        scheduler(all: declarations, node: node, functions: functions, comparesClocks: comparesClocks, zones: zones)
    }

    func scheduler(
        all declarations: [ScheduleTerms], node: String = "node", functions: (any ScheduleFunctions)? = nil,
        comparesClocks: Bool = false, zones: (@Sendable () throws -> ZoneDatabase)? = nil
    ) -> Scheduler {
        var setting = Scheduler.Setting(instance: "test", node: node, holder: node)
        setting.leaseLength = .seconds(3_000_000)
        setting.renewal = renewal
        setting.longestSleep = longestSleep
        setting.zoneCheck = .seconds(3600)
        setting.comparesClocks = comparesClocks
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        return Scheduler(
            setting: setting, control: control, declarations: declarations, actions: actions, functions: functions,
            zones: zones ?? { try Self.zones.get() }, clock: clock, logger: logger)
    }

    /// Lets time pass until a moment, everything that comes up meanwhile done at once.
    func run(_ scheduler: Scheduler, until end: String, most steps: Int = 20_000) async throws {
        let end = try Timestamp(withOffset: end)
        for _ in 0..<steps {
            try await settle(scheduler)
            let now = clock.now()
            guard now < end else { return }
            let pause = await scheduler.step()
            clock.advance(by: min(pause, end.since(now)))
        }
        Issue.record("time did not come to \(end)")
    }

    /// Does what is to be done now.
    func settle(_ scheduler: Scheduler) async throws {
        for _ in 0..<100 {
            _ = await scheduler.step()
            let jobs = await scheduler.takeJobs()
            if jobs.isEmpty { return }
            for job in jobs { await scheduler.perform(job) }
        }
    }

    func history() async throws -> [String] {
        try await control.read { try $0.occurrenceSteps().map { "\($0.occurrence.schedule) \($0.what)" } }
    }

    func record(_ name: String) async throws -> ScheduleRecord {
        try await control.read { try $0.schedule(Name(name)) }
    }

    func occurrences(_ name: String) async throws -> [OccurrenceRecord] {
        try await control.read { try $0.occurrences(of: Name(name), limit: 10_000) }.reversed()
    }
}

/// A schedule that verifies, which needs no key.
func declaration(
    _ name: String, cron: String, zone: String = "UTC", _ change: (inout ScheduleTerms) -> Void = { _ in }
) throws -> ScheduleTerms {
    var declaration = ScheduleTerms(name: try Name(name), timing: .cron(cron), zone: zone)
    declaration.action = .verify
    change(&declaration)
    return declaration
}
