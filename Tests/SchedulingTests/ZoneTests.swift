import Foundation
import KeyModel
import Scheduling
import Testing
import ToolTesting

struct ZoneTests {
    @Test func everyZoneOfTheDatabaseIsReadAndAgreesWithFoundation() throws {
        let database = try TestZones.system.get()
        var generator = SeededGenerator()
        var compared = 0
        for name in database.names.sorted() {
            let zone = try database.zone(named: name)
            guard let other = TimeZone(identifier: name) else { continue }
            for _ in 0..<20 {
                // After 1970, since builds of the database differ in what they keep from before.
                let seconds = Int64.random(in: 0...1_750_000_000, using: &generator)
                let offset = zone.offset(at: Timestamp(milliseconds: seconds * 1000))
                let expected = other.secondsFromGMT(for: Date(timeIntervalSince1970: Double(seconds)))
                #expect(offset == expected, "\(name) at \(seconds), seed \(generator.seed)")
                compared += 1
            }
        }
        print("zones: \(database.names.count) read, \(compared) offsets compared")
        #expect(database.names.count > 300 && compared > 5000)
    }

    @Test(arguments: [
        ("<+0330>-3:30", 1_900_000_000, 12_600), ("EST5EDT,M3.2.0,M11.1.0", 1_783_000_000, -14_400),
        ("EST5EDT,M3.2.0,M11.1.0", 1_800_000_000, -18_000), ("IST-1GMT0,M10.5.0,M3.5.0/1", 1_783_000_000, 3600),
        ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1_783_000_000, -3600), ("XXX3EDT4,0/0,J365/23", 1_783_000_000, -14_400),
        ("XXX3EDT4,0/0,J365/23", 1_798_761_600, -14_400), ("IST-2IDT,M3.4.4/26,M10.5.0", 1_774_569_600, 10_800),
        ("IST-2IDT,M3.4.4/26,M10.5.0", 1_774_569_599, 7200),
        ("UTC0", 0, 0), ("AAA-14:30:15", 5, 52_215),
    ])
    func theRuleAfterTheTableIsFollowed(rule: String, at seconds: Int, offset: Int) throws {
        let zone = try Zone(name: "Test", databaseVersion: "test", file: ZoneFile(rule: rule).bytes)
        #expect(zone.offset(at: Timestamp(milliseconds: Int64(seconds) * 1000)) == offset)
    }

    @Test(arguments: [
        "EST", "EST5EDT", "EST5EDT,M13.1.0,M11.1.0", "EST5EDT,M3.6.0,M11.1.0", "EST5EDT,M3.2.7,M11.1.0", "E5", "EST25",
        "EST5EDT,J0,J365", "EST5EDT,366,0", "EST5EDT,M3.2.0,M11.1.0/168", "<+1>-1", "EST5 ", "5EST", "<EST5",
    ])
    func aRuleThatSaysNothingIsRefused(rule: String) {
        let error = failure { try Zone(name: "Test", databaseVersion: "test", file: ZoneFile(rule: rule).bytes) }
        #expect(error?.code == .dataZoneMalformed)
    }

    @Test func aFileThatCountsLeapSecondsIsRefused() throws {
        var file = ZoneFile(rule: "UTC0")
        file.leapSeconds = 1
        let error = failure { try Zone(name: "right/UTC", databaseVersion: "test", file: file.bytes) }
        #expect(error?.message == #"the file of zone "right/UTC" cannot be used: it counts leap seconds"#)
    }

    @Test func noBytesTrapOrEndlesslySearch() throws {
        var generator = SeededGenerator()
        let names = ["Europe/Berlin", "Africa/Casablanca", "Pacific/Apia", "UTC"]
        let files = try names.map { Array(try Data(contentsOf: URL(filePath: "\(ZoneDatabase.systemRoot)/\($0)"))) }
        let expression = try CronExpression(parsing: "0 3 1 */3 *")
        var read = 0
        for round in 0..<4000 {
            var file = files[round % files.count]
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<file.count, using: &generator)
                switch Int.random(in: 0...3, using: &generator) {
                case 0: file.removeSubrange(place...)
                case 1: file.insert(.random(in: 0...255, using: &generator), at: place)
                default: file[place] = .random(in: 0...255, using: &generator)
                }
                if file.isEmpty { break }
            }
            guard let zone = try? Zone(name: "Fuzz", databaseVersion: "fuzz", file: file) else { continue }
            read += 1
            let schedule = CronSchedule(expression, in: zone)
            let times = schedule.occurrences(after: Timestamp(milliseconds: 1_700_000_000_000)).prefix(4).map(\.at)
            #expect(
                times == times.sorted() && Set(times).count == times.count, "seed \(generator.seed), round \(round)")
        }
        print("zones: \(read) damaged files were read, the rest refused, seed \(generator.seed)")
    }

    @Test func aDatabaseIsWhatItsIndexLists() throws {
        let berlin = Array(try Data(contentsOf: URL(filePath: "\(ZoneDatabase.systemRoot)/Europe/Berlin")))
        let index =
            "# version 2031a\nZ Europe/Berlin 1 - CET\nL Europe/Berlin Old/Name\nL x ../up\nL x right/UTC\nL x EST\n"
        let source = FakeSource(files: ["tzdata.zi": Array(index.utf8), "Europe/Berlin": berlin, "right/UTC": berlin])
        let database = try ZoneDatabase(source: source)
        #expect(database.version == "2031a")
        #expect(database.names == ["Europe/Berlin", "Old/Name"])
        #expect(try database.zone(named: "Europe/Berlin").databaseVersion == "2031a")
        #expect(failure { try database.zone(named: "Old/Name") }?.code == .storeZonesUnavailable)
        #expect(failure { try database.zone(named: "right/UTC") }?.code == .callerZoneUnknown)
    }

    @Test func withoutAnIndexTheTablesNameTheZones() throws {
        let table = "#codes\tcoordinates\tTZ\nDE\t+5230+01322\tEurope/Berlin\n"
        let backward = "# old names\nLink\tEurope/Berlin\tEurope/Old\n"
        let files = ["zone1970.tab": table, "backward": backward, "+VERSION": "2031b\n"].mapValues { Array($0.utf8) }
        let database = try ZoneDatabase(source: FakeSource(files: files))
        #expect(database.version == "2031b")
        #expect(database.names == ["Europe/Berlin", "Europe/Old", "UTC", "Etc/UTC"])
        #expect(failure { try ZoneDatabase(source: FakeSource(files: [:])) }?.code == .storeZonesUnavailable)
    }

    @Test(arguments: [
        ("CET", "Name a place, such as Europe/Berlin."), ("posix/Europe/Berlin", #"Did you mean "Europe/Berlin"?"#),
        ("europe/berlin", #"Did you mean "Europe/Berlin"?"#),
    ])
    func refusalOffersTheRightName(name: String, hint: String) throws {
        let database = try TestZones.system.get()
        #expect(failure { try database.zone(named: name) }?.hint == hint)
    }

    @Test(arguments: [
        ("2027-03-27T00:00:00+01:00", "2027-03-26T23:00:00.000Z"), ("2027-03-27T00:00Z", "2027-03-27T00:00:00.000Z"),
        ("2010-11-06T23:21:00.250-03:30", "2010-11-07T02:51:00.250Z"),
    ])
    func readsTimesWithOffsets(text: String, utc: String) throws {
        #expect(try instant(text).description == utc)
    }

    @Test(arguments: [
        "", "2027-03-27", "2027-03-27T00:00:00", "2027-02-29T00:00:00Z", "2027-03-27T24:00:00Z",
        "2027-03-27T00:00:00+1:00", "2027-03-27T00:00:00ZZ",
    ])
    func refusesOtherTimes(text: String) {
        #expect(failure { try instant(text) }?.code == .callerTimeMalformed)
    }
}

private struct FakeSource: ZoneSource {
    let files: [String: [UInt8]]
    let place = "a test"

    func contents(of name: String, limit: Int) throws(SchedulingError) -> [UInt8]? { files[name] }
}

/// The smallest TZif file around a rule.
private struct ZoneFile {
    let rule: String
    var leapSeconds: UInt8 = 0

    init(rule: String) { self.rule = rule }

    var bytes: [UInt8] {
        let counts: [UInt8] = [0, 0, leapSeconds, 0, 1, 4].flatMap { [0, 0, 0, $0] }
        let header = Array("TZif2".utf8) + [UInt8](repeating: 0, count: 15) + counts
        let kind: [UInt8] = [0, 0, 0, 0, 0, 0] + Array("LMT\0".utf8)
        let block1 = kind + [UInt8](repeating: 0, count: 8 * Int(leapSeconds))
        let block2 = kind + [UInt8](repeating: 0, count: 12 * Int(leapSeconds))
        return header + block1 + header + block2 + Array("\n\(rule)\n".utf8)
    }
}
