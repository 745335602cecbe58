import Testing
import ToolTesting

@testable import StorageSQLite

struct SQLLexerTests {
    @Test
    func tokensAreToldApart() {
        let tokens = Array(SQLLexer("a1 /* x; */ = 'it''s' -- )\n AND \"q\"\"\" < [b ] + `c`"))
        #expect(
            tokens == [
                .word("a1"), .symbol("="), .quoted("it's"), .word("AND"), .quoted("q\""), .symbol("<"), .quoted("b "),
                .symbol("+"), .quoted("c"),
            ])
    }

    @Test(arguments: ["'x", "\"x", "[x", "`x", "/* x", "/*", "x\0y", "'x\0'"])
    func whatDoesNotEndIsMalformed(text: String) {
        #expect(SQLLexer(text).contains { if case .malformed = $0 { true } else { false } })
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func anyTextIsCutIntoTokens(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let alphabet = Array("ab'\"`[]-/*();\n \0é💧\r")
        for _ in 0..<5_000 {
            let text = String((0..<20).map { _ in alphabet.randomElement(using: &random) ?? "a" })
            #expect(SQLLexer(text).reduce(0) { count, _ in count + 1 } <= 21, "seed \(seed): \(text.debugDescription)")
        }
    }

    @Test(arguments: ["plain", "it's", "a\"b", "", "💧"])
    func quotedNamesAndTextsAreOneToken(text: String) {
        #expect(Array(SQLLexer(quotedIdentifier(text))) == [.quoted(text)])
        #expect(Array(SQLLexer(quotedLiteral(text))) == [.quoted(text)])
    }
}
