import ControlStore
import Foundation
import KeyModel
import Scheduling
import Synchronization
import Testing
import VectorTesting

/// A time zone database whose files and release a test changes under a running process.
private final class ShiftingZones: ZoneSource {
    private let files: Mutex<[String: [UInt8]]>

    /// One zone, `Test/Place`, with the rules of another.
    init(release: String, as zone: String) throws { files = Mutex(try Self.files(release, zone)) }

    func change(release: String, as zone: String) throws {
        let new = try Self.files(release, zone)
        files.withLock { $0 = new }
    }

    var place: String { "a test" }
    func contents(of name: String, limit: Int) throws(SchedulingError) -> [UInt8]? { files.withLock { $0[name] } }

    private static func files(_ release: String, _ zone: String) throws -> [String: [UInt8]] {
        let root = URL(filePath: ZoneDatabase.systemRoot)
        return [
            "tzdata.zi": Array("# version \(release)\nZ Test/Place 1 - X\n".utf8),
            "Test/Place": Array(try Data(contentsOf: root.appending(path: zone))),
        ]
    }
}

struct ZoneSwapTests {
    private func daily() throws -> ScheduleTerms {
        try declaration("daily", cron: "0 3 * * *", zone: "Test/Place")
    }

    @Test func aReleaseThatMovesTimesIsNoticedWithoutARestart() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let source = try ShiftingZones(release: "a", as: "Europe/Berlin")
        let scheduler = bench.scheduler(try daily(), zones: { try ZoneDatabase(source: source) })
        try await bench.run(scheduler, until: "2027-01-01T06:00:00Z")
        try source.change(release: "b", as: "Asia/Tokyo")
        try await bench.run(scheduler, until: "2027-01-02T22:00:00Z")
        #expect(
            bench.actions.nominals == [
                "2027-01-01T02:00:00.000Z", "2027-01-01T18:00:00.000Z", "2027-01-02T18:00:00.000Z",
            ])
        #expect(try await bench.occurrences("daily").map(\.zoneVersion) == ["a", "b", "b"])
    }

    /// At 03:00 the run was made; the new release says that 03:00 of that day is yet to come.
    @Test func aLocalTimeThatHadItsRunDoesNotComeAgain() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let source = try ShiftingZones(release: "a", as: "Europe/Berlin")
        let scheduler = bench.scheduler(try daily(), zones: { try ZoneDatabase(source: source) })
        try await bench.run(scheduler, until: "2027-01-01T02:10:00Z")
        try source.change(release: "b", as: "Europe/London")
        try await bench.run(scheduler, until: "2027-01-02T12:00:00Z")
        #expect(bench.actions.nominals == ["2027-01-01T02:00:00.000Z", "2027-01-02T03:00:00.000Z"])
    }

    @Test func aTimeThatTheNewReleasePutsInThePastIsDue() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let source = try ShiftingZones(release: "a", as: "Europe/London")
        let scheduler = bench.scheduler(try daily(), zones: { try ZoneDatabase(source: source) })
        try await bench.run(scheduler, until: "2027-01-01T02:30:00Z")
        #expect(bench.actions.requests.isEmpty)
        try source.change(release: "b", as: "Europe/Berlin")
        bench.clock.advance(by: .seconds(900))
        try await bench.run(scheduler, until: "2027-01-01T03:31:00Z")
        #expect(bench.actions.nominals == ["2027-01-01T02:00:00.000Z"])
    }

    @Test func aZoneThatIsGoneDisablesItsScheduleAloneAndSaysSo() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let source = try ShiftingZones(release: "a", as: "Europe/Berlin")
        let system = try ZoneDatabase()
        let isGone = Mutex(false)
        let other = try declaration("other", cron: "0 5 * * *", zone: "UTC")
        let scheduler = bench.scheduler(
            try daily(), try declaration("also", cron: "0 3 * * *", zone: "Test/Place"),
            zones: { isGone.withLock(\.self) ? system : try ZoneDatabase(source: source) })
        try await bench.run(scheduler, until: "2027-01-01T06:00:00Z")
        isGone.withLock { $0 = true }
        await scheduler.configure([try daily(), other])
        try await bench.run(scheduler, until: "2027-01-03T06:00:00Z")
        #expect(bench.actions.requests.map(\.id.schedule.description) == ["also", "daily", "other", "other"])
        #expect(try await bench.record("daily").alert?.contains("no time zone \"Test/Place\"") == true)
    }

    /// The lines of `tz-update.jsonl`, where both releases are installed.
    @Test func theTimesOfBothReleasesAreThoseOfTheVectors() async throws {
        struct Line: Decodable {
            let expr: String
            let tz: String
            let from: String
            let next_utc: [String: [String]]
        }
        let listed = ProcessInfo.processInfo.environment["KEYTURN_TEST_ZONEINFO"] ?? ""
        let roots = [ZoneDatabase.systemRoot] + listed.split(separator: ":").map(String.init)
        let databases = try roots.map { try ZoneDatabase(root: $0) }
        let lines = try VectorFile("scheduling/tz-update.jsonl", of: Line.self).cases ?? []
        var swaps = 0
        for line in lines.prefix(6) {
            let usable = databases.filter { line.next_utc[$0.version] != nil }
            guard let old = usable.first, let new = usable.last, old.version != new.version else { continue }
            swaps += 1
            let bench = try await Bench(
                at: line.from, renewal: .seconds(43_200), longestSleep: .seconds(43_200))
            let isNew = Mutex(false)
            let scheduler = bench.scheduler(
                try declaration("swapped", cron: line.expr, zone: line.tz),
                zones: { isNew.withLock(\.self) ? new : old })
            let first = try #require(line.next_utc[old.version]?.first)
            try await bench.run(scheduler, until: first.replacing("+00:00", with: "Z"))
            try await bench.settle(scheduler)
            isNew.withLock { $0 = true }
            let second = try #require(line.next_utc[new.version]?.dropFirst().first)
            try await bench.run(scheduler, until: second.replacing("+00:00", with: "Z"))
            try await bench.settle(scheduler)
            let expected = [first, second].map { $0.replacing("+00:00", with: ".000Z") }
            #expect(bench.actions.nominals == expected, "\(line.expr) \(line.tz)")
        }
        print("tz-update: \(swaps) lines played through; both releases are installed: \(swaps > 0)")
    }
}
