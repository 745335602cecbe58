package import ControlStore
internal import KeyModel
package import Logging

/// Runs schedules: one process of those that share a database does, the others stand by.
///
/// Everything it does is recorded before it takes effect, in transactions that check its lease. Whatever goes wrong with the
/// database, it reads again what is recorded and goes on from there.
package actor Scheduler {
    /// Who it is and what it works with.
    package struct Setting: Sendable {
        /// The instance's id, which goes into delays.
        package var instance: String
        /// This node's own id.
        package var node: String
        /// This process, for people: host and process id.
        package var holder: String
        /// How long a lease lasts without being renewed.
        package var leaseLength: Duration = .seconds(15)
        /// How often it is renewed.
        package var renewal: Duration = .seconds(5)
        /// How often the time zone database is looked at.
        package var zoneCheck: Duration = .seconds(3600)
        /// How often keyrings are asked about.
        package var factsCheck: Duration = .seconds(60)
        /// No sleep is longer.
        package var longestSleep: Duration = .seconds(30)
        /// Whether the clock is compared with the database's; not where one of them is made up.
        package var comparesClocks = true

        /// Makes a setting.
        package init(instance: String, node: String, holder: String) {
            self.instance = instance
            self.node = node
            self.holder = holder
        }
    }

    let setting: Setting
    let control: ControlStore
    let actions: any OccurrenceActions
    let functions: (any ScheduleFunctions)?
    let clock: any SchedulerClock
    let logger: Logger
    let metrics: any SchedulerMetrics
    let openZones: @Sendable () throws -> ZoneDatabase
    let reached: @Sendable (SchedulerPoint) -> Void

    var machine = SchedulerMachine()
    var declarations: [ScheduleTerms]
    var schedules: [Name: Schedule] = [:]
    /// Why a declared schedule is not run.
    var faults: [Name: String] = [:]
    var zones: ZoneDatabase?
    var lease: Lease?
    /// By the clock that never steps.
    var renewedAt: Duration = .zero
    var zonesCheckedAt: Duration?
    var factsLearnedAt: Duration?
    var shared = SchedulerRecord()
    var databaseTime: (at: Timestamp, uptime: Duration)?
    var watch = ClockWatch()
    var objection: String?
    var lastRemark: String?
    /// The revision at which requests were last looked for.
    var requestsSeen: Int64?
    var alertChanged = false
    /// The actions that are carried out here; to end the signal is to ask for their end.
    var alive: [OccurrenceRecord.ID: AsyncStream<Void>.Continuation] = [:]
    var mustReload = true
    var jobs: [OccurrenceRequest] = []
    private let waker = Waker()
    private var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// Makes a scheduler; touches nothing.
    ///
    /// - Parameters:
    ///   - setting: Who it is.
    ///   - control: Where everything is recorded.
    ///   - declarations: The schedules.
    ///   - actions: What occurrences do.
    ///   - functions: Where functions of schedules are evaluated; nil for schedules without.
    ///   - zones: Opens the time zone database as it is now.
    ///   - clock: The clocks.
    ///   - metrics: Where figures go.
    ///   - logger: Where events go.
    ///   - reached: Told of each durable instant.
    package init(
        setting: Setting, control: ControlStore, declarations: [ScheduleTerms], actions: any OccurrenceActions,
        functions: (any ScheduleFunctions)? = nil,
        zones: @escaping @Sendable () throws -> ZoneDatabase = { try ZoneDatabase() },
        clock: any SchedulerClock = SystemClock(), metrics: any SchedulerMetrics = NoMetrics(), logger: Logger,
        reached: @escaping @Sendable (SchedulerPoint) -> Void = { _ in }
    ) {
        self.setting = setting
        self.control = control
        self.declarations = declarations
        self.actions = actions
        self.functions = functions
        openZones = zones
        self.clock = clock
        self.metrics = metrics
        self.logger = logger
        self.reached = reached
    }

    /// Works until it is cancelled, then gives the lease back; actions that are carried out are cancelled and taken up again by
    /// whoever holds the lease next.
    package func run() async throws {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let pause = await step()
                for job in takeJobs() { group.addTask { await self.perform(job) } }
                await waker.wait(for: pause, on: clock)
            }
            group.cancelAll()
        }
        await giveBack()
    }

    /// Looks at everything now instead of when the sleep ends; for whoever changed something.
    package nonisolated func poke() { waker.wake() }

    /// Replaces the schedules by those of an edited configuration.
    package func configure(_ declarations: [ScheduleTerms]) {
        self.declarations = declarations
        schedules = [:]
        zonesCheckedAt = nil
        mustReload = true
        waker.wake()
    }

    /// Does what is to be done now.
    ///
    /// - Returns: How long nothing is to be done.
    package func step() async -> Duration { await exclusively { await workOnce() } }

    private func workOnce() async -> Duration {
        do {
            try loadZones()
            guard try await holdLease() else { return try await standBy() }
            watchClock()
            if mustReload { try await reload() }
            await learnFacts()
            try await work()
            return pause()
        } catch {
            await failed(error)
            return .seconds(1)
        }
    }

    /// The actions that ``step()`` wants carried out; whoever takes them must ``perform(_:)`` them.
    package func takeJobs() -> [OccurrenceRequest] {
        defer { jobs = [] }
        return jobs
    }

    /// Whether any schedule is declared.
    package var hasSchedules: Bool { !declarations.isEmpty }

    /// Why nothing is started now; nil where something may be.
    package var standstill: String? { objection }

    /// Runs one at a time what reads or changes what is recorded, since an actor lets others in wherever it waits.
    func exclusively<Value: Sendable>(_ body: () async throws -> Value) async rethrows -> Value {
        while isTaken { await withCheckedContinuation { waiting.append($0) } }
        isTaken = true
        defer {
            isTaken = false
            if !waiting.isEmpty { waiting.removeFirst().resume() }
        }
        return try await body()
    }

    private func pause() -> Duration {
        guard jobs.isEmpty else { return .zero }
        let now = clock.now()
        let untilRenewal = setting.renewal - (clock.uptime() - renewedAt)
        let untilWork = objection == nil ? machine.wake(after: now).map { $0.since(now) } : nil
        let shortest = min(setting.longestSleep, untilRenewal, untilWork ?? setting.longestSleep)
        return max(shortest, .milliseconds(20))
    }

    private func giveBack() async {
        guard let lease else { return }
        self.lease = nil
        do {
            // Whoever asked for the end has cancelled this task, not the way out.
            try await Task { [control] in try await control.write { try $0.releaseSchedulerLease(lease) } }.value
        } catch {
            logger.notice("lease not given back; it ends by itself", metadata: ["reason": "\(described(error))"])
        }
    }

    private func failed(_ error: any Error) async {
        mustReload = true
        if let error = error as? ControlStoreError, error.code == .storeLeaseLost {
            loseLease()
        } else if !(error is CancellationError), (error as? ControlStoreError)?.code != .storeScheduleChanged {
            logger.warning("schedules cannot be worked now", metadata: ["reason": "\(described(error))"])
        }
    }
}

/// An error in words.
func described(_ error: any Error) -> String {
    (error as? any CodedError).map { "\($0.codeName): \($0.message)" } ?? "\(error)"
}
