internal import Terminal
internal import Testing

struct ProgressLineTests {
    @Test func showsPhaseShareCountsRateAndTimeLeft() {
        var line = ProgressLine()
        line.update(ProgressSnapshot(phase: "reencrypt", done: 0, total: 300_000), at: .seconds(100))
        line.update(ProgressSnapshot(phase: "reencrypt", done: 12_345, total: 300_000), at: .seconds(101))
        #expect(
            line.text(width: 120)
                == "reencrypt  [--------------------]  4 %  12,345 of 300,000 rows  12,345 rows/s  24 s left")
    }

    @Test func leavesPartsOutFromTheLeastImportantOne() {
        var line = ProgressLine()
        line.update(ProgressSnapshot(phase: "verify", done: 0, total: 200), at: .zero)
        line.update(ProgressSnapshot(phase: "verify", done: 100, total: 200), at: .seconds(1))
        let full = "verify  [##########----------]  50 %  100 of 200 rows  100 rows/s  1.0 s left"
        #expect(line.text(width: full.count) == full)
        #expect(line.text(width: full.count - 1) == "verify  50 %  100 of 200 rows  100 rows/s  1.0 s left")
        #expect(line.text(width: 50) == "verify  50 %  100 of 200 rows  1.0 s left")
        #expect(line.text(width: 35) == "verify  50 %  100 of 200 rows")
        #expect(line.text(width: 15) == "verify  50 %")
        #expect(line.text(width: 6) == "verify")
        #expect(line.text(width: 4) == "ver…")
        #expect(line.text(width: 0).isEmpty)
    }

    @Test func smoothsTheRate() {
        var line = ProgressLine(memory: .seconds(8))
        for second in 0...100 {
            line.update(ProgressSnapshot(phase: "p", done: UInt64(second) * 1000, total: nil), at: .seconds(second))
        }
        line.update(ProgressSnapshot(phase: "p", done: 100_000, total: nil), at: .seconds(101))
        #expect(line.text(width: 80) == "p  100,000 rows  889 rows/s")
        line.update(ProgressSnapshot(phase: "p", done: 100_000, total: nil), at: .seconds(201))
        #expect(line.text(width: 80) == "p  100,000 rows  66 rows/s")
    }

    @Test func startsTheRateAnewWithEachPhase() {
        var line = ProgressLine()
        line.update(ProgressSnapshot(phase: "a", done: 0, total: 10), at: .zero)
        line.update(ProgressSnapshot(phase: "a", done: 10, total: 10), at: .seconds(1))
        line.update(ProgressSnapshot(phase: "b", done: 0, total: 10), at: .seconds(2))
        #expect(line.text(width: 80) == "b  [--------------------]  0 %  0 of 10 rows")
    }

    @Test func saysNothingOfTheTimeLeftWhileNothingMoves() {
        var line = ProgressLine()
        line.update(ProgressSnapshot(phase: "a", done: 5, total: 10), at: .zero)
        line.update(ProgressSnapshot(phase: "a", done: 5, total: 10), at: .seconds(5))
        #expect(line.text(width: 80) == "a  [##########----------]  50 %  5 of 10 rows  0.0 rows/s")
    }

    @Test func oneHundredPerCentMeansAll() {
        var line = ProgressLine()
        line.update(ProgressSnapshot(phase: "a", done: UInt64.max - 1, total: .max), at: .zero)
        #expect(line.text(width: 80).contains("  99 %  "))
        line.update(ProgressSnapshot(phase: "a", done: .max, total: 5), at: .zero)
        #expect(line.text(width: 80).contains("  100 %  "))
        line.update(ProgressSnapshot(phase: "a", done: 0, total: 0), at: .zero)
        #expect(line.text(width: 80) == "a  0 of 0 rows")
    }

    @Test func aClockThatStandsOrGoesBackIsHarmless() {
        var line = ProgressLine()
        for time in [Duration.seconds(5), .seconds(5), .seconds(1)] {
            line.update(ProgressSnapshot(phase: "a", done: 5, total: 10), at: time)
        }
        #expect(line.text(width: 80) == "a  [##########----------]  50 %  5 of 10 rows")
    }

    @Test func plainLinesComeAtIntervalsAtNewPhasesAndAtTheEnd() {
        var line = ProgressLine(interval: .seconds(10))
        var lines: [String] = []
        for second in 0...25 {
            let phase = second < 22 ? "reencrypt" : "verify"
            let done = second < 22 ? UInt64(second) * 10 : UInt64(second - 22) * 100
            line.update(
                ProgressSnapshot(phase: phase, done: done, total: second < 22 ? 210 : 300), at: .seconds(second))
            if let text = line.plainLine() { lines.append(text) }
        }
        #expect(
            lines == [
                "reencrypt: 0 of 210 rows, 0 %", "reencrypt: 100 of 210 rows, 47 %, 10 rows/s, 11 s left",
                "reencrypt: 200 of 210 rows, 95 %, 10 rows/s, 1.0 s left",
                "reencrypt: 210 of 210 rows, 100 %, 10 rows/s",
                "verify: 0 of 300 rows, 0 %", "verify: 300 of 300 rows, 100 %, 100 rows/s",
            ])
    }

    @Test func hasNothingToSayBeforeTheFirstSnapshot() {
        var line = ProgressLine()
        #expect(line.text(width: 80).isEmpty && line.plainLine() == nil)
    }

    @Test func escapesNamesFromOutside() {
        var line = ProgressLine()
        line.update(ProgressSnapshot(phase: "a\u{1B}", done: 1, total: nil, unit: "\u{7}"), at: .zero)
        #expect(line.text(width: 80) == #"a\u{1b}  1 \u{7}"#)
        #expect(line.plainLine() == #"a\u{1b}: 1 \u{7}"#)
    }
}
