import Testing

@testable import Terminal

struct KeyDecoderTests {
    @Test(arguments: [
        ("a", [Key.text("a")]), ("é漢", [.text("é"), .text("漢")]), ("\u{1B}[A\u{1B}OB", [.up, .down]),
        ("\u{1B}[1~\u{1B}[4~\u{1B}[H\u{1B}[F", [.home, .end, .home, .end]), ("\u{1B}[3~", [.delete]),
        ("\u{1B}[1;5C\u{1B}[1;3D", [.wordRight, .wordLeft]), ("\u{1B}f", [.alt("f")]), ("\u{1B}", [.escape]),
        ("\u{1B}\u{1B}[A", [.escape, .up]), ("\u{3}\u{1C}", [.control("c"), .control("\\")]),
        ("\u{1B}\r", [.altEnter]), ("\u{1B}\u{7F}", [.altBackspace]), ("\u{1B}[99999999999999999999;7~", [.unknown]),
        ("\u{1B}[201~x", [.text("x")]), ("\u{1B}[200~a\u{1B}[31mb\u{1B}[201~", [.paste("a\u{1B}[31mb")]),
        ("\u{1B}[1\u{3}", [.unknown, .control("c")]),
    ])
    func bytesAreKeys(text: String, keys: [Key]) { #expect(KeyDecoder.keys(text) == keys) }

    @Test func invalidBytesAreShownAsSuch() {
        var decoder = KeyDecoder()
        #expect(decoder.take([0xFF, 0x61]) == [.text("\u{FFFD}"), .text("a")])
        #expect(decoder.take([0xE2, 0x61]) == [.text("\u{FFFD}"), .text("a")])
        #expect(decoder.take([0xED, 0xA0, 0x80]) == [.text("\u{FFFD}")])
        #expect(decoder.take([0xE2]) + decoder.fallSilent() == [.text("\u{FFFD}")])
    }

    @Test func piecesMakeNoDifference() {
        let text = "aé\u{1B}[1;5C\u{1B}[200~x\u{1B}[201~"
        var decoder = KeyDecoder()
        var keys: [Key] = []
        for byte in text.utf8 { keys += decoder.take([byte]) }
        #expect(keys + decoder.fallSilent() == KeyDecoder.keys(text))
    }

    @Test func pasteWithoutAnEndWaitsForOne() {
        var decoder = KeyDecoder()
        #expect(decoder.take(Array("\u{1B}[200~abc".utf8)) + decoder.fallSilent() == [])
        #expect(decoder.take(Array("d\u{1B}[201~".utf8)) + decoder.fallSilent() == [.paste("abcd")])
    }
}
