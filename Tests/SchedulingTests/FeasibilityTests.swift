import KeyModel
import Scheduling
import Testing

struct FeasibilityTests {
    private func quarterly(maxKeyAge: Int64) throws -> ScheduleRules {
        var rules = ScheduleRules(cron: try schedule("0 3 1 */3 *", in: "Europe/Berlin"))
        rules.windows = try WindowUnion([try WeeklyWindow(parsing: "Sat 01:00-05:00")], in: rules.times.zone)
        rules.maxKeyAge = .seconds(maxKeyAge * 86_400)
        return rules
    }

    private let start = "2026-01-01T00:00:00+01:00"

    /// The figures that other engines came to for the obvious example.
    @Test func theObviousExampleIsWarnedAboutWithItsNumbers() throws {
        let rules = try quarterly(maxKeyAge: 90)
        let result = Feasibility(of: rules, from: try instant(start))
        #expect(result.nominalCount == 40)
        #expect(result.nominalCountInWindow == 7)
        #expect(result.nominalGaps.overAge == 31 && result.nominalGaps.count == 39)
        #expect(result.startGaps.overAge == 38 && result.startGaps.count == 39)
        // 84 and 98 days on the wall, an hour of daylight saving more or less.
        #expect(result.startGaps.shortest?.length == .seconds(84 * 86_400 + 3600))
        #expect(result.startGaps.longest?.length == .seconds(98 * 86_400 - 3600))
        #expect(result.runGaps.overAge == 0 && result.ageRunCount > 0)
        #expect(result.refusal(of: rules) == nil)
        let warnings = result.warnings(for: rules)
        #expect(warnings.contains { $0.contains("38 of 39 gaps between starts exceed max_key_age 90d") })
        #expect(warnings.contains("7 of 40 nominal times lie in a window; the others wait for one"))
    }

    @Test func windowsThatNeverFallWithinTheAgeAreRefused() throws {
        let rules = try quarterly(maxKeyAge: 5)
        let result = Feasibility(of: rules, from: try instant(start))
        #expect(result.refusal(of: rules)?.code == .callerScheduleImpossible)
        #expect(result.refusal(of: rules)?.message.contains("5d") == true)
    }

    @Test func rulesThatCanBeKeptAreNotWarnedAbout() throws {
        var rules = try quarterly(maxKeyAge: 100)
        #expect(
            Feasibility(of: rules, from: try instant(start)).warnings(for: rules).count == 1,
            "only what waits for windows")
        rules.windows = nil
        #expect(Feasibility(of: rules, from: try instant(start)).warnings(for: rules) == [])
    }

    @Test func aScheduleThatNeverFiresIsWarnedAbout() throws {
        let rules = ScheduleRules(cron: try schedule("*/5 2 * 3 0L", in: "Europe/Berlin"))
        let result = Feasibility(of: rules, from: try instant(start))
        #expect(result.warnings(for: rules).first?.hasPrefix("fires at no time") == true)
    }

    @Test func aBusyScheduleIsLookedAtForAShorterTime() throws {
        let rules = ScheduleRules(cron: try schedule("* * * * *", in: "UTC"))
        let result = Feasibility(of: rules, from: try instant(start))
        #expect(result.warnings(for: rules).count == 1)
        #expect(result.nominalCount == 20_000 && result.to < result.from.advanced(by: .seconds(15 * 86_400)))
    }

    @Test func theRulesAreExplained() throws {
        #expect(
            try quarterly(maxKeyAge: 90).explanation == [
                "At 03:00 on day 1 of January, April, July and October, Europe/Berlin time.",
                "A run starts only within Sat 01:00-05:00; a time outside waits for the next opening.",
                "The key is replaced before it is 90d old, in the last opening before that; such a run takes the place of the next time.",
            ])
    }

    @Test func theDaysThatClocksChangeAreNamed() throws {
        let rules = ScheduleRules(cron: try schedule("30 2 * * *", in: "Europe/Berlin"))
        let notes = rules.clockNotes(from: try instant(start), to: try instant("2028-01-01T00:00:00+01:00"))
        #expect(
            notes.map { rules.times.zone.text($0.at) } == [
                "2026-03-29T03:00:00+02:00", "2026-10-25T02:30:00+02:00", "2027-03-28T03:00:00+02:00",
                "2027-10-31T02:30:00+02:00",
            ])
        #expect(notes.map(\.note) == [.gap, .first, .gap, .first])
    }
}
