import ControlStore
import Foundation
import KeyModel
import Scheduling
import Testing

@testable import Scripting

struct ScheduleDeclarationTests {
    @Test func rulesThatCanNeverBeKeptAreRefusedWithNumbers() async throws {
        let text = """
            database "sqlite:a.db" keyring "main"
            schedule "a" { keyring = "main", tz = "UTC", cron = "0 3 1 */3 *", window = "Sat 01:00-05:00", max_key_age = "5d" }
            """
        // What calendars forbid today may be allowed tomorrow: only whoever takes it up is refused.
        let configuration = try await load(text)
        let error = try #require(throws: ScriptingError.self) { try configuration.refuseUnfitSchedules() }
        #expect(error.code == .callerConfigurationInvalid)
        #expect(
            error.message.hasPrefix("keyturn.lua:2: schedule \"a\": no window ever falls within max_key_age 5d: of "))
        #expect(error.message.hasSuffix("the shortest is 7d"), "\(error.message)")
    }

    @Test(arguments: [
        (#"keyring = "main", tz = "Mars/Olympus", cron = "@daily""#, "there is no time zone \"Mars/Olympus\""),
        (#"tz = "UTC", cron = "@daily", action = "drill""#, "it makes or tries backups, and none are declared"),
    ])
    func whatOnlySurroundingsForbidDoesNotKeepTheRestFromWorking(words: String, reason: String) async throws {
        let configuration = try await load(
            "database \"sqlite:a.db\" keyring \"main\"\nschedule \"a\" { \(words) }")
        #expect(configuration.schedules.count == 1)
        let error = try #require(throws: ScriptingError.self) { try configuration.refuseUnfitSchedules() }
        #expect(error.message.contains(reason), "\(error)")
    }

    @Test func whoeverTakesAConfigurationUpIsWarnedWithNumbers() async throws {
        let configuration = try await load(
            """
            database "sqlite:a.db" keyring "main"
            schedule "a" {
              keyring = "main", tz = "UTC", cron = "0 3 1 */3 *", window = "Sat 01:00-05:00", max_key_age = "90d",
            }
            """)
        let warnings = configuration.scheduleWarnings(from: try Timestamp(withOffset: "2027-01-01T00:00:00Z"))
        #expect(warnings.contains { $0.contains("gaps between nominal times exceed max_key_age 90d") }, "\(warnings)")
    }

    @Test func everyWordIsRead() throws {
        let declaration = ScheduleDeclaration(
            name: try Name("a"), keyring: try Name("main"),
            fields: [
                "every": .text("6h"), "phase": .text("1h"), "tz": .text("UTC"), "window": .texts(["22:00-06:00"]),
                "max_key_age": .text("90d"), "max_seals": .number(5), "misfire": .text("skip"), "grace": .text("2h"),
                "overlap": .text("queue_one"), "jitter": .text("10m"), "retry": .number(0), "retry_after": .text("5m"),
                "on_deadline": .text("force"), "window_end": .text("finish"), "expected": .text("20m"),
                "not_with": .texts(["b", "c"]), "apart": .text("3h"), "action": .text("rotate"),
            ], file: "keyturn.lua", line: 1)
        let schedule = try Schedule(ScheduleTerms(declaration), zones: try ZoneDatabase(), instance: "i")
        #expect(
            schedule.rules.times
                == .every(try TimeGrid(every: .seconds(21_600), phase: .seconds(3600)), in: schedule.rules.zone))
        #expect(schedule.rules.windows?.windows.count == 1 && schedule.rules.maxKeyAge == .seconds(90 * 86_400))
        #expect(
            schedule.rules.maxSeals == 5 && schedule.rules.misfire == .skip && schedule.rules.grace == .seconds(7200))
        #expect(schedule.rules.overlap == .queueOne && schedule.rules.jitter?.most == .seconds(600))
        #expect(schedule.rules.deadline == .force && schedule.rules.expectedDuration == .seconds(1200))
        #expect(schedule.windowEnd == .finish && schedule.retry.retries == 0 && schedule.retry.first == .seconds(300))
        #expect(schedule.notWith == [try Name("b"), try Name("c")] && schedule.apart == .seconds(10_800))
        #expect(
            schedule.retry.wait(after: 1, of: .init(schedule: schedule.name, nominal: Timestamp(milliseconds: 0)))
                == nil)
    }

    @Test func theExampleOfTheGuideLoads() async throws {
        let guide = try String(contentsOf: repository.appending(path: "docs/guides/schedules.md"), encoding: .utf8)
        let block = try #require(guide.split(separator: "```lua\n").dropFirst().first?.split(separator: "```").first)
        #expect(try await loadError("database \"sqlite:a.db\" keyring \"main\"\n" + block) == nil)
    }

    private var repository: URL {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    }
}
