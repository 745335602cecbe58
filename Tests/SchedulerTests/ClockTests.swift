import ControlStore
import KeyModel
import Scheduling
import Synchronization
import Testing

struct ClockTests {
    @Test(arguments: [-3600, -86_400])
    func aClockSetBackStartsNothingTwice(seconds: Int) async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let scheduler = bench.scheduler(try declaration("hourly", cron: "0 * * * *"))
        try await bench.run(scheduler, until: "2027-01-02T03:10:00Z")
        let before = bench.actions.nominals
        #expect(before.count == 27)
        bench.clock.step(by: .seconds(seconds))
        try await bench.settle(scheduler)
        let stop = try #require(await scheduler.standstill)
        #expect(stop.contains("schedules were worked at"), "\(stop)")
        #expect(try await bench.control.read { try $0.scheduler() }.clockSteps == 1)
        try await bench.run(scheduler, until: "2027-01-02T03:59:00Z")
        #expect(bench.actions.nominals == before)
        // When the time comes round again, work goes on where it stopped.
        try await bench.run(scheduler, until: "2027-01-02T05:10:00Z")
        #expect(await scheduler.standstill == nil)
        #expect(
            bench.actions.nominals.count == before.count + 2 && Set(bench.actions.nominals).count == before.count + 2)
    }

    @Test(arguments: [3600, 86_400])
    func aClockSetForwardIsDowntime(seconds: Int) async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let scheduler = bench.scheduler(try declaration("hourly", cron: "0 * * * *"))
        try await bench.run(scheduler, until: "2027-01-01T03:10:00Z")
        bench.clock.step(by: .seconds(seconds))
        try await bench.settle(scheduler)
        #expect(bench.actions.requests.count == 4)
        #expect(try await bench.record("hourly").missed == Int64(seconds / 3600 - 1))
    }

    @Test func aClockIn1970StartsNothing() async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let hourly = try declaration("hourly", cron: "0 * * * *")
        let scheduler = bench.scheduler(hourly)
        try await bench.run(scheduler, until: "2027-01-01T01:10:00Z")
        bench.clock.set(Timestamp(milliseconds: 5000))
        try await bench.settle(scheduler)
        #expect(await scheduler.standstill?.contains("before this program was made") == true)
        // Nor does a process that starts with it, which would otherwise load its schedules as new in 1970.
        let restarted = bench.scheduler(hourly, try declaration("new", cron: "0 * * * *"))
        for _ in 0..<48 {
            try await bench.settle(restarted)
            bench.clock.advance(by: .seconds(1800))
        }
        #expect(bench.actions.requests.count == 1)
        #expect(try await bench.control.read { try $0.schedules() }.map(\.name.description) == ["hourly"])
        #expect(try await bench.control.read { try $0.scheduler() }.alert != nil)
        bench.clock.set(try Timestamp(withOffset: "2027-01-01T02:10:00Z"))
        try await bench.settle(restarted)
        #expect(bench.actions.requests.count == 2)
        #expect(try await bench.control.read { try $0.scheduler() }.alert == nil)
        let names = try await bench.control.read { try $0.schedules() }.map(\.name.description)
        #expect(names == ["hourly", "new"], "what came while the clock was wrong is taken up once it is right")
    }

    @Test func aClockThatDiffersFromTheDatabasesStartsNothing() async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        bench.clock.set(SystemClock().now().advanced(by: .seconds(-3600)))
        let minutely = try declaration("minutely", cron: "* * * * *")
        let scheduler = bench.scheduler(minutely, comparesClocks: true)
        for _ in 0..<10 {
            try await bench.settle(scheduler)
            bench.clock.advance(by: .seconds(60))
        }
        #expect(bench.actions.requests.isEmpty)
        #expect(await scheduler.standstill?.contains("the database's") == true)
    }

    @Test func stepsAreTold() throws {
        var watch = ClockWatch()
        let start = try Timestamp(withOffset: "2027-01-01T00:00:00Z")
        #expect(watch.look(now: start, uptime: .seconds(10)) == nil)
        #expect(watch.look(now: start.advanced(by: .seconds(31)), uptime: .seconds(40)) == nil)
        #expect(watch.look(now: start.advanced(by: .seconds(45)), uptime: .seconds(50)) == .stepped(.seconds(4)))
        #expect(watch.look(now: start, uptime: .seconds(51)) == .stepped(.seconds(-46)))
    }

    @Test func severalOccurrencesAfterADayWithoutSleepAreNotRepeatedByARestart() async throws {
        let bench = try await Bench(at: "2027-01-01T00:30:00Z")
        let hourly = try declaration("hourly", cron: "0 * * * *")
        for hour in 1...6 {
            bench.clock.set(try Timestamp(withOffset: "2027-01-01T0\(hour):00:00Z"))
            try await bench.settle(bench.scheduler(hourly))
            try await bench.settle(bench.scheduler(hourly))
        }
        #expect(bench.actions.requests.count == 5 && Set(bench.actions.nominals).count == 5)
    }
}
