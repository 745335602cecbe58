import ConsoleSession
import Control
import Frames
import Testing

struct InputTests {
    private static let entries: FrameValue = [
        [
            "name": "columns.seal",
            "parameters": [["name": "column", "sensitive": false], ["name": "value", "sensitive": true]],
        ],
        ["name": "keyrings.show", "parameters": [["name": "name", "sensitive": false]]],
        [
            "name": "keyrings.import",
            "parameters": [["name": "name", "sensitive": false], ["name": "key", "sensitive": true]],
        ],
    ]

    @Test(arguments: [
        #"columns.seal("t.s", "hunter2")"#, #"columns.seal { column = "t.s", value = "hunter2" }"#,
        #"return columns.seal("t.s", x, "hunter2")"#, #"print(columns.seal("t.s", [[hunter2]]))"#,
        #"columns.seal("t.s", "a" .. "hunter2")"#, #"columns.seal("t.s", f("hunter2"), { value = 12345 })"#,
        #"keyrings.import("main", { key = 'hunter2' })"#,
    ])
    func inputWithASensitiveValueIsKnown(input: String) {
        var inputs = SensitiveInputs(describing: Self.entries)
        // What goes to another function within is that function's; it is kept out only if that one is sensitive.
        let isNested = input.contains("f(\"hunter2\")")
        let isSecret = inputs.holdsSecret(input)
        #expect(isSecret || isNested)
    }

    @Test(arguments: [
        #"keyrings.show("main")"#, #"columns.seal("t.s", value)"#, "-- columns.seal(\"t.s\", \"x\")", "x = 'hunter2'",
        "",
        #"columns.seal(("#, "))}]", #"other.seal("t.s", "hunter2")"#,
    ])
    func otherInputsAreNot(input: String) {
        var inputs = SensitiveInputs(describing: Self.entries)
        let isSecret = inputs.holdsSecret(input)
        #expect(!isSecret)
    }

    @Test func valueThatWasSensitiveOnceStaysSo() {
        var inputs = SensitiveInputs(describing: Self.entries)
        let found = ["print('hunter2')", #"columns.seal("t.s", "hunter2")"#, "print('hunter2')"].map {
            inputs.holdsSecret($0)
        }
        #expect(found == [false, true, true])
        let other = inputs.holdsSecret("print('other')")
        #expect(!other)
    }

    @Test(arguments: [
        "columns.seal(\"a\", \u{0}\"", "columns.seal{{{{", "(((((((\"", "columns.seal(\"t.s\", \"", "é.é(\"é\")",
    ])
    func anyInputCanBeLookedAt(input: String) {
        var inputs = SensitiveInputs(describing: Self.entries)
        _ = inputs.holdsSecret(input)
        var none = SensitiveInputs(describing: ["garbage", 1, ["name": 3]])
        let isSecret = none.holdsSecret(input)
        #expect(!isSecret)
    }

    @Test(arguments: [
        ("\\?", BackslashCommand.help), ("\\q", .leave), ("\\x", .expand), ("\\o json", .format(.json)),
        ("\\o", .format(nil)),
        ("\\watch 2 status()", .watch(seconds: 2, input: "status()")), ("\\timing", .timing),
        ("\\history", .history(20)),
        ("\\watch 0.5 f(1, 2)", .watch(seconds: 0.5, input: "f(1, 2)")), ("\\history 3", .history(3)),
    ])
    func commandsAreRead(line: String, command: BackslashCommand) throws {
        #expect(try BackslashCommand(line) == command)
    }

    @Test(arguments: [
        "\\", "\\!", "\\! ls", "\\o xml", "\\watch", "\\watch x y", "\\watch 0 x", "\\watch nan x", "\\history 0",
    ])
    func otherCommandsAreRefused(line: String) {
        let error = #expect(throws: ControlError.self) { try BackslashCommand(line) }
        #expect(error?.codeName == "callerUsage")
    }

    @Test func commandsOfAFileAreItsOwnLinesOnly() {
        let text = """
            \\o csv
            x = [[
            \\q
            ]] -- \\q
            return "a\\
            \\q"
            \\x
            return 2
            """
        #expect(
            ScriptText(text).pieces == [
                .command("\\o csv"),
                .lua("\nx = [[\n\\q\n]] -- \\q\nreturn \"a\\\n\\q\"\n"), .command("\\x"),
                .lua("\n\n\n\n\n\n\nreturn 2\n"),
            ])
        #expect(ScriptText("return 1").pieces == [.lua("return 1")])
        #expect(ScriptText("\\x\r\nreturn 1\r\n").pieces == [.command("\\x"), .lua("\nreturn 1\n\n")])
    }
}
