internal import Terminal
internal import Testing

struct TerminalSizeTests {
    @Test(
        arguments: [
            ([:], 80, 24), (["COLUMNS": "132", "LINES": "50"], 132, 50), (["COLUMNS": "0", "LINES": "-1"], 80, 24),
            (["COLUMNS": "many", "LINES": "99999"], 80, 24),
        ] as [([String: String], Int, Int)])
    func takesTheEnvironmentWhereNoTerminalAnswers(environment: [String: String], columns: Int, rows: Int) {
        let size = TerminalSize(descriptor: -1, environment: environment)
        #expect(size == TerminalSize(columns: columns, rows: rows))
    }

    @Test func aClosedDescriptorIsNoTerminal() {
        #expect(!TerminalSize.isTerminal(-1))
    }
}
