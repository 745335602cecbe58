internal import Terminal
internal import Testing

struct TableTests {
    private let columns = [Table.Column("name"), Table.Column("rows", alignment: .right), Table.Column("remark")]

    @Test func setsTextsLeftAndNumbersRight() {
        let table = Table(columns: columns, rows: [["a", "12,345", "well"], ["keyring", "7", ""]])
        #expect(
            table.lines() == [
                "name       rows  remark",
                "a        12,345  well",
                "keyring       7",
            ])
    }

    @Test func countsWideAndCombiningCharactersAsTheTerminalDoes() {
        let table = Table(columns: columns, rows: [["日本", "1", "x"], ["e\u{301}", "2", "y"]])
        #expect(table.lines() == ["name  rows  remark", "日本     1  x", "e\u{301}        2  y"])
    }

    @Test func cutsTextsBeforeNumbers() {
        let table = Table(
            columns: columns, rows: [["a-very-long-keyring-name", "123,456,789", "a remark of some length"]])
        #expect(
            table.lines(width: 40) == [
                "name                 rows  remark",
                "a-very-long…  123,456,789  a remark of…",
            ])
    }

    @Test func showsNoControlCharacterFromData() {
        let table = Table(columns: [Table.Column("c")], rows: [["\u{1B}]0;owned\u{7}"], ["two\nlines"]])
        #expect(table.lines() == ["c", #"\u{1b}]0;owned\u{7}"#, #"two\nlines"#])
    }

    @Test func fillsShortRowsAndLeavesSurplusCellsOut() {
        let table = Table(columns: columns, rows: [["a"], ["b", "1", "c", "surplus"], []])
        #expect(table.lines() == ["name  rows  remark", "a", "b        1  c", ""])
    }

    @Test func withoutRowsShowsItsHeader() {
        #expect(Table(columns: columns, rows: []).lines(width: 80) == ["name  rows  remark"])
        #expect(Table(columns: [], rows: [["x"]]).lines(width: 80) == ["", ""])
    }

    @Test func coloursNothingButTheHeader() {
        let lines = Table(columns: [Table.Column("c")], rows: [["v"]]).lines(style: Style(isColored: true))
        #expect(lines == ["\u{1B}[1mc\u{1B}[0m", "v"])
    }

    @Test(arguments: 0...60)
    func noLineIsWiderThanAsked(width: Int) {
        let table = Table(
            columns: columns,
            rows: [["日本語日本語日本語", "123,456,789", "remark"], ["x", "1", String(repeating: "long ", count: 20)]])
        #expect(table.lines(width: width).allSatisfy { $0.terminalWidth <= width })
    }
}
