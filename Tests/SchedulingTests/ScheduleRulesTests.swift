import KeyModel
import Scheduling
import Testing
import ToolTesting

struct ScheduleRulesTests {
    private static let day = Duration.seconds(86_400)

    /// Daily at three, from the first of January 2026 in UTC.
    private func daily() throws -> (rules: ScheduleRules, facts: ScheduleFacts) {
        let rules = ScheduleRules(cron: try schedule("0 3 * * *", in: "UTC"))
        return (rules, ScheduleFacts(activatedAt: try instant("2026-01-01T00:00:00Z")))
    }

    private func windows(_ texts: String..., in zone: String = "UTC") throws -> WindowUnion {
        try WindowUnion(try texts.map { try WeeklyWindow(parsing: $0) }, in: try TestZones.zone(zone))
    }

    @Test func aNewScheduleNeverLooksBack() throws {
        let (rules, facts) = try daily()
        let first = PlannedRun(
            trigger: .time, nominal: try instant("2026-01-01T03:00:00Z"), at: try instant("2026-01-01T03:00:00Z"))
        #expect(rules.decide(at: facts.activatedAt, facts) == .wait(first))
        #expect(rules.decide(at: first.at, facts) == .start(first))
        #expect(rules.decide(at: first.at.advanced(by: .milliseconds(-1)), facts) == .wait(first))
    }

