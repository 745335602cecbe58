import KeyModel
import Scheduling
import Testing
import ToolTesting

/// Laws that hold for any expression in any zone, on random ones.
struct CronPropertyTests {
    private static let zones = [
        "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca",
        "Asia/Tehran",
        "Pacific/Apia", "Antarctica/Troll", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Chatham",
        "Europe/Dublin", "America/Nuuk", "Asia/Gaza", "America/Havana", "Pacific/Kiritimati", "Europe/Moscow", "UTC",
        "Asia/Pyongyang",
    ]

    @Test(arguments: zones)
    func timesAreStrictlyIncreasingAndGoBackTheSameWay(zone: String) throws {
        var generator = SeededGenerator()
        for _ in 0..<30 {
            let schedule = try schedule(Self.expression(&generator), in: zone)
            let name: Comment = "\(schedule.expression) in \(zone), seed \(generator.seed)"
            let from = Self.time(&generator)
            let times = Array(schedule.occurrences(after: from).prefix(40))
            #expect(times.first.map { $0.at > from } ?? true, name)
            #expect(zip(times, times.dropFirst()).allSatisfy { $0.at < $1.at }, name)
            for (earlier, later) in zip(times, times.dropFirst()) {
                #expect(schedule.previous(before: later.at) == earlier, name)
                #expect(schedule.next(after: later.at.advanced(by: .milliseconds(-1))) == later, name)
            }
            guard let last = times.last else { continue }
            #expect(schedule.count(after: from, through: last.at) == times.count, name)
            #expect(
                schedule.count(after: from, through: last.at.advanced(by: .milliseconds(-1))) == times.count - 1, name)
        }
    }

    /// The rule of the vectors, taken literally: minute by minute over the days round each change of the clock.
    @Test(arguments: zones)
    func agreesWithTheRuleTakenLiterally(zone: String) throws {
        var generator = SeededGenerator()
        let place = try TestZones.zone(zone)
        for change in Self.changes(of: place).shuffled(using: &generator).prefix(4) {
            for _ in 0..<4 {
                let schedule = CronSchedule(try CronExpression(parsing: Self.expression(&generator)), in: place)
                let (from, to) = (change.advanced(by: .seconds(-86_400)), change.advanced(by: .seconds(86_400)))
                let found = schedule.occurrences(after: from).prefix { $0.at <= to }.map(\.at)
                #expect(
                    found == LiteralRule(schedule).times(after: from, through: to),
                    "\(schedule.expression) in \(zone) round \(change), seed \(generator.seed)")
            }
        }
    }

    @Test func aGapIsMadeUpForOnceOrSkippedOnRequest() throws {
        let expression = try CronExpression(parsing: "0,30 2 * * *")
        let zone = try TestZones.zone("Europe/Berlin")
        let from = try instant("2027-03-27T12:00:00Z")
        let run = Array(CronSchedule(expression, in: zone).occurrences(after: from).prefix(2))
        #expect(run.map { zone.text($0.at) } == ["2027-03-28T03:00:00+02:00", "2027-03-29T02:00:00+02:00"])
        #expect(run.first?.remark(in: zone) == "02:00 does not exist that day; runs at 03:00")
        let skip = CronSchedule(expression, in: zone, gap: .skip).occurrences(after: from).prefix(2)
        #expect(skip.map { zone.text($0.at) } == ["2027-03-29T02:00:00+02:00", "2027-03-29T02:30:00+02:00"])
    }

    @Test func aRepeatedHourIsRunOnceByFixedAndTwiceByWildcardExpressions() throws {
        let zone = try TestZones.zone("Europe/Berlin")
        let (from, to) = (try instant("2027-10-30T22:00:00Z"), try instant("2027-10-31T02:00:00Z"))
        let fixed = Array(try schedule("30 2 * * *", in: zone.name).occurrences(after: from).prefix { $0.at < to })
        #expect(fixed.map { zone.text($0.at) } == ["2027-10-31T02:30:00+02:00"])
        #expect(fixed.first?.remark(in: zone) == "02:30 comes twice that day; runs the first time only")
        let wildcard = Array(try schedule("30 * 31 * *", in: zone.name).occurrences(after: from).prefix { $0.at < to })
        #expect(wildcard.map(\.note) == [nil, nil, nil, .again])
    }

    @Test func countingTwoYearsOfMinutesIsExact() throws {
        let schedule = try schedule("* * * * *", in: "Europe/Berlin")
        let from = try instant("2026-01-01T00:00:00Z")
        #expect(schedule.count(after: from, through: from.advanced(by: .seconds(730 * 86_400))) == 730 * 1440)
    }

    private static func expression(_ generator: inout SeededGenerator) -> String {
        let minutes = ["0", "30", "*/15", "0-59", "45", "59", "7/13", "*", "0,30"]
        let hours = ["0", "1", "2", "3", "*", "*/2", "0-4", "23", "1-3", "22/1"]
        let days = ["*", "*", "*", "1", "L", "28-31", "*/2", "LW", "15,31"]
        let months = ["*", "*", "*", "3,4,9,10,11", "*/3", "OCT-DEC"]
        let weekdays = ["*", "*", "SUN", "0L", "SAT#2", "1-5", "*/3"]
        return [minutes, hours, days, months, weekdays].compactMap { $0.randomElement(using: &generator) }.joined(
            separator: " ")
    }

    private static func time(_ generator: inout SeededGenerator) -> Timestamp {
        Timestamp(milliseconds: Int64.random(in: 0...4_000_000_000_000, using: &generator))
    }

    /// The hours in which a zone's offset changes between 2005 and 2045.
    private static func changes(of zone: Zone) -> [Timestamp] {
        let days = (12_784...27_393).map { Timestamp(milliseconds: Int64($0) * 86_400_000) }
        return zip(days, days.dropFirst()).filter { zone.offset(at: $0) != zone.offset(at: $1) }.map(\.0)
    }
}

