import Control
import ControlStore
import Foundation
import Frames
import KeyModel
import Testing

struct CompletionTests {
    private func candidates(_ text: String, _ session: any ControlChannel) async throws -> (Int64?, [String]) {
        let value = try await session.perform(.complete(text: text, cursor: text.utf8.count), for: ScriptedClient())
            .value
        return (value["start"]?.integer, value["candidates"]?.list.compactMap { $0["text"]?.text } ?? [])
    }

    @Test func namesOfTheAPIAndOfTheInstance() async throws {
        let bench = try await ControlBench()
        let service = try bench.service()
        let session = try await service.session()
        try await session.call("keyrings.list")
        for (text, start, expected) in [
            ("ru", 0, ["runs."]), ("runs.p", 0, ["runs.pause", "runs.proof"]), ("x = sta", 4, ["status"]),
            ("keyrings.show(\"", 15, ["main"]), ("keyrings.show('ma", 15, ["main"]),
            ("rotations.plan{keyring = \"m", 26, ["main"]), ("rotations.plan{kind = \"ad", 23, ["adopt"]),
            ("columns.open(\"sec", 14, ["secret.value"]), ("rotations.adopt({\"", 18, ["secret.value"]),
            ("providers.test(\"", 16, ["local"]), ("nothing.at(\"all", 12, []), ("print(\"ru", 7, []),
            ("é = apro", 5, ["apropos"]),
        ] as [(String, Int64, [String])] {
            // Names of the database may miss their 50 ms on a busy machine.
            let isFound = try await eventually {
                let found = try await candidates(text, session)
                return found.0 == start && found.1 == expected
            }
            #expect(isFound, "\(text)")
        }
        await service.stop()
    }

    @Test func runsSchedulesAndTheSessionsOwnVariables() async throws {
        let bench = try await ControlBench()
        let weekly = ScheduleDeclaration(
            name: try Name("weekly"), keyring: try Name("main"),
            fields: ["tz": .text("UTC"), "cron": .text("@weekly")], file: "keyturn.lua", line: 1)
        bench.configure { $0.schedules = [weekly] }
        let service = try bench.service(scripts: LuaScripts())
        let session = try await service.session()
        try await session.call("rotations.adopt", "secret.value")
        try await session.call("rotations.rotate", "main")
        let text = "own_list = { first = 1, second = 2 } own_number = 3 _G['no name'] = 1"
        _ = try await session.perform(.script(Script(text, name: "t", isInteractive: true)), for: ScriptedClient())
        for (text, start, expected) in [
            ("runs.show(", 10, ["2", "1"]), ("runs.watch{run = ", 17, ["2", "1"]), ("runs.show(2", 10, ["2"]),
            ("schedules.preview(\"w", 19, ["weekly"]), ("own_", 0, ["own_list", "own_number"]),
            ("x = own_list.", 4, ["own_list.first", "own_list.second"]), ("own_number.", 0, []), ("no", 0, ["notify."]),
            ("pri", 0, ["print"]),
        ] as [(String, Int64, [String])] {
            let isFound = try await eventually {
                let found = try await candidates(text, session)
                return found.0 == start && found.1 == expected
            }
            let found = try await candidates(text, session)
            #expect(isFound, "\(text): \(found)")
        }
        await service.stop()
    }

    @Test(arguments: ["", "\"", "((((", "a.b.c.", "x(\"\\", "🙂(", "keyrings.show(\"\u{0}", "rotations.adopt({{{{{\""])
    func oddTextsAreNoTrouble(text: String) async throws {
        let bench = try await ControlBench()
        let service = try bench.service()
        for cursor in [-1, 0, text.utf8.count, 1 << 40] {
            let session = try await service.session()
            _ = try await session.perform(.complete(text: text, cursor: cursor), for: ScriptedClient())
        }
        await service.stop()
    }

    @Test func aLockedDatabaseDoesNotHoldItUp() async throws {
        let bench = try await ControlBench()
        let service = try bench.service()
        let session = try await service.session()
        try await session.call("keyrings.list")
        let text = "keyrings.show(\"" + String(repeating: "x", count: 100_000)
        let took = try await ContinuousClock().measure { _ = try await candidates(text, session) }
        #expect(took < .seconds(2), "\(took)")
        await service.stop()
    }
}
