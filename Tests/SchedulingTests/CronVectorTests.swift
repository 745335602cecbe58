import KeyModel
import Scheduling
import Testing
import VectorTesting

struct CronVectorTests {
    private struct Valid: Decodable {
        let id: String
        let cat: String
        let expr: String
        let tz: String
        let from: String
        let next: [String]
        var expected_rule: String?
    }

    private struct Invalid: Decodable {
        let id: String
        let expr: String
        let cat: String
        let reason: String
        let cls: String
    }

    private struct Update: Decodable {
        let expr: String
        let tz: String
        let from: String
        let next_utc: [String: [String]]
    }

    @Test(arguments: ["scheduling/cron.jsonl", "scheduling/cron-disputed.jsonl"])
    func firesWhenEveryVectorSays(file: String) throws {
        try VectorFile(file, of: Valid.self).forEach { entry in
            let schedule = try schedule(entry.expr, in: entry.tz)
            let found = schedule.occurrences(after: try instant(entry.from)).prefix(entry.next.count)
            #expect(
                found.map { schedule.zone.text($0.at) } == entry.next,
                "\(entry.id) \(entry.cat) \(quoted(entry.expr)) \(entry.tz) after \(entry.from)")
        }
    }

    @Test(arguments: ["scheduling/cron.jsonl", "scheduling/cron-disputed.jsonl"])
    func goesBackTheWayItCame(file: String) throws {
        try VectorFile(file, of: Valid.self).forEach { entry in
            let schedule = try schedule(entry.expr, in: entry.tz)
            let from = try instant(entry.from)
            let forth = Array(schedule.occurrences(after: from).prefix(entry.next.count))
            let last = try #require(forth.last)
            let back = sequence(first: last) { schedule.previous(before: $0.at) }.prefix { $0.at > from }
            #expect(back.reversed() == forth, "\(entry.id) \(quoted(entry.expr)) \(entry.tz)")
            #expect(schedule.count(after: from, through: last.at) == forth.count, "\(entry.id) \(quoted(entry.expr))")
        }
    }

    @Test func refusesEveryMalformedExpression() throws {
        var classes: [String: Int] = [:]
        try VectorFile("scheduling/cron-invalid.jsonl", of: Invalid.self).forEach { entry in
            let error = failure { try CronExpression(parsing: entry.expr) }
            let expected: SchedulingError.Code =
                entry.cat == "never-fires" ? .callerCronNeverFires : .callerCronMalformed
            #expect(error?.code == expected, "\(entry.id) \(quoted(entry.expr)): \(entry.reason)")
            #expect(error?.message.contains(quoted(entry.expr)) == true, "\(entry.id)")
            classes[entry.cls, default: 0] += 1
        }
        print("vectors: cron-invalid: \(classes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
    }

    @Test func followsTheReleaseOfTheDatabase() throws {
        var missing: Set<String> = []
        var checked: [String: Int] = [:]
        try VectorFile("scheduling/tz-update.jsonl", of: Update.self).forEach { entry in
            for (release, expected) in entry.next_utc {
                guard let database = try TestZones.database(ofRelease: release) else {
                    missing.insert(release)
                    continue
                }
                let zone = try database.zone(named: entry.tz)
                #expect(zone.databaseVersion == release)
                let schedule = CronSchedule(try CronExpression(parsing: entry.expr), in: zone)
                let found = schedule.occurrences(after: try instant(entry.from)).prefix(expected.count).map(\.at)
                #expect(try found == expected.map { try instant($0) }, "\(entry.expr) \(entry.tz) \(release)")
                checked[release, default: 0] += 1
            }
        }
        print("vectors: tz-update: checked \(checked)")
        for release in missing.sorted() {
            print("vectors: tz-update: release \(release) is not installed, skipped; KEYTURN_TEST_ZONEINFO can name it")
        }
    }
}
