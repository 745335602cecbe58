import KeyModel
import Scheduling
import Testing
import ToolTesting

struct WindowUnionTests {
    @Test(arguments: ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "UTC"])
    func whatItOpensIsOpenAndWhatItClosesIsClosed(zone: String) throws {
        var generator = SeededGenerator()
        for _ in 0..<60 {
            let windows = try (0..<Int.random(in: 1...3, using: &generator)).map { _ in try Self.window(&generator) }
            let union = try WindowUnion(windows, in: try TestZones.zone(zone))
            let at = Timestamp(milliseconds: Int64.random(in: 0...2_500_000_000_000, using: &generator))
            let name: Comment = "\(windows) in \(zone) at \(at), seed \(generator.seed)"
            let opening = try #require(union.opening(atOrAfter: at), name)
            #expect(opening.contains(max(at, opening.start)), name)
            #expect(union.start(ofWorkDueAt: at) == max(at, opening.start), name)
            guard let end = opening.end else { continue }
            #expect(end > at, name)
            let next = try #require(union.opening(atOrAfter: end), name)
            #expect(next.start > end, "touching windows are one opening: \(name)")
            let back = union.opening(startingAtOrBefore: next.start.advanced(by: .milliseconds(-1)))
            #expect(back?.end == end, name)
            #expect(union.opening(startingAtOrBefore: next.start) == next, name)
        }
    }

    @Test func daysMayWrapAndSpellingDoesNotMatter() throws {
        let zone = try TestZones.zone("UTC")
        let from = try instant("2026-03-01T00:00:00Z")
        let found = try ["fri-MON 20:00-04:00", "Fri,Sat,Sun,Mon  20:00-04:00"].map {
            try WindowUnion([try WeeklyWindow(parsing: $0)], in: zone).opening(atOrAfter: from)
        }
        #expect(found[0] == found[1])
        #expect(found[0]?.start == (try instant("2026-02-28T20:00:00Z")))
    }

    @Test func refusalCountsToTheFault() {
        let error = failure { try WeeklyWindow(parsing: "Mon,Fir 01:00-05:00") }
        #expect(
            error?.message
                == #"window "Mon,Fir 01:00-05:00", character 8: "Fir" is no day; days are Sun, Mon, Tue, Wed, Thu, Fri, Sat"#
        )
        #expect(failure { try WindowUnion([], in: .utc) }?.code == .callerWindowMalformed)
    }

    @Test func noTextTraps() {
        var generator = SeededGenerator()
        let alphabet = Array("0123456789:-, SatMonFriwed24é\u{0}")
        for _ in 0..<20_000 {
            let text = String(
                (0..<Int.random(in: 0...22, using: &generator)).map { _ in
                    alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
                })
            _ = try? WeeklyWindow(parsing: text)
            _ = try? Timestamp(withOffset: text)
        }
    }

    private static func window(_ generator: inout SeededGenerator) throws -> WeeklyWindow {
        let days =
            ["", "Sat ", "Sun ", "Mon-Fri ", "Fri-Mon ", "Sat,Sun ", "Wed "].randomElement(using: &generator) ?? ""
        let times = [
            "01:00-05:00", "22:00-06:00", "02:15-02:45", "00:00-24:00", "23:30-00:30", "05:00-01:00", "00:00-00:01",
        ]
        return try WeeklyWindow(parsing: days + (times.randomElement(using: &generator) ?? ""))
    }
}
