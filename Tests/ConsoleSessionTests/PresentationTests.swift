import ConsoleSession
import Control
import Frames
import Terminal
import Testing

struct PresentationTests {
    private static let columns = [Answer.Column("name"), Answer.Column("rows", isNumber: true)]
    private static let table = Answer(
        [["name": "a,b", "rows": 12_345]], [.table(title: nil, columns: columns, rows: [["a,b", "12,345"]])])

    @Test(arguments: [
        (ResultFormat.table, "name    rows\na,b   12,345\n"), (.csv, "name,rows\r\n\"a,b\",12345\r\n"),
        (.ndjson, "{\"name\":\"a,b\",\"rows\":12345}\n"), (.lua, "{\n  { name = \"a,b\", rows = 12345 },\n}\n"),
    ])
    func tableIsPrinted(format: ResultFormat, text: String) {
        let printed = Presentation(format).text(Self.table)
        if format == .lua {
            #expect(printed == "{ { name = \"a,b\", rows = 12345 } }\n")
        } else {
            #expect(printed == text)
        }
    }

    @Test func jsonIsOneEnvelopeAlsoForErrors() throws {
        let presentation = Presentation(.json)
        let result = try #require(FrameValue(json: presentation.text(Self.table)))
        #expect(result == ["ok": true, "result": [["name": "a,b", "rows": 12_345]]])
        let error = ControlError(.callerNotFound, "no \"x\"\u{1B}", hint: "Look.")
        let failure = try #require(FrameValue(json: presentation.text(error)))
        #expect(failure["ok"] == false)
        #expect(failure["error"]?["code"] == "callerNotFound")
        #expect(failure["error"]?["hint"] == "Look.")
        #expect(FrameValue(json: presentation.text(Answer(.null))) == ["ok": true, "result": .null])
    }

    @Test(arguments: [FrameValue.double(.nan), .double(.infinity), .binary([0xFF]), .string("\u{0}\u{1B}\u{2028}\"\\")])
    func jsonCanAlwaysBeRead(value: FrameValue) throws {
        let text = Presentation(.json).text(Answer(value))
        #expect(FrameValue(json: text)?["ok"] == true, "\(text)")
    }

    @Test func nothingIsPrintedForNothing() {
        #expect(Presentation(.table).text(Answer(.null)) == "")
        #expect(Presentation(.csv).text(Answer(.null)) == "")
    }

    @Test func listOfRecordsIsATable() {
        let value: FrameValue = [["b": "x", "a": 1], ["a": 22, "c": true]]
        #expect(Presentation(.table).text(Answer(value)) == " a  b  c\n 1  x\n22     true\n")
    }

    @Test func expandedTableShowsRowsBelowOneAnother() {
        var presentation = Presentation(.table)
        presentation.isExpanded = true
        #expect(presentation.text(Self.table) == "-- 1\nname  a,b\nrows  12,345\n")
    }

    @Test func tablesAreFittedAndControlNothing() {
        let rows = [["\u{1B}]0;x\u{7}" + String(repeating: "w", count: 100), "1"]]
        let answer = Answer(.null, [.table(title: "t\u{1B}[2J", columns: Self.columns, rows: rows)])
        let text = Presentation(.table, width: 40).text(answer)
        #expect(text.split(separator: "\n").allSatisfy { $0.terminalWidth <= 40 })
        #expect(!text.contains("\u{1B}"))
        #expect(text.contains("…"))
    }

    private static let values: [(FrameValue, String)] = [
        (.integer(3), "3"), (.double(3), "3.0"), (.double(0.5), "0.5"), (.string("a\"\n"), #""a\"\n""#),
        (.bool(true), "true"),
        ([1, "x"], "{ 1, \"x\" }"), (["b": 1, "a b": 2, "end": 3], "{ [\"a b\"] = 2, b = 1, [\"end\"] = 3 }"),
        (.binary([0x61, 0xFF]), #""a\xff""#), ([], "{}"),
    ]

    @Test(arguments: values)
    func valuesAreWrittenAsLuaDoes(value: FrameValue, text: String) {
        #expect(LuaInspector(width: 80).lines(value) == [text])
    }

    @Test func deepAndWideValuesEnd() {
        var deep: FrameValue = 1
        for _ in 0..<200 { deep = [deep] }
        #expect(LuaInspector(width: 40).lines(deep).joined().contains("…"))
        let wide = FrameValue.array((0..<30).map { .integer($0) })
        #expect(LuaInspector(width: 40).lines(wide).count == 32)
    }

    @Test func progressSaysWhatItKnowsInTheRoomThereIs() {
        let now = ControlEvent.Progress(
            run: 7, phase: "reencrypt", subject: "users.email", done: 420, total: 1000, rate: 12,
            leftMilliseconds: 48_000)
        #expect(
            ProgressText.line(now, width: 120)
                == "run 7 reencrypt  users.email  [########------------]  42 %  420 of 1,000 rows  12 rows/s  48 s left"
        )
        for width in 1..<100 { #expect(ProgressText.line(now, width: width).terminalWidth <= width) }
        #expect(ProgressText.plain(now) == "run 7 reencrypt users.email: 420 of 1,000 rows, 42 %, 12 rows/s, 48 s left")
        var waiting = now
        waiting.waiting = "provider \"hsm\" does not answer"
        #expect(ProgressText.line(waiting, width: 80) == "run 7 reencrypt waits: provider \"hsm\" does not answer")
    }
}
