import Testing

@testable import Terminal

struct LineEditorTests {
    private static let left = "\u{1B}[D"
    private static let up = "\u{1B}[A"
    private static let down = "\u{1B}[B"

    @Test(arguments: [
        ("hello", "> hello|"),
        ("hello\u{1}X", "> X|hello"),
        ("hello\u{1B}[D\u{1B}[D-", "> hel-|lo"),
        ("one two\u{17}", "> one |"),
        ("one two\u{1B}b\u{B}", "> one |"),
        ("one two\u{1B}b\u{15}", "> |two"),
        ("one two\u{17}\u{1}\u{19}", "> two|one"),
        ("ab\u{14}", "> ba|"),
        ("one\u{1F}", "> |"),
        ("one two\u{1F}", "> one |"),
        ("one\u{1F}\u{1B}_", "> one|"),
        ("a\u{1B}\rb", "> a\n. b|"),
        ("a\u{1B}\rb\u{1B}[A-", "> a-|\n. b"),
        ("x\u{7F}\u{7F}y", "> y|"),
        ("e\u{301}a", "> e\u{301}a|"),
        ("e\u{301}\u{7F}", "> |"),
        ("\u{301}", "> \u{25CC}\u{301}|"),
        ("漢字\u{1B}[D", "> 漢|字"),
        ("one two\u{1B}b\u{1B}u", "> one TWO|"),
        ("one two\u{1}\u{1B}[3~\u{4}", "> |e two"),
        ("a\u{1B}[1;5Db\u{1B}[1;5C\u{1B}[F\u{1B}[H", "> |ba"),
    ])
    func keysEdit(keys: String, screen: String) {
        var desk = Desk()
        desk.press(keys)
        #expect(desk.shown == screen)
        #expect(desk.model.faults == [])
    }

    @Test func longLinesWrapAtTheEdgeAndWideOnesBeforeIt() {
        var desk = Desk(columns: 6)
        desk.press("abcd")
        #expect(desk.shown == "> abcd\n|")
        desk.press("漢字漢")
        #expect(desk.shown == "> abcd\n漢字漢\n|")
        desk.press("\u{1}\u{1B}[C")
        #expect(desk.shown == "> a|bcd\n漢字漢")
        var narrow = Desk(columns: 7)
        narrow.press("abcd漢字")
        #expect(narrow.shown == "> abcd\n漢字|")
        #expect(desk.model.faults + narrow.model.faults == [])
    }

    @Test func lineThatFillsItsRowIsFollowedByTheNextOne() {
        var desk = Desk(columns: 6)
        desk.press("abcd\u{1B}\ref")
        #expect(desk.shown == "> abcd\n. ef|")
        #expect(desk.model.faults == [])
    }

    @Test func screenOfOneCellHoldsTheCursor() {
        var desk = Desk(columns: 1, rows: 1)
        desk.press("a漢\u{1B}\rb\u{1}\u{5}")
        #expect(desk.text == "a漢\nb")
        #expect((desk.model.row, desk.model.column) == (0, 0))
        #expect(desk.model.faults == [])
    }

    @Test func inputTallerThanTheScreenIsShownAroundTheCursor() {
        var desk = Desk(columns: 20, rows: 3)
        desk.press("1\u{1B}\r2\u{1B}\r3\u{1B}\r4")
        #expect(desk.shown == ". 2\n. 3\n. 4|")
        desk.press(Self.up + Self.up + Self.up)
        #expect(desk.shown == "> 1|\n. 2\n. 3")
        #expect(desk.model.faults == [])
    }

    @Test func enterHandsInWhatWasTypedFromTheLastLine() {
        var desk = Desk()
        desk.press("one\r")
        #expect(desk.outcomes.last == .submitted(.init(text: "one", isTyped: true)))
        desk.press("a\u{1B}\rb" + Self.up + "\r")
        #expect(desk.text == "a\n\nb")
    }

    @Test func incompleteInputGoesOnInItsPlace() {
        var desk = Desk()
        desk.press("for")
        guard case .submitted(let submission) = desk.editor.take(.enter) else {
            Issue.record("not handed in")
            return
        }
        var screen = EditorScreen()
        var model = ScreenModel(columns: 40, rows: 8)
        model.write(screen.show(desk.editor.frame(in: desk.size)))
        let shown = screen
        model.write(screen.leave())
        desk.editor.resume(submission)
        screen = .rejoining(shown)
        model.write(screen.show(desk.editor.frame(in: desk.size)))
        #expect(model.text == "> for\n.")
        #expect((model.row, model.column) == (1, 2))
    }

