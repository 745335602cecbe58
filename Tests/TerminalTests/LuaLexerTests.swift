import Testing

@testable import Terminal

struct LuaLexerTests {
    @Test(arguments: [
        ("local x = 1", "k:local n:x s:= #:1"),
        (#"f("a\"b", 'c')"#, #"n:f s:( ":"a\"b" s:, ":'c' s:)"#),
        ("[==[ ]] ]==] x", "\":[==[ ]] ]==] n:x"),
        ("--[[ a\nb ]] x -- y", "c:--[[ a\nb ]] n:x c:-- y"),
        ("a[1]", "n:a s:[ #:1 s:]"), ("0x1p-4 .5 1..2", "#:0x1p-4 #:.5 #:1..2"),
        ("\"open\nx", "\":\"open n:x"), ("é\"é\"", "s:é \":\"é\""), ("\"a\\z \n b\" x", "\":\"a\\z \n b\" n:x"),
    ])
    func textIsSplit(text: String, expected: String) {
        let lexer = LuaLexer(Array(text))
        let names: [LuaLexer.Kind: String] = [
            .keyword: "k", .name: "n", .number: "#", .string: "\"", .comment: "c", .symbol: "s",
        ]
        let tokens = lexer.tokens.map { "\(names[$0.kind] ?? "?"):\(lexer.text(of: $0))" }
        #expect(tokens.joined(separator: " ") == expected)
    }

    @Test(arguments: ["[[ a", "--[==[ ]]", "\"a\\", "'x\\z  "])
    func whatBreaksOffIsOpen(text: String) { #expect(LuaLexer(Array(text)).tokens.last?.isOpen == true) }

    @Test(arguments: 0..<50)
    func tokensOfAnyTextLieInItInOrder(seed: Int) {
        var random = SplitMix(seed: UInt64(seed))
        let alphabet = Array("ab1\"'\\[]=-\n z.é(){}")
        let text = (0..<60).map { _ in alphabet[Int(random.next() % UInt64(alphabet.count))] }
        var end = 0
        for token in LuaLexer(text).tokens {
            #expect(token.range.lowerBound >= end && !token.range.isEmpty, "seed \(seed)")
            end = token.range.upperBound
        }
        #expect(end <= text.count)
    }

    @Test(arguments: [
        ("keyrings.show(", "keyrings.show"), ("f(g(1), ", "f"), ("f{ a = ", "f"), ("f(\"(\", ", "f"), ("x = (", nil),
        ("f()", nil), ("a.b:c(", "a.b.c"),
    ])
    func innermostCallIsFound(text: String, name: String?) { #expect(LuaCall.innermost(Array(text)) == name) }
}
