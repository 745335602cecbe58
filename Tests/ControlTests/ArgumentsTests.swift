import Control
import Frames
import Testing

struct ArgumentsTests {
    private static let entry = Entry(
        "things.make", "Make things", example: "things.make(\"a\")",
        parameters: [
            .required("name", .text, "the name"), .optional("count", .integer(1...10), "how many", default: 2),
            .optional("kind", .choice(["red", "green"]), "which"), .optional("tags", .texts, "words"),
            .optional("deep", .truth, "how deep"), .optional("secret", .text, "not to be told", isSensitive: true),
        ], result: "nothing", role: .viewer
    ) { _ in Answer(.null) }

    private static let variadic = Entry(
        "things.run", "Run", example: "things.run(\"a\")",
        parameters: [.required("name", .text, "the name"), .rest("words", .text, "more")], result: "nothing",
        role: .viewer
    ) { _ in Answer(.null) }

    private static let open = Entry(
        "things.send", "Send", example: "things.send{}", parameters: [.required("payload", .map, "what")],
        result: "nothing", role: .viewer
    ) { _ in Answer(.null) }

    private func bind(_ places: [FrameValue], _ named: [String: FrameValue] = [:], _ entry: Entry = entry) throws
        -> Arguments
    {
        try Arguments(of: Call(entry.name, places, named: named), for: entry)
    }

    private func refusal(
        _ places: [FrameValue], _ named: [String: FrameValue] = [:], _ entry: Entry = entry
    ) -> ControlError? {
        do {
            _ = try Arguments(of: Call(entry.name, places, named: named), for: entry)
            return nil
        } catch { return error }
    }

    @Test func argumentsCountByPlaceAndByName() throws {
        for bound in [
            try bind(["a", 3, "red"]), try bind(["a"], ["count": 3, "kind": "red"]),
            try bind([["name": "a", "count": 3, "kind": "red"]]),
            try bind([], ["name": "a", "count": 3, "kind": "red"]),
        ] {
            #expect(bound.text("name") == "a" && bound.integer("count") == 3 && bound.text("kind") == "red")
        }
        #expect(try bind(["a"]).integer("count") == 2, "the default holds")
        #expect(try bind(["a", .null]).integer("count") == 2, "nil is nothing given")
    }

    @Test func oneMapIsNamesOnlyWhereNoMapIsTaken() throws {
        #expect(try bind([["payload": 1]], [:], Self.open)["payload"] == ["payload": 1])
        #expect(try bind([[]], [:], Self.open)["payload"] == .map([:]), "the empty table is a map as well")
    }

    @Test func theRestIsAList() throws {
        #expect(try bind(["a", "b", 7], [:], Self.variadic)["words"] == ["b", 7])
        #expect(try bind(["a"], [:], Self.variadic)["words"] == nil)
    }

    @Test func aNumberIsATextWhereOneIsWanted() throws {
        #expect(try bind([42]).text("name") == "42")
        #expect(try bind(["a"], ["tags": 7]).texts("tags") == ["7"])
        #expect(try bind(["a"], ["tags": ["x", 7]]).texts("tags") == ["x", "7"])
        #expect(try bind(["a"], ["tags": "x"]).texts("tags") == ["x"])
        #expect(try bind(["a", .double(3)]).integer("count") == 3)
    }

    @Test(
        arguments: [
            ([], [:], "needs \"name\""), (["a", 2, "red", [], true, "s", 1], [:], "at most 6"),
            (["a"], ["naem": "b"], "takes no \"naem\""), (["a"], ["name": "b"], "twice"),
            (["a", "x"], [:], "\"count\" wants"),
            (["a", 0], [:], "from 1 to 10"), (["a", .double(2.5)], [:], "\"count\" wants"),
            (["a", 2, "rde"], [:], "not one of"),
            ([true], [:], "\"name\" wants a text"), (["a"], ["deep": 1], "true or false"),
            (["a"], ["tags": [true]], "\"tags\""),
            ([["name": "a", "cuont": 1]], [:], "takes no \"cuont\""),
        ] as [([FrameValue], [String: FrameValue], String)])
    func whatDoesNotFitIsRefusedAndNamed(places: [FrameValue], named: [String: FrameValue], message: String) {
        let error = refusal(places, named)
        #expect(error?.codeName == "callerUsage" && error?.status == 64)
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "nothing was refused")")
        #expect(error?.hint != nil)
    }

    @Test func hintsNameTheNearest() {
        #expect(refusal(["a"], ["naem": "b"])?.hint == "Did you mean \"name\"?")
        #expect(refusal(["a", 2, "gren"])?.hint == "Did you mean \"green\"?")
    }

    @Test func aRefusalDoesNotQuoteWhatMayBeSecret() {
        let error = refusal(["a"], ["deep": "hunter2"])
        #expect(error.map { !"\($0)".contains("hunter2") } == true)
    }
}
