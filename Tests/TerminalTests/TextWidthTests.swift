internal import Terminal
internal import Testing
internal import ToolTesting

struct TextWidthTests {
    @Test(arguments: [
        ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("日本語", 6), ("한국", 4), ("ｱ", 1), ("Ａ", 2), ("🎉", 2), ("👩‍👩‍👧", 2),
        ("🇩🇪", 2), ("❤", 1), ("❤\u{FE0F}", 2), ("a\u{200D}b", 2), ("한", 2), ("𠀀", 2), ("ﬁ", 1), ("→", 1), ("…", 1),

        ("\u{AD}", 0), ("\u{0}", 0), ("ไทย", 3),
    ])
    func countsCells(text: String, cells: Int) {
        #expect(text.terminalWidth == cells)
    }

    @Test(arguments: [
        ("plain é 日本", "plain é 日本"), ("a\nb\tc\rd\r\n", #"a\nb\tc\rd\r\n"#), ("\u{1B}[2J", #"\u{1b}[2J"#),
        ("\u{9B}31m", #"\u{9b}31m"#), ("a\u{202E}b\u{2066}", #"a\u{202e}b\u{2066}"#),
        ("\u{2028}\u{2029}", #"\u{2028}\u{2029}"#),
        ("\u{0}\u{7F}\u{FEFF}", #"\u{0}\u{7f}\u{feff}"#), ("👩‍👧", "👩‍👧"),
    ])
    func escapesWhatATerminalWouldObey(text: String, shown: String) {
        #expect(text.escapedForTerminal == shown)
    }

    @Test(arguments: [
        ("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("abcdef", 1, "…"), ("abcdef", 0, ""), ("abc", -3, ""),
        ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"), ("日本語", 1, "…"),
        ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
    ])
    func truncatesWithAnEllipsis(text: String, width: Int, shown: String) {
        #expect(text.truncated(to: width) == shown)
    }

    @Test func noTextIsEverWiderThanAsked() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(seed: seed)
        let alphabet: [Character] = [
            "a", "é", "日", "🎉", "👩‍👧", "e\u{301}", " ", "\u{1B}", "\n", "\u{202E}", "Ａ", "❤\u{FE0F}",
        ]
        for _ in 0..<2000 {
            let text = String(
                (0..<Int.random(in: 0...20, using: &generator)).map { _ in
                    alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
                })
            let width = Int.random(in: 0...24, using: &generator)
            let shown = text.escapedForTerminal.truncated(to: width)
            #expect(shown.terminalWidth <= width, "seed \(seed)")
            #expect(shown.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x202E }, "seed \(seed)")
        }
    }
}
