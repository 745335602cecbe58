import Foundation
import Testing

@testable import Scripting

struct ConfinementTests {
    @Test func nothingOutsideCanBeReached() async throws {
        let probe = try await ConfinementProbe.run(workerPath: BuiltWorker.path)
        #expect(probe.isConfined)
        for attempt in probe.attempts { #expect(attempt.isRefused, "\(attempt.name): \(attempt.confined)") }
        // Unconfined the same attempts succeed, or fail for another reason; else the proof would prove nothing.
        for name in ["open", "socket", "fork", "kill", "executable memory", "other descriptor"] {
            #expect(probe.attempts.first { $0.name == name }?.free == 0, "\(name)")
        }
        for name in ["execve", "ptrace"] {
            #expect(probe.attempts.first { $0.name == name }?.isFreeForAnotherReason == true, "\(name)")
        }
    }

    @Test func theGlobalsAreThoseOfTheList() async throws {
        let text = """
            local names = {}
            local function walk(prefix, value)
              for name, entry in pairs(value) do
                names[#names + 1] = prefix .. name .. " " .. type(entry)
                if type(entry) == "table" and entry ~= _G then walk(prefix .. name .. ".", entry) end
              end
            end
            walk("", _G)
            table.sort(names)
            error(table.concat(names, ","), 0)
            """
        // Through an error in pieces, since messages are short.
        var found: [String] = []
        for start in stride(from: 1, through: 4000, by: 900) {
            let piece = text.replacing(
                "table.concat(names, \",\")", with: "table.concat(names, \",\"):sub(\(start), \(start + 899))")
            let error = try #require(try await loadError(piece))
            found.append(error.message.replacing(#/^keyturn\.lua:\d+: /#, with: ""))
        }
        let list = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/configurations/globals.txt")
        let expected = try String(contentsOf: list, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(found.joined().split(separator: ",").map(String.init) == expected)
    }

    @Test(arguments: [
        "io", "os", "require", "package", "debug", "dofile", "loadfile", "load", "collectgarbage", "warn", "rawset",
    ])
    func whatReachesOutsideIsAbsent(name: String) async throws {
        #expect(try await loadError("database 'sqlite:a.db' assert(rawget(_G, '\(name)') == nil)") == nil)
        let error = try await loadError("local x = \(name)")
        #expect(error?.hint == "A configuration reaches nothing outside itself; \(name) is not there.")
    }

    @Test func textsHaveNoDump() async throws {
        #expect(try await loadError("database 'sqlite:a.db' assert(string.dump == nil and (''):len() == 0)") == nil)
    }

    @Test func theSameTextDeclaresTheSame() async throws {
        #expect(try await loadError("database 'sqlite:a.db' assert(math.random == nil)") == nil)
    }
}

extension ConfinementProbe.Attempt {
    fileprivate var isFreeForAnotherReason: Bool { free != confined }
}
