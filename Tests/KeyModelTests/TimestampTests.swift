internal import Foundation
internal import KeyModel
internal import Testing
internal import ToolTesting

struct TimestampTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00.000Z", 0), ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("2024-02-29T12:00:00.000Z", 1_709_208_000_000), ("1900-02-28T00:00:00.000Z", -2_203_977_600_000),
            ("1969-12-31T23:59:59.999Z", -1), ("2026-11-21T08:09:10.011Z", 1_795_248_550_011),
            ("0000-01-01T00:00:00.000Z", -62_167_219_200_000), ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] as [(String, Int64)])
    func writesAndReadsKnownTimes(text: String, milliseconds: Int64) throws {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(try Timestamp(text).milliseconds == milliseconds)
    }

    @Test func readsATimeWithoutDecimals() throws {
        #expect(try Timestamp("2026-03-01T03:00:00Z").description == "2026-03-01T03:00:00.000Z")
    }

    @Test(arguments: [
        "", "2026-03-01", "2026-03-01T03:00:00", "2026-03-01T03:00:00+01:00", "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01t00:00:00Z",
        "2026-01-01T00:00:00z",
        "2026-01-01 00:00:00Z", "2026-01-01T00:00:00,000Z", "2026-01-01T00:00:00.00Z", "+026-01-01T00:00:00Z",
        "2026-1 -01T00:00:00Z", "20260101T000000Z", "2026-01-01T00:00:00.000ZZ", "2026-01-01T00:00:0\u{0}Z",
    ])
    func refusesEverythingElse(text: String) {
        do throws(KeyModelError) {
            _ = try Timestamp(text)
            Issue.record("\(quoted(text)) was read as a time")
        } catch {
            #expect(error.code == .callerTimeMalformed)
        }
    }

    @Test func everyTimeOfTheRangeIsReadBackAndSortsAsItsText() throws {
        var generator = SeededGenerator()
        var times = (0..<1000).map { _ in
            Timestamp(milliseconds: .random(in: -62_167_219_200_000...253_402_300_799_999, using: &generator))
        }
        for time in times { #expect(try Timestamp(time.description) == time, "seed \(generator.seed)") }
        times.sort()
        #expect(times.map(\.description) == times.map(\.description).sorted(), "seed \(generator.seed)")
    }

    @Test func agreesWithFoundationOnEveryDayOfFourCenturies() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(secondsFromGMT: 0))
        for day in stride(from: 0, through: 146_097, by: 13) {
            let text = Timestamp(milliseconds: Int64(day) * 86_400_000).description.prefix(10)
            let date = calendar.dateComponents(
                [.year, .month, .day], from: Date(timeIntervalSince1970: Double(day) * 86_400))
            let parts = text.split(separator: "-").compactMap { Int($0) }
            #expect(parts == [date.year, date.month, date.day].compactMap { $0 })
        }
    }

    @Test func staysWithinTheRange() {
        let last = Timestamp(milliseconds: .max)
        #expect(last.description == "9999-12-31T23:59:59.999Z")
        #expect(last.advanced(by: .seconds(1)) == last)
        #expect(last.advanced(by: .seconds(Int64.max)) == last)
        #expect(Timestamp(milliseconds: .min).advanced(by: .seconds(Int64.min)).description.hasPrefix("0000-01-01"))
    }

    @Test func advancesByWhatLiesBetween() {
        let early = Timestamp(milliseconds: 1_795_248_550_011)
        let late = early.advanced(by: .milliseconds(86_400_001))
        #expect(late.since(early) == .milliseconds(86_400_001) && early.since(late) == .milliseconds(-86_400_001))
        #expect(late.advanced(by: .milliseconds(-86_400_001)) == early && early < late)
    }
}