/// Debian's rule by looking at every minute; slow, and so simple that it can be read against the vectors' README.
private struct LiteralRule {
    private let schedule: CronSchedule
    private let matches: CronSchedule

    init(_ schedule: CronSchedule) {
        self.schedule = schedule
        matches = CronSchedule(schedule.expression, in: .utc)
    }

    func times(after from: Timestamp, through to: Timestamp) -> [Timestamp] {
        // The zones have whole minutes here. 26 hours more on each side hold every time that could be moved inside.
        let margin: Int64 = 26 * 3_600_000
        let instants = stride(from: from.milliseconds - margin, through: to.milliseconds + margin, by: 60_000).map {
            Timestamp(milliseconds: $0)
        }
        let shown = instants.map { schedule.zone.local(at: $0) }
        let matching = matchingTimes(from: shown.min(), through: shown.max())
        var fired: Set<Timestamp> = []
        if schedule.expression.isWildcard {
            for (instant, local) in zip(instants, shown) where matching.contains(local) { fired.insert(instant) }
        } else {
            let firstInstants = Dictionary(zip(shown, instants)) { first, _ in first }
            for local in matching {
                let afterGap = shown.firstIndex { $0 > local }.map { instants[$0] }
                if let instant = firstInstants[local] ?? afterGap { fired.insert(instant) }
            }
        }
        return fired.filter { from < $0 && $0 <= to }.sorted()
    }

    /// The expression's own calendar, in UTC, where no clock ever changes.
    private func matchingTimes(from: LocalTime?, through: LocalTime?) -> Set<LocalTime> {
        guard let from, let through else { return [] }
        let start = Timestamp(milliseconds: Int64(from.seconds) * 1000 - 1)
        let end = Timestamp(milliseconds: Int64(through.seconds) * 1000)
        return Set(matches.occurrences(after: start).prefix { $0.at <= end }.map(\.local))
    }
}
