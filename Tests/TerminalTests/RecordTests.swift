internal import Terminal
internal import Testing

struct RecordTests {
    private let record = Record([
        Record.Field("run", "17"), Record.Field("keyring", "airflow"),
        Record.Field("remark", "nothing is left under the old key, and every value opens"),
    ])

    @Test func setsLabelsAndValuesInTwoColumns() {
        #expect(
            record.lines() == [
                "run      17", "keyring  airflow", "remark   nothing is left under the old key, and every value opens",
            ])
    }

    @Test func continuesALongValueBelowItsBeginning() {
        #expect(
            record.lines(width: 34) == [
                "run      17", "keyring  airflow", "remark   nothing is left under the",
                "         old key, and every value", "         opens",
            ])
    }

    @Test func putsValuesBelowTheirLabelsWhereItIsNarrow() {
        #expect(
            record.lines(width: 12) == [
                "run      17", "keyring", "  airflow", "remark", "  nothing is", "  left under", "  the old",
                "  key, and", "  every",
                "  value", "  opens",
            ])
    }

    @Test func breaksAWordThatFitsNowhere() {
        #expect(
            Record([Record.Field("k", "0123456789abcdefXYZ")]).lines(width: 19) == ["k  0123456789abcdef", "   XYZ"])
    }

    @Test func anEmptyValueLeavesTheLabel() {
        #expect(Record([Record.Field("key", "")]).lines() == ["key"])
    }

    @Test func escapesLabelsAndValues() {
        #expect(Record([Record.Field("k\n", "\u{1B}[2J")]).lines() == [#"k\n  \u{1b}[2J"#])
    }

    @Test(arguments: 1...80)
    func losesNothingAtAnyWidth(width: Int) {
        let lines = record.lines(width: width)
        #expect(lines.allSatisfy { $0.terminalWidth <= width })
        let value = record.fields[2].value.filter { $0 != " " }
        #expect(lines.joined().filter { $0 != " " }.contains(value))
    }
}
