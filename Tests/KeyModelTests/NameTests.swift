internal import KeyModel
internal import Testing

struct NameTests {
    @Test(arguments: ["a", "main", "airflow-web_2", String(repeating: "z", count: 63)])
    func readsWhatItAllows(text: String) throws {
        #expect(try Name(text).description == text)
    }

    @Test(arguments: [
        "", "1a", "-a", "_a", "A", "aB", "a b", "a/b", "a.b", "é", "a\u{0}", "a\n", "..",
        String(repeating: "z", count: 64),
    ])
    func refusesEverythingElse(text: String) {
        do throws(KeyModelError) {
            _ = try Name(text)
            Issue.record("\(quoted(text)) was read as a name")
        } catch {
            #expect(error.code == .callerNameMalformed && error.message == "\(quoted(text)) is no name")
        }
    }

    @Test func ordersAsTexts() throws {
        #expect(try Name("a") < Name("a-b"))
        #expect(try !(Name("b") < Name("a")))
    }
}
