import Control
import Foundation
import Testing

struct APITests {
    private let api: API

    init() throws { api = try API(API.builtIn) }

    @Test func everyEntrySaysWhatItMust() {
        for entry in api.entries {
            #expect(!entry.summary.isEmpty && !entry.summary.hasSuffix("."), "\(entry.name)")
            #expect(entry.example.contains(entry.name), "\(entry.name)")
            #expect(!entry.result.isEmpty && !entry.result.hasSuffix("."), "\(entry.name)")
            #expect(entry.details.isEmpty || entry.details.hasSuffix("."), "\(entry.name)")
            let names = entry.parameters.map(\.name)
            #expect(Set(names).count == names.count, "\(entry.name)")
            #expect(entry.parameters.dropLast().allSatisfy { !$0.takesRest }, "\(entry.name)")
            #expect(entry.parameters.allSatisfy { !$0.summary.isEmpty }, "\(entry.name)")
            let prefixes = ["caller", "key", "provider", "store", "data", "internal"]
            #expect(entry.errors.allSatisfy { code in prefixes.contains { code.hasPrefix($0) } }, "\(entry.name)")
        }
    }

    @Test func twoEntriesOfOneNameAreRefused() {
        #expect(throws: ControlError.self) { try API(API.builtIn + [API.builtIn[0]]) }
    }

    @Test(arguments: [
        ("runs.lst", "runs.list"), ("rotation.rotate", "rotations.rotate"), ("STATUS", "status"),
        ("keyrings.expotr", "keyrings.export"),
    ])
    func anUnknownEntryNamesTheNearest(word: String, meant: String) {
        let error = #expect(throws: ControlError.self) { try api.entry(word) }
        #expect(error?.hint == "Did you mean \"\(meant)\"?")
        #expect(error?.status == 64)
    }

    @Test func aNamespaceIsNoEntryButNamesIts() {
        let error = #expect(throws: ControlError.self) { try api.entry("audit") }
        #expect(error?.hint?.contains("audit.list") == true, "\(error?.hint ?? "")")
    }

    @Test func wordsFindEntries() {
        #expect(api.matches("provider rewrap").map(\.name) == ["rotations.rewrap"])
        #expect(api.matches("").count == api.entries.count)
        #expect(api.matches("no such words").isEmpty)
    }
}