    @Test func pasteIsTextWhateverItHolds() {
        var desk = Desk()
        desk.press("\u{1B}[200~\\q\rrm\u{3}\u{4}\u{1B}[201~evil\r\u{1B}[201~")
        #expect(desk.text == "\\q\nrm\u{3}\u{4}evil\n")
        #expect(desk.outcomes.count == 1)
        desk.press("\r")
        #expect(desk.outcomes.last == .submitted(.init(text: "\\q\nrm\u{3}\u{4}evil\n", isTyped: false)))
        #expect(desk.model.faults == [])
    }

    @Test func pastedTextStaysPastedThroughTheKillRing() {
        var desk = Desk()
        desk.press("\u{1B}[200~\\q\u{1B}[201~")
        desk.press("\u{15}\u{19}\r")
        #expect(desk.outcomes.last == .submitted(.init(text: "\\q", isTyped: false)))
    }

    @Test func pasteOfAMebibyteIsTakenAndOneBeyondTheLimitIsRefused() {
        var decoder = KeyDecoder()
        let mebibyte = Array(repeating: UInt8(ascii: "x"), count: 1 << 20)
        var keys = decoder.take(Array("\u{1B}[200~".utf8) + mebibyte + Array("\u{1B}[201~".utf8)) + decoder.fallSilent()
        #expect(keys == [.paste(String(decoding: mebibyte, as: UTF8.self))])
        var editor = LineEditor(prompt: LineEditor.Prompt("> "))
        #expect(editor.take(keys[0]) == .editing)
        let frame = editor.frame(in: TerminalSize(columns: 80, rows: 24))
        #expect(frame.rows.count == 24)
        #expect(frame.cursorRow < 24)
        keys = decoder.take(Array("\u{1B}[200~".utf8))
        for _ in 0..<5 { keys += decoder.take(mebibyte) }
        keys += decoder.take(Array("\u{1B}[201~".utf8)) + decoder.fallSilent()
        #expect(keys == [.pasteTooLong])
    }

    @Test func upAndDownWalkThroughInputsThatBeginAlike() {
        var desk = Desk(history: ["status()", "runs.list()", "status(1)", "runs.show(3)"])
        desk.press("st" + Self.up)
        #expect(desk.text == "status(1)")
        desk.press(Self.up)
        #expect(desk.text == "status()")
        desk.press(Self.up)
        #expect(desk.outcomes.last == .refused)
        desk.press(Self.down)
        #expect(desk.text == "status(1)")
        desk.press(Self.down)
        #expect(desk.shown == "> st|")
    }

    @Test func entryOfManyLinesComesBackWhole() {
        var desk = Desk(history: ["for i = 1, 2 do\n  print(i)\nend", "x"])
        desk.press(Self.up + Self.up)
        #expect(desk.shown == "> for i = 1, 2 do\n.   print(i)\n. end|")
        desk.press(Self.down)
        #expect(desk.text == "x")
    }

    @Test func editingAnEntryDoesNotChangeTheHistory() {
        var desk = Desk(history: ["one"])
        desk.press(Self.up + "X\u{3}" + Self.up)
        #expect(desk.text == "one")
    }

    @Test func searchFindsEarlierInputs() {
        var desk = Desk(history: ["runs.list()", "status()", "runs.show(1)"])
        desk.press("dr\u{12}ru")
        #expect(desk.shown == "(search \"ru\") |runs.show(1)")
        desk.press("\u{12}")
        #expect(desk.text == "runs.list()")
        desk.press("\u{12}")
        #expect(desk.outcomes.last == .refused)
        #expect(desk.shown == "(failed search \"ru\") |runs.list()")
        desk.press("\u{7}")
        #expect(desk.shown == "> dr|")
        desk.press("\u{12}stat\r")
        #expect(desk.outcomes.last == .submitted(.init(text: "status()", isTyped: true)))
    }

    @Test func completionInsertsWhatIsCertainAndListsTheRest() {
        var desk = Desk()
        desk.press("keyr\t")
        #expect(desk.outcomes.last == .completing(text: "keyr", cursor: 4))
        desk.answer(["keyrings.list", "keyrings.show"], replacing: 4)
        #expect(desk.shown == "> keyrings.|\nkeyrings.list  keyrings.show")
        desk.press("s")
        #expect(desk.shown == "> keyrings.s|")
        desk.press("\t")
        desk.answer(["keyrings.show"], replacing: 10)
        #expect(desk.shown == "> keyrings.show|")
    }

    @Test func lateCompletionChangesNothing() {
        var desk = Desk()
        desk.press("keyr\t")
        let late = Completion(of: "keyr", range: 0..<4, candidates: [.init("keyrings")])
        desk.press("x")
        let wasTaken = desk.editor.take(late)
        #expect(!wasTaken)
        #expect(desk.text == "keyrx")
        for range in [-1..<2, 0..<99, 3..<1000] {
            let wasTaken = desk.editor.take(Completion(of: "keyrx", range: range, candidates: [.init("y")]))
            #expect(!wasTaken)
        }
    }

