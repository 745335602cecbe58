internal import Terminal
internal import Testing

struct CSVTests {
    @Test(
        arguments: [
            (["a", "b"], "a,b\r\n"), (["a,b", "c"], "\"a,b\",c\r\n"), (["say \"hi\""], "\"say \"\"hi\"\"\"\r\n"),
            (["two\nlines", "cr\r", "crlf\r\n"], "\"two\nlines\",\"cr\r\",\"crlf\r\n\"\r\n"), ([nil, ""], ",\"\"\r\n"),
            ([nil], "\"\"\r\n"), ([], "\r\n"), ([" kept ", "ü"], " kept ,ü\r\n"),
            (["\"\u{301}"], "\"\"\"\u{301}\"\r\n"),
        ] as [([String?], String)])
    func writesAsTheStandardSays(fields: [String?], line: String) {
        #expect(CSV.line(fields).utf8.elementsEqual(line.utf8))
    }
}
