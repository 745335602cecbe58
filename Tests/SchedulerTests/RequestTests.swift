import ControlStore
import KeyModel
import Scheduling
import Synchronization
import Testing

struct RequestTests {
    private func ask(_ bench: Bench, _ request: ScheduleRequest) async throws -> Int64 {
        try await bench.control.write { try $0.insert(request) }
    }

    private func outcome(_ bench: Bench, _ scheduler: Scheduler, _ number: Int64) async throws -> String? {
        bench.clock.advance(by: .seconds(601))
        try await bench.settle(scheduler)
        return try await bench.control.read { try $0.outcome(ofScheduleRequest: number) }
    }

    @Test func aTriggeredRunWaitsForAWindowUnlessItIsToldNotTo() async throws {
        let bench = try await Bench(at: "2027-01-01T12:00:00Z")
        let scheduler = bench.scheduler(
            try declaration("weekly", cron: "0 3 * * SAT") { $0.windows = ["Sat 01:00-05:00"] })
        try await bench.settle(scheduler)
        let name = try Name("weekly")
        let asked = try await ask(
            bench,
            ScheduleRequest(schedule: name, kind: .trigger, at: bench.clock.now(), actor: "ann", ignoresWindow: true))
        #expect(try await outcome(bench, scheduler, asked)?.hasPrefix("claimed") == true)
        #expect(bench.actions.requests.map(\.reason) == ["manual"] && bench.actions.requests[0].ignoresWindow)
        #expect(try await bench.history().first == "weekly claimed manual, outside of windows")
        let later = try await ask(
            bench, ScheduleRequest(schedule: name, kind: .trigger, at: bench.clock.now(), actor: "ann"))
        _ = try await outcome(bench, scheduler, later)
        #expect(bench.actions.requests.count == 1)
        let third = try await ask(
            bench, ScheduleRequest(schedule: name, kind: .trigger, at: bench.clock.now(), actor: "ann"))
        #expect(try await outcome(bench, scheduler, third)?.contains("a run of this schedule is open") == true)
        try await bench.run(scheduler, until: "2027-01-02T04:00:00Z")
        // The run that was asked for, at the opening; the nominal time of its own follows.
        #expect(bench.actions.requests.map(\.reason) == ["manual", "manual", "time"])
    }

    @Test func aBackfillMakesUpForAllWithOneRun() async throws {
        let bench = try await Bench(at: "2027-01-10T12:00:00Z")
        let scheduler = bench.scheduler(try declaration("daily", cron: "0 3 * * *"))
        try await bench.settle(scheduler)
        let range = try Timestamp(withOffset: "2027-01-01T00:00:00Z")...Timestamp(withOffset: "2027-02-01T00:00:00Z")
        let request = ScheduleRequest(
            schedule: try Name("daily"), kind: .backfill, at: bench.clock.now(), actor: "ann", range: range)
        #expect(try await outcome(bench, scheduler, ask(bench, request)) == "claimed 2027-01-10T03:00:00.000Z")
        #expect(bench.actions.nominals == ["2027-01-10T03:00:00.000Z"])
        #expect(try await bench.occurrences("daily").map(\.passedOver) == [9])
        #expect(try await outcome(bench, scheduler, ask(bench, request)) == "claimed 2027-01-09T03:00:00.000Z")
        let unknown = ScheduleRequest(schedule: try Name("nobody"), kind: .trigger, at: bench.clock.now(), actor: "ann")
        #expect(try await outcome(bench, scheduler, ask(bench, unknown)) == "refused: there is no such schedule now")
    }

    @Test func aPausedScheduleStandsStillAndDoesNotLookBackWhenItGoesOn() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let scheduler = try bench.scheduler(
            declaration("a", cron: "0 3 * * *"), declaration("b", cron: "0 4 * * *"))
        try await bench.settle(scheduler)
        let pause = ScheduleRecord.Pause(at: bench.clock.now(), actor: "ann", reason: "audit")
        try await bench.control.write { try $0.setPause(pause, of: Name("a")) }
        try await bench.run(scheduler, until: "2027-01-03T12:00:00Z")
        #expect(bench.actions.requests.allSatisfy { $0.id.schedule.description == "b" })
        #expect(bench.actions.requests.count == 3)
        let now = bench.clock.now()
        try await bench.control.write { try $0.resumeSchedule(Name("a"), at: now) }
        try await bench.run(scheduler, until: "2027-01-04T03:30:00Z")
        #expect(bench.actions.nominals.last == "2027-01-04T03:00:00.000Z" && bench.actions.requests.count == 4)
    }
}
