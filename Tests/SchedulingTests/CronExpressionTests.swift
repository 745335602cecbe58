import KeyModel
import Testing
import ToolTesting

@testable import Scheduling

struct CronExpressionTests {
    @Test(arguments: [
        (
            "0 0 * * FRI-SUN",
            #"cron "0 0 * * FRI-SUN": day of week "FRI-SUN" at character 9 is a range that ends before it begins"#,
            "Write 5-7: as the end of a range, Sunday is 7."
        ),
        (
            "0 22-6 * * *", #"cron "0 22-6 * * *": hour "22-6" at character 3 is a range that ends before it begins"#,
            "Write 22-23,0-6: ranges do not wrap."
        ),
        (
            "0 0 1 NOV-FEB *",
            #"cron "0 0 1 NOV-FEB *": month "NOV-FEB" at character 7 is a range that ends before it begins"#,
            "Write 11-12,1-2: ranges do not wrap."
        ),
        (
            "0 3 1,32 * *", #"cron "0 3 1,32 * *": day of month "32" at character 7 is out of range"#,
            "The day of month is 1-31."
        ),
        (
            "0 0 * * MOM", #"cron "0 0 * * MOM": day of week "MOM" at character 9 is no day of week"#,
            "Did you mean MON?"
        ),
        ("@weekli", #"cron "@weekli": there is no macro "@weekli""#, "Did you mean @weekly?"),
        (
            "0 0 30 2 *", #"cron "0 0 30 2 *" never fires: no month it names has such a day"#,
            "Correct the day of month or the month; L is the last day of every month."
        ),
        (
            "TZ=UTC 0 3 * * *", #"cron "TZ=UTC 0 3 * * *": it has 6 fields, not 5"#,
            "The time zone is given by itself, as tz."
        ),
    ])
    func refusalNamesFieldItemAndReason(text: String, message: String, hint: String) {
        let error = failure { try CronExpression(parsing: text) }
        #expect(error?.message == message)
        #expect(error?.hint == hint)
    }

    @Test(arguments: [
        ("0 0 * * 7", "0 0 * * 0"), ("0 0 * * 5-7", "0 0 * * 0,5,6"), ("0 0 * * fri-7", "0 0 * * FRI,SAT,SUN"),
        ("0 0 * * 1/2", "0 0 * * 0,1,3,5"), ("0 0 l * *", "0 0 L * *"), ("0 0 * * fril", "0 0 * * 5L"),
        ("30/10 * * * *", "30,40,50 * * * *"), ("@MIDNIGHT", "0 0 * * *"), ("0\t0  1 jan *", "0 0 1 1 *"),
    ])
    func sameTimesInOtherWords(left: String, right: String) throws {
        let from = try instant("2026-01-01T00:00:00Z")
        let (one, other) = (try schedule(left, in: "UTC"), try schedule(right, in: "UTC"))
        let times = [one, other].map { $0.occurrences(after: from).prefix(60).map(\.at) }
        #expect(times[0] == times[1])
    }

    @Test(arguments: [
        "0 0 29 2 1", "0 0 29 2 *", "0 3 * 2 MON#5", "59 23 31 12 *", "0 0 29 2 */7", "0 0 31 1-12/2 SUN#5,*",
    ])
    func rareTimesAreFoundInFewSteps(text: String) throws {
        for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
            let schedule = try schedule(text, in: zone)
            var at = try instant("2072-03-01T00:00:00Z")
            for _ in 0..<3 {
                var search = OccurrenceSearch(schedule)
                let found = search.next(after: at)
                at = try #require(found).at
                // No two lie further apart than 40 years, each of two changes of the clock and a February.
                #expect(search.steps <= 6 * 41, "\(text) took \(search.steps)")
                var back = OccurrenceSearch(schedule)
                _ = back.previous(before: at)
                #expect(back.steps <= 6 * 41, "\(text) took \(back.steps) back")
            }
        }
    }

    @Test func timesThatNoClockShowsEndTheSearch() throws {
        // Two o'clock on the last Sunday of March is always jumped over in Berlin, and a wildcard does not run in gaps.
        let schedule = try schedule("*/5 2 * 3 0L", in: "Europe/Berlin")
        var search = OccurrenceSearch(schedule)
        let from = try instant("2026-01-01T00:00:00Z")
        let found = search.next(after: from)
        #expect(found == nil)
        #expect(search.steps < 10_000)
        var back = OccurrenceSearch(schedule)
        let last = back.previous(before: from)
        #expect(last?.local.description == "1980-03-30T02:55:00")
    }

    @Test(arguments: [
        ("0 3 1 */3 *", "at 03:00 on day 1 of January, April, July and October"),
        ("*/15 * * * *", "every 15 minutes"), ("* * * * *", "every minute"), ("@hourly", "at minute 0 of every hour"),
        ("30 2 * * *", "at 02:30"),
        (
            "0 9-17 * * MON-FRI",
            "at minute 0 of hour 9-17 on Mondays to Fridays"
        ),
        ("0 3 L * *", "at 03:00 on the last day of every month"),
        ("0 3 * 1 SAT#2,5L", "at 03:00 on the second Saturday and the last Friday of January"),
        ("0 3 1-7 * */7", "at 03:00 on day 1-7 of every month, but only on Sundays"),
        ("0 3 1 * FRI", "at 03:00 on day 1 of every month, and besides on Fridays"),
    ])
    func isExplainedInWords(text: String, words: String) throws {
        #expect(try CronExpression(parsing: text).words == words)
    }

    @Test(arguments: [
        ("0 3 1 * FRI", "either may match"), ("0 3 1-7 * */7", "both must match"), ("0 3 31 * *", "April"),
        ("0 3 30 1-3 *", "February"), ("15,* 3 * * *", "mixes *"), ("*/90 * * * *", #""*/90" is wider"#),
    ])
    func whatIsSeldomMeantIsRemarked(text: String, part: String) throws {
        let remarks = try CronExpression(parsing: text).remarks
        #expect(remarks.count == 1 && remarks[0].contains(part), "\(remarks)")
    }

    @Test(arguments: ["0 3 1 */3 *", "*/15 * * * *", "0 3 L * *", "0 3 28 2 *", "30 2 * * SUN#1", "*/59 */23 * * *"])
    func ordinaryExpressionsAreNotRemarked(text: String) throws {
        #expect(try CronExpression(parsing: text).remarks == [])
    }

    @Test func noTextTraps() {
        var generator = SeededGenerator()
        let alphabet = Array("0123456789*/-,#LW?~@ \tMONFEBjanKx\u{0}é")
        for _ in 0..<20_000 {
            let text = String(
                (0..<Int.random(in: 0...24, using: &generator)).map { _ in
                    alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
                })
            guard let expression = try? CronExpression(parsing: text) else { continue }
            #expect(
                CronSchedule(expression, in: .utc).next(after: Timestamp(milliseconds: 0)) != nil,
                "\(text), seed \(generator.seed)")
        }
    }
}
