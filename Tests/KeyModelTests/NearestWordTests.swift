internal import KeyModel
internal import Testing

struct NearestWordTests {
    private static let commands = [
        "adopt", "init", "keyring", "open", "plan", "recover", "rotate", "seal", "status", "verify",
    ]

    @Test(arguments: [
        ("rotat", "rotate"), ("roatte", "rotate"), ("ROTATE", "rotate"), ("keyrign", "keyring"), ("stauts", "status"),
        ("plna", "plan"), ("adpot", "adopt"), ("verfiy", "verify"), ("reocver", "recover"),
    ])
    func findsTheWordMeant(written: String, meant: String) {
        #expect(nearest(to: written, among: Self.commands) == meant)
    }

    @Test(arguments: ["xyz", "", "q", "destroyer", "encrypt"])
    func suggestsNothingFarAway(written: String) {
        #expect(nearest(to: written, among: Self.commands) == nil)
    }

    @Test func prefersTheNearestThenTheFirstInTheAlphabet() {
        #expect(nearest(to: "cat", among: ["rats", "hat", "bat"]) == "bat")
        #expect(nearest(to: "columm", among: ["colum", "column", "columns"]) == "colum")
    }

    @Test func aVeryLongWordCostsLittleAndFindsNothing() {
        #expect(nearest(to: String(repeating: "x", count: 1_000_000), among: Self.commands) == nil)
    }

    @Test func aSwapCostsOne() {
        #expect(nearest(to: "ab", among: ["ba"]) == "ba")
        #expect(nearest(to: "ab", among: ["cd"]) == nil)
    }
}