    @Test func tabAtTheBeginningOfALineIndents() {
        var desk = Desk()
        desk.press("\tx")
        #expect(desk.shown == ">   x|")
    }

    @Test func signatureIsShownBelowTheCall() {
        var desk = Desk()
        desk.editor.signatures = ["keyrings.show": "keyrings.show(name)"]
        desk.press("print(keyrings.show(\"a")
        #expect(desk.shown == "> print(keyrings.show(\"a|\n  keyrings.show(name)")
        desk.press("\")")
        #expect(desk.shown == "> print(keyrings.show(\"a\")|")
    }

    @Test func interruptClearsAndSaysWhetherThereWasText() {
        var desk = Desk()
        desk.press("abc\u{3}")
        #expect(desk.outcomes.last == .interrupted(hadText: true))
        #expect(desk.shown == "> |")
        desk.press("\u{3}")
        #expect(desk.outcomes.last == .interrupted(hadText: false))
        desk.press("\u{4}")
        #expect(desk.outcomes.last == .ended)
    }

    @Test func luaIsColouredUnlessThatIsUnwanted() {
        let prompt = LineEditor.Prompt("> ")
        let size = TerminalSize(columns: 60, rows: 4)
        var coloured = LineEditor(prompt: prompt, style: Style(isColored: true))
        var plain = LineEditor(prompt: prompt)
        for key in KeyDecoder.keys(#"local x = "s" -- c"#) { _ = (coloured.take(key), plain.take(key)) }
        let row = coloured.frame(in: size).rows[0].text
        #expect(row.contains("\u{1B}[1mlocal\u{1B}[0m"))
        #expect(row.contains("\u{1B}[32m\"s\"\u{1B}[0m"))
        #expect(row.contains("\u{1B}[2m-- c\u{1B}[0m"))
        #expect(plain.frame(in: size).rows[0].text == #"> local x = "s" -- c"#)
    }

    @Test(arguments: 0..<60)
    func anyBytesLeaveTheCursorInsideAndTheScreenAsAFreshOne(seed: Int) {
        var random = SplitMix(seed: UInt64(seed))
        let (columns, rows) = (Int(random.next() % 12) + 1, Int(random.next() % 5) + 1)
        var desk = Desk(columns: columns, rows: rows, history: ["one", "two\nlines", "漢字漢字漢字"])
        let pieces: [[UInt8]] = [
            [0x1B, 0x5B, 0x41], [0x1B, 0x5B, 0x42], [0x1B, 0x5B, 0x43], [0x1B, 0x5B, 0x44], [0x1B, 0x0D], [0x0D],
            [0x12],
            Array("漢".utf8), Array("e\u{301}".utf8), Array("👩‍👧".utf8), [0xFF], [0xE2, 0x82], [0x1B], [0x7F], [0x19],
            [0x1F], [0x17], [0x0B], [0x01], [0x05], [0x09], Array("abc".utf8), Array("\u{1B}[200~x\ny\u{1B}[201~".utf8),
        ]
        for _ in 0..<150 {
            let isPiece = random.next() % 4 > 0
            desk.press(
                bytes: isPiece ? pieces[Int(random.next() % UInt64(pieces.count))] : [UInt8(random.next() % 256)])
            #expect(desk.model.faults == [], "seed \(seed), \(columns) by \(rows)")
            guard desk.model.faults == [] else { return }
        }
        var fresh = ScreenModel(columns: columns, rows: rows)
        var screen = EditorScreen()
        let frame = desk.editor.frame(in: desk.size)
        fresh.write(screen.show(frame))
        #expect(frame.cursorRow < rows && frame.cursorColumn < columns, "seed \(seed)")
        #expect(desk.model.text.hasSuffix(fresh.text), "seed \(seed), \(columns) by \(rows)")
        #expect(desk.editor.buffer.characters == Array(desk.text), "seed \(seed)")
    }

    @Test(arguments: 0..<20)
    func resizingShowsTheSameInput(seed: Int) {
        var random = SplitMix(seed: UInt64(seed))
        var desk = Desk(columns: 30, rows: 10)
        desk.press("for name in keyrings.list() do 漢字 end\u{1B}\rprint(1)")
        let text = desk.text
        for _ in 0..<20 {
            desk = desk.resize(columns: Int(random.next() % 50) + 1, rows: Int(random.next() % 10) + 1)
            #expect(desk.text == text)
            #expect(desk.model.faults == [], "seed \(seed)")
        }
    }
}

/// A source of random numbers that gives the same ones for the same seed.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

extension KeyDecoder {
    static func keys(_ text: String) -> [Key] {
        var decoder = KeyDecoder()
        return decoder.take(Array(text.utf8)) + decoder.fallSilent()
    }
}