    @Test func twoYearsOfDowntimeAreMadeUpForOnce() throws {
        var (rules, facts) = try daily()
        facts.watermark = try instant("2026-01-01T03:00:00Z")
        let now = try instant("2028-01-02T02:00:00Z")
        let latest = try instant("2028-01-01T03:00:00Z")
        #expect(
            rules.decide(at: now, facts)
                == .start(PlannedRun(trigger: .time, nominal: latest, at: latest, passedOver: 729)))
        rules.misfire = .skip
        #expect(rules.decide(at: now, facts) == .skip(through: latest, count: 730, .missed))
        facts.watermark = latest
        let next = try instant("2028-01-02T03:00:00Z")
        #expect(rules.decide(at: now, facts) == .wait(PlannedRun(trigger: .time, nominal: next, at: next)))
    }

    @Test func lateWithinTheGraceIsNotMissed() throws {
        var (rules, facts) = try daily()
        rules.misfire = .skip
        facts.watermark = try instant("2026-01-01T03:00:00Z")
        let nominal = try instant("2026-01-02T03:00:00Z")
        let run = PlannedRun(trigger: .time, nominal: nominal, at: nominal)
        #expect(rules.decide(at: nominal.advanced(by: rules.grace), facts) == .start(run))
        let after = nominal.advanced(by: rules.grace + .milliseconds(1))
        #expect(rules.decide(at: after, facts) == .skip(through: nominal, count: 1, .missed))
    }

    @Test func aClockSetBackStartsNothingTwice() throws {
        var (rules, facts) = try daily()
        facts.watermark = try instant("2026-06-01T03:00:00Z")
        rules.misfire = .runOnce
        for now in ["2026-06-01T02:00:00Z", "2026-05-31T03:00:00Z", "1970-01-01T00:00:00Z", "2026-06-01T03:00:00Z"] {
            let next = try instant("2026-06-02T03:00:00Z")
            #expect(
                rules.decide(at: try instant(now), facts) == .wait(PlannedRun(trigger: .time, nominal: next, at: next)),
                "\(now)")
        }
    }

    @Test func aTimeOutsideTheWindowWaitsAndTheLatestOneRuns() throws {
        var (rules, facts) = try daily()
        rules.windows = try windows("Sat 01:00-05:00")
        let opening = try instant("2026-01-03T01:00:00Z")
        let pending = try instant("2026-01-02T03:00:00Z")
        let run = PlannedRun(trigger: .time, nominal: pending, at: opening, passedOver: 1)
        #expect(rules.decide(at: try instant("2026-01-02T12:00:00Z"), facts) == .wait(run))
        #expect(rules.decide(at: opening, facts) == .start(run))
    }

    @Test func aWindowMissedAltogetherIsMadeUpForInTheNext() throws {
        var (rules, facts) = try daily()
        rules.times = .cron(try schedule("0 3 1 * *", in: "UTC"))
        rules.windows = try windows("Sat 01:00-05:00")
        facts.activatedAt = try instant("2026-01-15T00:00:00Z")
        let nominal = try instant("2026-02-01T03:00:00Z")
        let now = try instant("2026-02-07T05:00:00Z")
        let run = PlannedRun(trigger: .time, nominal: nominal, at: try instant("2026-02-14T01:00:00Z"))
        #expect(rules.decide(at: now, facts) == .wait(run))
        rules.misfire = .skip
        #expect(rules.decide(at: now, facts) == .skip(through: nominal, count: 1, .missed))
    }

    @Test func anOpenRunIsNeverJoinedByAnother() throws {
        var (rules, facts) = try daily()
        facts.hasOpenRun = true
        let nominal = try instant("2026-01-01T03:00:00Z")
        let run = PlannedRun(trigger: .time, nominal: nominal, at: nominal)
        #expect(rules.decide(at: nominal, facts) == .skip(through: nominal, count: 1, .overlap))
        rules.overlap = .queueOne
        #expect(rules.decide(at: nominal, facts) == .hold(run, .ownRun))
        facts.hasOpenRun = false
        facts.isDatabaseBusy = true
        #expect(rules.decide(at: nominal, facts) == .hold(run, .databaseBusy))
    }

    @Test func aRunForTheKeysAgeClaimsTheNextNominalTime() throws {
        var rules = ScheduleRules(cron: try schedule("0 3 1 */3 *", in: "Europe/Berlin"))
        rules.windows = try windows("Sat 01:00-05:00", in: "Europe/Berlin")
        rules.maxKeyAge = Self.day * 90
        var facts = ScheduleFacts(activatedAt: try instant("2026-01-03T00:00:00Z"))
        facts.keyMadeAt = try instant("2026-01-03T01:00:00+01:00")
        let last = try instant("2026-03-28T01:00:00+01:00")
        let claimed = try instant("2026-04-01T03:00:00+02:00")
        #expect(rules.decide(at: last, facts) == .start(PlannedRun(trigger: .keyAge, nominal: claimed, at: last)))
        facts.watermark = claimed
        facts.keyMadeAt = last
        guard case .wait(let next?) = rules.decide(at: claimed, facts) else {
            Issue.record("the nominal time that was claimed fires")
            return
        }
        #expect(next.trigger == .keyAge)
        #expect(try next.at == instant("2026-06-20T01:00:00+02:00"))
    }

    @Test func sealsStartARunInTheNextWindow() throws {
        var (rules, facts) = try daily()
        rules.windows = try windows("Sat 01:00-05:00")
        rules.times = .cron(try schedule("0 3 1 1 *", in: "UTC"))
        rules.maxSeals = 1000
        facts.seals = 1000
        facts.activatedAt = try instant("2026-01-02T00:00:00Z")
        let run = PlannedRun(
            trigger: .keySeals, nominal: try instant("2027-01-01T03:00:00Z"), at: try instant("2026-01-03T01:00:00Z"))
        #expect(rules.decide(at: try instant("2026-01-02T06:00:00Z"), facts) == .wait(run))
        facts.watermark = run.nominal
        guard case .start(let again) = rules.decide(at: run.at, facts) else {
            Issue.record("a second run for seals does not start")
            return
        }
        #expect(again.nominal > run.nominal, "a claim is never made twice")
        facts.seals = 999
        #expect(rules.decide(at: run.at, facts) != .start(again))
    }

    @Test func aDeadlineBetweenWindowsWaitsOrForces() throws {
        var rules = ScheduleRules(cron: try schedule("0 3 1 1 *", in: "UTC"))
        rules.windows = try windows("Sat 01:00-05:00")
        rules.maxKeyAge = Self.day * 3
        var facts = ScheduleFacts(activatedAt: try instant("2026-01-03T01:00:00Z"))
        let made = try instant("2026-01-03T05:30:00Z")
        facts.keyMadeAt = made
        let deadline = made.advanced(by: Self.day * 3)
        #expect(rules.start(forKeyMadeAt: made) == (try instant("2026-01-10T01:00:00Z")))
        #expect(rules.isOverdue(keyMadeAt: made, at: deadline.advanced(by: .seconds(1))))
        rules.deadline = .force
        #expect(rules.start(forKeyMadeAt: made) == deadline)
        guard case .start(let run) = rules.decide(at: deadline.advanced(by: .seconds(60)), facts) else {
            Issue.record("the deadline forces nothing")
            return
        }
        #expect(run.trigger == .keyAge)
    }

    @Test func aRunForTheKeysAgeLeavesTimeForItselfButNotAllTheTime() throws {
        var rules = ScheduleRules(cron: try schedule("0 3 1 1 *", in: "UTC"))
        rules.maxKeyAge = Self.day * 10
        rules.expectedDuration = Self.day * 2
        let made = try instant("2026-01-02T00:00:00Z")
        #expect(rules.start(forKeyMadeAt: made) == made.advanced(by: Self.day * 8))
        rules.expectedDuration = Self.day * 50
        #expect(rules.start(forKeyMadeAt: made) == made.advanced(by: Self.day * 5))
    }

    /// Ten years under random rules, each run taking a while: the laws that no schedule may break.
    @Test(arguments: 0..<24)
    func tenYearsKeepTheLaws(round: Int) throws {
        var generator = SeededGenerator()
        let zones = ["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Africa/Casablanca", "UTC"]
        let zone = zones[round % zones.count]
        let cron = ["0 3 1 */3 *", "30 2 * * SUN", "0 3 L * *", "15 1 1 1,7 *", "@weekly"].randomElement(
            using: &generator)
        let window = ["Sat 01:00-05:00", "22:00-06:00", "Sun 02:00-03:00", "Fri-Mon 20:00-04:00"].randomElement(
            using: &generator)
        var rules = ScheduleRules(cron: try schedule(cron ?? "@weekly", in: zone))
        rules.windows = Bool.random(using: &generator) ? try windows(window ?? "", in: zone) : nil
        rules.jitter = Jitter(most: .seconds(7200), instance: "a", schedule: try Name("nightly"))
        rules.maxKeyAge = Bool.random(using: &generator) ? Self.day * 40 : nil
        rules.misfire = Bool.random(using: &generator) ? .skip : .runOnce
        let start = try instant("2026-01-01T00:00:00Z")
        var facts = ScheduleFacts(activatedAt: start)
        facts.keyMadeAt = start
        let name: Comment = "\(cron ?? "@weekly") \(zone) \(rules.windows?.windows ?? []), seed \(generator.seed)"
        var now = start
        var claimed: Set<Timestamp> = []
        while now < start.advanced(by: Self.day * 3652) {
            switch rules.decide(at: now, facts) {
            case .start(let run):
                #expect(claimed.insert(run.nominal).inserted, name)
                #expect(run.nominal > facts.watermark ?? start, name)
                if let windows = rules.windows {
                    #expect(windows.opening(atOrAfter: now)?.contains(now) == true, "outside the window: \(name)")
                }
                facts.watermark = run.nominal
                facts.keyMadeAt = now
                now = now.advanced(by: .seconds(600))
            case .wait(let planned?):
                #expect(planned.at > now, name)
                // Now and then the machine sleeps for weeks.
                let sleep = Int.random(in: 0..<20, using: &generator) == 0 ? Self.day * 30 : .zero
                now = planned.at.advanced(by: sleep)
            case .skip(let nominal, let count, _):
                #expect(nominal <= now && count > 0, name)
                facts.watermark = nominal
            case .wait(nil), .hold:
                Issue.record("nothing follows: \(name)")
                return
            }
        }
        #expect(claimed.count >= 15, name)
    }
}
