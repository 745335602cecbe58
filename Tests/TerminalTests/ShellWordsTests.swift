import Terminal
import Testing

struct ShellWordsTests {
    @Test(arguments: [
        ("less -R", ["less", "-R"]), ("'my pager' -x", ["my pager", "-x"]), (#""a b"\ c"#, ["a b c"]), ("", []),
        (#"a "" b"#, ["a", "", "b"]), (#""\$x" '\$'"#, ["$x", "\\$"]), ("  a  ", ["a"]), ("'open", ["open"]),
    ])
    func wordsAreSplit(text: String, words: [String]) { #expect(ShellWords.split(text) == words) }
}
