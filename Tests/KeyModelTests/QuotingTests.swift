internal import KeyModel
internal import Testing

struct QuotingTests {
    @Test(arguments: [
        ("plain", #""plain""#), (#"say "hi" \"#, #""say \"hi\" \\""#), ("a\nb\tc\rd", #""a\nb\tc\rd""#),
        ("\u{1B}[31m", #""\u{1b}[31m""#), ("\u{0}\u{7F}\u{9B}", #""\u{0}\u{7f}\u{9b}""#),
        ("\u{202E}abc", #""\u{202e}abc""#),
        ("grüße", #""grüße""#), ("", #""""#),
    ])
    func escapesWhatATerminalWouldObey(text: String, expected: String) {
        #expect(quoted(text) == expected)
    }

    @Test func cutsAtTwoHundredCharacters() {
        #expect(quoted(String(repeating: "x", count: 200)) == "\"" + String(repeating: "x", count: 200) + "\"")
        #expect(quoted(String(repeating: "x", count: 201)) == "\"" + String(repeating: "x", count: 200) + "…\"")
    }
}
