import ControlStore
import KeyModel
import Scheduling
import Synchronization
import Testing

struct RunnerTests {
    @Test func eachNominalTimeRunsOnceAndIsRecorded() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let scheduler = try bench.scheduler(declaration("daily", cron: "0 3 * * *", zone: "Europe/Berlin"))
        try await bench.run(scheduler, until: "2027-01-04T00:00:00Z")
        #expect(
            bench.actions.nominals == [
                "2027-01-01T02:00:00.000Z", "2027-01-02T02:00:00.000Z", "2027-01-03T02:00:00.000Z",
            ])
        let first = try #require(try await bench.occurrences("daily").first)
        #expect(first.state == .succeeded && first.nominalLocal == "2027-01-01T03:00:00" && first.run == 1)
        #expect(first.zone == "Europe/Berlin" && first.reason == "time" && first.attempt == 1)
        #expect(
            try await bench.history().prefix(4) == [
                "daily claimed time", "daily started, attempt 1", "daily run 1", "daily succeeded",
            ])
        #expect(try await bench.record("daily").watermarkLocal == "2027-01-03T03:00:00")
    }

    @Test(arguments: ["run_once", "skip"])
    func twoYearsOfDowntimeFollowThePolicy(policy: String) async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let daily = try declaration("daily", cron: "0 3 * * *") { $0.misfire = policy }
        try await bench.run(bench.scheduler(daily), until: "2027-01-02T00:00:00Z")
        bench.clock.set(try Timestamp(withOffset: "2029-01-02T12:00:00Z"))
        let scheduler = bench.scheduler(daily)
        try await bench.settle(scheduler)
        let record = try await bench.record("daily")
        #expect(record.watermark == (try Timestamp(withOffset: "2029-01-02T03:00:00Z")))
        if policy == "skip" {
            #expect(bench.actions.requests.count == 1)
            #expect(record.missed == 732 && record.skipped == ["missed": 732])
            let row = try #require(try await bench.occurrences("daily").last)
            #expect(row.state == .skipped && row.reason == "missed" && row.passedOver == 731)
        } else {
            #expect(bench.actions.nominals.last == "2029-01-02T03:00:00.000Z" && bench.actions.requests.count == 2)
            #expect(record.missed == 731)
        }
        try await bench.run(scheduler, until: "2029-01-03T12:00:00Z")
        #expect(bench.actions.nominals.last == "2029-01-03T03:00:00.000Z")
    }

    @Test func aDelayInAWindowThatNeverClosesEnds() async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let hourly = try declaration("hourly", cron: "0 * * * *") {
            $0.windows = ["00:00-24:00"]
            $0.jitter = .seconds(600)
        }
        try await bench.run(bench.scheduler(hourly), until: "2027-01-01T04:30:00Z")
        #expect(bench.actions.nominals.count == 4, "\(bench.actions.nominals)")
    }

    private func yearly() throws -> ScheduleTerms {
        let main = try Name("main")
        return try declaration("yearly", cron: "0 0 1 1 *") { declaration in
            declaration.action = .rotate
            declaration.keyring = main
            declaration.maxKeyAge = .seconds(30 * 86_400)
        }
    }

    @Test func aCancelledRunForAKeyIsNotBegunAnew() async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let main = try Name("main")
        bench.actions.state.withLock { state in
            state.facts = [main: KeyFacts(madeAt: Timestamp(milliseconds: 0))]
            state.outcomes = [.cancelled("run 1 was cancelled")]
        }
        let scheduler = bench.scheduler(try yearly())
        try await bench.run(scheduler, until: "2027-01-03T00:00:00Z")
        #expect(bench.actions.requests.count == 1)
        let pause = try #require(try await bench.record("yearly").pause)
        #expect(pause.reason == "run 1 was cancelled, and the key is due still; resume it when a run may start")
        try await bench.control.write { session in
            try session.resumeSchedule(Name("yearly"), at: Timestamp(withOffset: "2027-01-03T00:00:00Z"))
        }
        try await bench.run(scheduler, until: "2027-01-03T01:00:00Z")
        #expect(bench.actions.requests.count == 2)
    }

    @Test func whatMadeWayForAnEmergencyIsBegunAnewWhereItsKeyIsStillDue() async throws {
        let main = try Name("main")
        let actions = ScriptedActions()
        let bench = try await Bench(at: "2027-01-01T00:30:00Z", actions: actions)
        actions.state.withLock { state in
            state.facts = [main: KeyFacts(madeAt: Timestamp(milliseconds: 0))]
            state.outcomes = [.madeWay("run 1 made way"), .needsOperator("seen")]
        }
        try await bench.run(bench.scheduler(try yearly()), until: "2027-01-01T01:00:00Z")
        #expect(bench.actions.requests.count == 2)
        #expect(try await bench.occurrences("yearly").map(\.state).contains(.cancelled))
    }

    @Test func aKeyThatSomebodyElseHasJustMadeIsNotMadeAgain() async throws {
        let start = "2027-01-01T00:30:00Z"
        let main = try Name("main")
        func bench() async throws -> (Bench, Scheduler) {
            let bench = try await Bench(at: start)
            let made = bench.clock.now().advanced(by: .seconds(15 - 28 * 86_400))
            bench.actions.state.withLock { $0.facts = [main: KeyFacts(madeAt: made)] }
            return (bench, bench.scheduler(try yearly()))
        }
        let (alone, first) = try await bench()
        try await alone.run(first, until: "2027-01-04T00:00:00Z")
        let due = try #require(try await alone.record("yearly").lastStartedAt)
        let (shared, second) = try await bench()
        try await shared.run(second, until: due.advanced(by: .seconds(-1)).description)
        shared.actions.state.withLock { $0.facts = [main: KeyFacts(madeAt: due)] }
        try await shared.run(second, until: due.advanced(by: .seconds(600)).description)
        #expect(shared.actions.requests.isEmpty)
    }

    @Test func onlyTheLatestOccurrencesAreKept() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:30Z")
        let scheduler = try bench.scheduler(declaration("often", cron: "* * * * *"))
        try await bench.run(scheduler, until: "2027-01-01T00:08:30Z")
        try await bench.control.write { try $0.pruneOccurrences(of: Name("often"), keeping: 7, slack: 1) }
        #expect(try await bench.occurrences("often").count == 8)
        try await bench.control.write { try $0.pruneOccurrences(of: Name("often"), keeping: 5, slack: 1) }
        #expect(try await bench.occurrences("often").count == 5)
        #expect(try await bench.history().count == 20)
        try await bench.run(scheduler, until: "2027-01-01T00:09:30Z")
        #expect(bench.actions.requests.count == 9)
    }

    @Test func whoStopsInGoodOrderGivesTheLeaseBack() async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let scheduler = bench.scheduler(try declaration("daily", cron: "0 3 * * *"))
        let work = Task { try await scheduler.run() }
        while try await bench.control.read({ try $0.schedulerLease() }) == nil { await Task.yield() }
        work.cancel()
        try await work.value
        let (lease, now) = try await bench.control.read { (try $0.schedulerLease(), try $0.currentTime()) }
        #expect(try #require(lease).expiresAt <= now)
    }

    @Test func whatAPersonHasJustPausedDoesNotStart() async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let scheduler = bench.scheduler(try declaration("hourly", cron: "0 * * * *"))
        try await bench.run(scheduler, until: "2027-01-01T00:59:59Z")
        let now = bench.clock.now()
        try await bench.control.write { session in
            try session.setPause(
                ScheduleRecord.Pause(at: now, actor: "me", reason: "not now"), of: try Name("hourly"))
        }
        // Within the interval at which it asks what others have changed.
        bench.clock.advance(by: .seconds(2))
        try await bench.settle(scheduler)
        #expect(bench.actions.requests.isEmpty)
        #expect(try await bench.record("hourly").pause?.actor == "me")
    }

    @Test func aScheduleThatIsNewNeverLooksBack() async throws {
        let bench = try await Bench(at: "2027-05-05T12:00:00Z")
        let scheduler = try bench.scheduler(declaration("yearly", cron: "@yearly"))
        try await bench.run(scheduler, until: "2027-05-06T00:00:00Z")
        #expect(bench.actions.requests.isEmpty)
    }

    @Test func anEditedScheduleKeepsTheRunThatItsDelayHoldsBack() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let old = try declaration("nightly", cron: "0 3 * * *") { $0.jitter = .seconds(6 * 3600) }
        let scheduler = bench.scheduler(old)
        try await bench.run(scheduler, until: "2027-01-01T03:00:01Z")
        #expect(bench.actions.requests.isEmpty)
        #expect(try await bench.record("nightly").pending?.description == "2027-01-01T03:00:00.000Z")
        let edited = try declaration("nightly", cron: "0 4 2 * *")
        await scheduler.configure([edited])
        try await bench.settle(scheduler)
        #expect(bench.actions.nominals == ["2027-01-01T03:00:00.000Z"])
        // And once more by a process that only ever knew the edited one.
        let other = try await Bench(at: "2027-01-01T00:00:00Z")
        try await other.run(other.scheduler(old), until: "2027-01-01T03:00:01Z")
        try await other.run(other.scheduler(edited), until: "2027-01-03T00:00:00Z")
        #expect(other.actions.nominals == ["2027-01-01T03:00:00.000Z", "2027-01-02T04:00:00.000Z"])
    }

    @Test(arguments: ["skip", "queue_one"])
    func aTimeThatComesDuringARunFollowsThePolicy(policy: String) async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let scheduler = bench.scheduler(try declaration("hourly", cron: "0 * * * *") { $0.overlap = policy })
        try await bench.settle(scheduler)
        bench.clock.advance(by: .seconds(1800))
        _ = await scheduler.step()
        let jobs = await scheduler.takeJobs()
        #expect(jobs.count == 1)
        bench.clock.advance(by: .seconds(2 * 3600 + 60))
        _ = await scheduler.step()
        #expect(await scheduler.takeJobs().isEmpty)
        for job in jobs { await scheduler.perform(job) }
        try await bench.settle(scheduler)
        let record = try await bench.record("hourly")
        if policy == "skip" {
            #expect(bench.actions.requests.count == 1 && record.skipped == ["overlap": 2])
            #expect(try await bench.occurrences("hourly").map(\.state) == [.succeeded, .skipped])
        } else {
            #expect(bench.actions.nominals == ["2027-01-01T01:00:00.000Z", "2027-01-01T03:00:00.000Z"])
            #expect(record.missed == 1)
        }
    }

    @Test func oneRunADatabase() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let scheduler = try bench.scheduler(
            declaration("b", cron: "0 3 * * *"), declaration("a", cron: "0 3 * * *"),
            declaration("c", cron: "0 3 * * *"))
        try await bench.settle(scheduler)
        bench.clock.set(try Timestamp(withOffset: "2027-01-01T03:00:00Z"))
        for name in ["a", "b", "c"] {
            _ = await scheduler.step()
            let jobs = await scheduler.takeJobs()
            #expect(jobs.map(\.id.schedule.description) == [name])
            for job in jobs { await scheduler.perform(job) }
        }
        bench.actions.state.withLock { $0.occupant = "run 7" }
        bench.clock.set(try Timestamp(withOffset: "2027-01-02T03:00:00Z"))
        try await bench.settle(scheduler)
        #expect(bench.actions.requests.count == 3)
        bench.actions.state.withLock { $0.occupant = nil }
        bench.clock.advance(by: .seconds(6))
        try await bench.settle(scheduler)
        #expect(bench.actions.requests.count == 6)
    }

    @Test func schedulesThatMustNotMeetKeepTheirDistance() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let b = try Name("b")
        let a = try declaration("a", cron: "0 3 * * *") {
            $0.notWith = [b]
            $0.apart = .seconds(7200)
        }
        let scheduler = bench.scheduler(a, try declaration("b", cron: "0 3 * * *"))
        try await bench.run(scheduler, until: "2027-01-01T06:00:00Z")
        let starts = try await ["a", "b"].asyncMap { try await bench.occurrences($0).compactMap(\.startedAt) }
        #expect(starts[0].map(\.description) == ["2027-01-01T03:00:00.000Z"])
        #expect(starts[1].map(\.description) == ["2027-01-01T05:00:00.000Z"])
    }

    @Test func aFailedRunIsTriedAgainThenGivenUpAndOthersGoOn() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        bench.actions.state.withLock { $0.outcomes = Array(repeating: .failed("no disk"), count: 3) }
        let scheduler = bench.scheduler(
            try declaration("sick", cron: "0 3 * * *") {
                $0.retries = 2
                $0.retryAfter = .seconds(600)
            }, try declaration("well", cron: "0 6 * * *"))
        try await bench.run(scheduler, until: "2027-01-01T05:00:00Z")
        #expect(bench.actions.requests.map(\.attempt) == [1, 2, 3])
        #expect(Set(bench.actions.requests.dropFirst().map(\.run)) == [1])
        let row = try #require(try await bench.occurrences("sick").first)
        #expect(row.state == .needsOperator && row.message == "no disk")
        let pause = try #require(try await bench.record("sick").pause)
        #expect(pause.reason.contains("needs an operator after attempt 3"), "\(pause)")
        try await bench.run(scheduler, until: "2027-01-02T04:00:00Z")
        #expect(bench.actions.requests.map(\.id.schedule.description) == ["sick", "sick", "sick", "well"])
        // An operator lets it go on: the same run is taken up again.
        try await bench.control.write { session in
            try session.resumeSchedule(Name("sick"), at: Timestamp(withOffset: "2027-01-02T04:00:00Z"))
        }
        bench.clock.advance(by: .seconds(601))
        try await bench.settle(scheduler)
        #expect(bench.actions.requests.last?.run == 1 && bench.actions.requests.last?.attempt == 1)
        #expect(try await bench.occurrences("sick").first?.state == .succeeded)
    }

    @Test func aRunWhoseWindowClosesGoesOnInTheNextOne() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")  // a Friday
        let weekly = try declaration("weekly", cron: "0 3 * * SAT") {
            $0.windows = ["Sat 01:00-05:00", "Sun 01:00-05:00"]
        }
        let scheduler = bench.scheduler(weekly)
        try await bench.settle(scheduler)
        bench.clock.set(try Timestamp(withOffset: "2027-01-02T03:00:00Z"))
        bench.actions.state.withLock { $0.outcomes = [.paused] }
        _ = await scheduler.step()
        let jobs = await scheduler.takeJobs()
        bench.clock.set(try Timestamp(withOffset: "2027-01-02T04:59:59Z"))
        let pause = await scheduler.step()
        #expect(pause <= .seconds(1))
        #expect(bench.actions.state.withLock { $0.checkpoints.isEmpty })
        bench.clock.advance(by: .seconds(1))
        for _ in 0..<3 { _ = await scheduler.step() }
        #expect(bench.actions.state.withLock { $0.checkpoints.count } == 1)
        for job in jobs { await scheduler.perform(job) }
        #expect(try await bench.occurrences("weekly").map(\.state) == [.paused])
        // The next window belongs to the run that waits, also for a process that starts anew.
        try await bench.run(bench.scheduler(weekly), until: "2027-01-03T02:00:00Z")
        #expect(bench.actions.requests.map(\.run) == [nil, 1])
        let row = try #require(try await bench.occurrences("weekly").first)
        #expect(row.state == .succeeded && row.finishedAt?.description == "2027-01-03T01:00:00.000Z")
    }

    @Test func aRunThatMayFinishIsNotStopped() async throws {
        let bench = try await Bench(at: "2027-01-02T00:00:00Z")
        let scheduler = bench.scheduler(
            try declaration("weekly", cron: "0 3 * * SAT") {
                $0.windows = ["Sat 01:00-05:00"]
                $0.windowEnd = "finish"
            })
        try await bench.settle(scheduler)
        bench.clock.set(try Timestamp(withOffset: "2027-01-02T03:00:00Z"))
        _ = await scheduler.step()
        let jobs = await scheduler.takeJobs()
        bench.clock.set(try Timestamp(withOffset: "2027-01-02T09:00:00Z"))
        _ = await scheduler.step()
        #expect(bench.actions.state.withLock { $0.checkpoints.isEmpty } && jobs.count == 1)
    }

    @Test func aRetryWaitsForTheNextWindow() async throws {
        let bench = try await Bench(at: "2027-01-02T00:00:00Z")
        bench.actions.state.withLock { $0.outcomes = [.failed("busy")] }
        let scheduler = bench.scheduler(
            try declaration("weekly", cron: "55 4 * * SAT") {
                $0.windows = ["Sat 01:00-05:00"]
                $0.retryAfter = .seconds(900)
            })
        try await bench.run(scheduler, until: "2027-01-08T00:00:00Z")
        #expect(bench.actions.requests.count == 1)
        try await bench.run(scheduler, until: "2027-01-09T01:00:01Z")
        #expect(bench.actions.requests.count == 2)
    }
}

extension Sequence {
    func asyncMap<Value>(_ change: (Element) async throws -> Value) async rethrows -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await change(element)) }
        return values
    }
}
