internal import Terminal
internal import Testing

struct StyleTests {
    @Test(
        arguments: [
            (["TERM": "xterm"], true, true), (["TERM": "xterm"], false, false), (["TERM": "dumb"], true, false),
            ([:], true, false),
            (["TERM": ""], true, false), (["TERM": "xterm", "NO_COLOR": "1"], true, false),
            (["TERM": "xterm", "NO_COLOR": ""], true, true),
        ] as [([String: String], Bool, Bool)])
    func coloursOnlyOnATerminalThatWantsIt(environment: [String: String], isTerminal: Bool, isColored: Bool) {
        #expect(Style(environment: environment, isTerminal: isTerminal).isColored == isColored)
    }

    @Test(arguments: Style.Role.allCases)
    func plainStyleChangesNothing(role: Style.Role) {
        #expect(Style.plain.apply(role, to: "x") == "x")
        let colored = Style(isColored: true).apply(role, to: "x")
        #expect(colored.hasPrefix("\u{1B}[") && colored.hasSuffix("mx\u{1B}[0m"))
        #expect(Style(isColored: true).apply(role, to: "").isEmpty)
    }
}
