import Testing

@testable import Scripting

struct MentionedNamesTests {
    @Test(arguments: [
        ("backups.create { }", ["backups.create"]), ("x = notify.webhook('a.b', \"c.d\")", ["notify.webhook"]),
        ("-- a.b\nc.d", ["c.d"]), ("--[[ a.b\n ]] c.d", ["c.d"]), ("--[==[ a.b ]] ]==] c.d", ["c.d"]),
        ("[[ a.b ]] c.d", ["c.d"]), ("[=[ a.b ]] ]=] c.d", ["c.d"]), ("'\\'a.b' c.d", ["c.d"]),
        ("\"open\na.b", ["a.b"]),
        ("1.5e3 a.b 0x1.fp4", ["a.b"]), ("t[1] a.b", ["a.b"]), ("", []), ("plain names only", []), ("--", []),
        ("\"", []),
        ("[==", []), ("'\\", []),
    ])
    func namesStandOutsideOfCommentsAndQuotes(text: String, names: [String]) {
        #expect(MentionedNames(in: Array(text.utf8)).names == Set(names))
    }
}
