import ControlStore
import Foundation
import KeyModel
import Scheduling
import Synchronization
import Testing
import ToolTesting

/// The machine alone, over simulated years.
struct MachineTests {
    private static let zones = [
        "Europe/Berlin", "Europe/London", "Europe/Moscow", "America/New_York", "America/Los_Angeles",
        "America/St_Johns",
        "America/Sao_Paulo", "America/Havana", "America/Nuuk", "Africa/Cairo", "Africa/Casablanca", "Asia/Tokyo",
        "Asia/Kolkata", "Asia/Tehran", "Asia/Gaza", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Apia",
        "Pacific/Chatham", "UTC",
    ]

    /// What a run of the machine came to.
    private struct Play {
        var starts: [(nominal: Timestamp, at: Timestamp)] = []
        var skips = 0
    }

    /// Plays a schedule from wake to wake; each run succeeds after a while and makes a key.
    private func play(_ schedule: Schedule, from start: Timestamp, to end: Timestamp) throws -> Play {
        var machine = SchedulerMachine()
        var record = ScheduleRecord(
            name: schedule.name, hash: "", activatedAt: start, zone: schedule.rules.zone.name, zoneVersion: "")
        machine.load([(schedule, record)], open: [])
        if let keyring = schedule.keyring { machine.learned([keyring: KeyFacts(madeAt: start)]) }
        var play = Play()
        var now = start
        while now < end {
            let steps = machine.steps(at: now)
            for step in steps {
                switch step {
                case .claim(_, let run, _):
                    play.starts.append((run.nominal, now))
                    record.watermark = max(record.watermark ?? run.nominal, run.nominal)
                    record.pending = nil
                    record.lastSuccessAt = now
                    machine.recorded(record)
                    if let keyring = schedule.keyring { machine.learned([keyring: KeyFacts(madeAt: now)]) }
                case .skip(_, let through, _, _):
                    play.skips += 1
                    record.watermark = through
                    machine.recorded(record)
                case .notePending(_, let nominal):
                    record.pending = nominal
                    machine.recorded(record)
                case .perform, .park, .checkpoint, .evaluate: Issue.record("\(step)")
                }
            }
            guard steps.isEmpty else { continue }
            guard let wake = machine.wake(after: now) else { break }
            #expect(wake > now)
            now = max(wake, now.advanced(by: .milliseconds(1)))
        }
        return play
    }

    @Test(arguments: zones)
    func tenYearsKeepTheLaws(zone: String) throws {
        var random = SeededGenerator()
        let note: Comment = "\(zone), seed \(random.seed)"
        let crons = ["0 3 1 */3 *", "30 2 * * SUN", "0 3 L * *", "30 2 1,15 * *", "@weekly", "15 0 1 1,7 *"]
        let windowTexts = ["Sat 01:00-05:00", "22:00-06:00", "Sun 02:00-03:00", "Fri-Mon 20:00-04:00"]
        let base = try Timestamp(withOffset: "2027-01-01T00:00:00Z")
        for _ in 0..<2 {
            let database = try ZoneDatabase().zone(named: zone)
            let cron = CronSchedule(
                try CronExpression(parsing: crons[Int.random(in: 0..<crons.count, using: &random)]), in: database)
            let isGrid = Bool.random(using: &random)
            let times: NominalTimes =
                isGrid
                ? .every(
                    try TimeGrid(every: .seconds(Int64.random(in: 100_000...5_000_000, using: &random))), in: database)
                : .cron(cron)
            var rules = ScheduleRules(times)
            if Bool.random(using: &random) {
                rules.windows = try WindowUnion(
                    [WeeklyWindow(parsing: windowTexts[Int.random(in: 0..<4, using: &random)])], in: database)
            }
            if Bool.random(using: &random) {
                rules.jitter = Jitter(most: .seconds(7200), instance: "i", schedule: try Name("a"))
            }
            if Bool.random(using: &random) {
                rules.maxKeyAge = .seconds(Int64.random(in: 20...120, using: &random) * 86_400)
            }
            rules.misfire = Bool.random(using: &random) ? .skip : .runOnce
            let keyring = try Name("main")
            let schedule = Schedule(name: try Name("a"), keyring: keyring, rules: rules)
            let play = try play(schedule, from: base, to: base.advanced(by: .seconds(3652 * 86_400)))
            #expect(!play.starts.isEmpty, note)
            #expect(Set(play.starts.map(\.nominal)).count == play.starts.count, note)
            for (earlier, later) in zip(play.starts, play.starts.dropFirst()) {
                #expect(earlier.nominal < later.nominal && earlier.at < later.at, note)
            }
            if let windows = rules.windows {
                for start in play.starts {
                    #expect(windows.opening(atOrAfter: start.at)?.contains(start.at) == true, note)
                }
            }
            var last = base
            for occurrence in times.occurrences(after: base).prefix(200) {
                #expect(occurrence.at > last, note)
                last = occurrence.at
            }
        }
    }

    @Test func tenYearsOfAQuarterlyScheduleTakeLessThanASecond() throws {
        let zone = try ZoneDatabase().zone(named: "Europe/Berlin")
        var rules = ScheduleRules(cron: CronSchedule(try CronExpression(parsing: "0 3 1 */3 *"), in: zone))
        rules.windows = try WindowUnion([WeeklyWindow(parsing: "Sat 01:00-05:00")], in: zone)
        rules.maxKeyAge = .seconds(90 * 86_400)
        let schedule = Schedule(name: try Name("quarterly"), keyring: try Name("main"), rules: rules)
        let start = try Timestamp(withOffset: "2027-01-01T00:00:00Z")
        let before = processorTime()
        let play = try play(schedule, from: start, to: start.advanced(by: .seconds(3652 * 86_400)))
        let taken = processorTime() - before
        #expect(play.starts.count >= 40)
        #expect(taken < .seconds(1), "\(taken)")
        let gaps = zip(play.starts, play.starts.dropFirst()).map { $1.at.since($0.at) }
        #expect(gaps.allSatisfy { $0 <= .seconds(90 * 86_400) })
    }

    private func processorTime() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
