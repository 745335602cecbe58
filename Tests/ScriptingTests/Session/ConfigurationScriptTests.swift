import ControlStore
import Foundation
import Frames
import KeyModel
import Testing

@testable import Scripting

struct ConfigurationScriptTests {
    /// Loads a configuration with further texts.
    private func load(
        _ text: String, scripts: [String: String] = [:]
    ) async throws -> (configuration: Configuration, script: ConfigurationScript) {
        let scratch = try Scratch()
        defer { withExtendedLifetime(scratch) {} }
        let folder = scratch.folder.appending(path: "scripts")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (name, text) in scripts { try Data(text.utf8).write(to: folder.appending(path: name)) }
        return try await ConfigurationLoader(workerPath: BuiltWorker.path, cores: testCores)
            .loadScript(file: try scratch.configuration(Array(text.utf8)), scripts: folder.path)
    }

    private static let text = """
        database "sqlite:a.db"
        keyring "main"
        schedule "weekly" { keyring = "main", tz = "Europe/Berlin", window = { "Sat 01:00-05:00", "Sun 01:00-05:00" },
          max_seals = 5, when = function(ctx) return ctx.age > 10 end }
        schedule "counting" { keyring = "main", tz = "UTC",
          next = function(ctx) seen = (rawget(_G, "seen") or 0) + 1 return ctx.now + seen end }
        hook "before" (function(run) print("first", run.id) return backups.create { run = run.id } end)
        hook "after" (function(run) error("not after") end)
        hook "before" (function(run) return "second" end)
        """

    @Test func hooksAndSchedulesAreDeclared() async throws {
        let configuration = try await load(
            Self.text, scripts: ["more.lua": "hook 'before' (function() return 'third' end)\nreturn {}", "x.txt": "="]
        ).configuration
        #expect(
            configuration.hooks == [
                HookDeclaration(stage: .before, index: 1, file: "keyturn.lua", line: 7),
                HookDeclaration(stage: .after, index: 1, file: "keyturn.lua", line: 8),
                HookDeclaration(stage: .before, index: 2, file: "keyturn.lua", line: 9),
                HookDeclaration(stage: .before, index: 3, file: "scripts/more.lua", line: 1),
            ])
        #expect(
            configuration.schedules == [
                ScheduleDeclaration(
                    name: try Name("weekly"), keyring: try Name("main"),
                    fields: [
                        "tz": .text("Europe/Berlin"), "window": .texts(["Sat 01:00-05:00", "Sun 01:00-05:00"]),
                        "max_seals": .number(5),
                    ], functions: [.when], file: "keyturn.lua", line: 3),
                ScheduleDeclaration(
                    name: try Name("counting"), keyring: try Name("main"), fields: ["tz": .text("UTC")],
                    functions: [.next], file: "keyturn.lua", line: 5),
            ])
        #expect(configuration.keyrings.first?.policy.backup == .required)
    }

    @Test func theHashCoversAllTexts() async throws {
        let bare = try await load(Self.text).configuration.hash
        let one = try await load(Self.text, scripts: ["a.lua": "return 1"]).configuration.hash
        let other = try await load(Self.text, scripts: ["a.lua": "return 2"]).configuration.hash
        let named = try await load(Self.text, scripts: ["b.lua": "return 1"]).configuration.hash
        #expect(Set([bare, one, other, named]).count == 4)
    }

    @Test(arguments: [
        ("schedule 'a' { crom = '* * * * *' }", "Did you mean \"cron\"?"),
        ("schedule 'a' { whem = function() end }", "Did you mean \"when\"?"),
        ("hook 'befor' (function() end)", "Did you mean \"before\"?"),
    ])
    func aMisspeltWordNamesTheNearest(text: String, hint: String) async throws {
        let error = await #expect(throws: ScriptingError.self) { try await load("database 'sqlite:a.db' \(text)") }
        #expect(error?.hint == hint)
    }

    @Test func aHookIsCalledWithItsArgumentAndTheAPI() async throws {
        let script = try await load(Self.text).script
        let host = TestHost()
        let hook = HookDeclaration(stage: .before, index: 1, file: "", line: 0)
        let result = try await script.call(
            hook, argument: ["id": 7], functions: ["backups.create", "time.zone"], host: host, limits: .test)
        #expect(result.values == [.null])
        #expect(host.output == "first\t7\n")
        let second = HookDeclaration(stage: .before, index: 2, file: "", line: 0)
        #expect(
            try await script.call(second, argument: .null, functions: [], host: host, limits: .test).values == [
                "second"
            ])
    }

    @Test func aHookMayBeGivenItsTime() async throws {
        let (configuration, script) = try await load(
            """
            database "sqlite:a.db"
            keyring "main"
            hook "before" { timeout = "1s", run = function(run) return backups.create() end }
            hook "after" (function() end)
            schedule "own" { keyring = "main", tz = "UTC", cron = "@daily", timeout = "2h", action = function() end }
            """)
        #expect(configuration.hooks.map(\.timeout) == [.seconds(1), .seconds(3600)])
        #expect(configuration.schedules.map(\.timeout) == [.seconds(7200)])
        let slow = SlowHost()
        let error = await #expect(throws: ScriptingError.self) {
            try await script.call(
                configuration.hooks[0], argument: .null, functions: ["backups.create"], host: slow)
        }
        #expect(error?.code == .callerLimitExceeded)
    }

    @Test(arguments: [
        (#"hook "before" { timeout = "2d", run = function() end }"#, "not from 1s to 1d"),
        (#"hook "before" { timeout = "2h" }"#, "names no function"),
        (#"hook "before" { run = function() end, timout = "2h" }"#, "unknown word \"timout\""),
        (#"schedule "x" { tz = "UTC", cron = "@daily", timeout = "2h" }"#, "needs a function as its action"),
    ])
    func aWrongTimeIsRefused(text: String, problem: String) async throws {
        let error = await #expect(throws: ScriptingError.self) { try await load("database 'sqlite:a.db' \(text)") }
        #expect(error?.message.contains(problem) == true, "\(error?.message ?? "")")
    }

    @Test func aHookThatFailsSaysWhy() async throws {
        let script = try await load(Self.text).script
        let hook = HookDeclaration(stage: .after, index: 1, file: "", line: 0)
        let error = await #expect(throws: RaisedError.self) {
            try await script.call(hook, argument: .null, functions: [], host: TestHost(), limits: .test)
        }
        #expect(error?.message == "keyturn.lua:8: not after")
        let none = HookDeclaration(stage: .always, index: 1, file: "", line: 0)
        await #expect(throws: RaisedError.self) {
            try await script.call(none, argument: .null, functions: [], host: TestHost(), limits: .test)
        }
    }

    @Test func anUnknownNameInAHookIsAnError() async throws {
        let script = try await load("database 'sqlite:a.db' hook 'before' (function() return bakups.create() end)")
            .script
        let hook = HookDeclaration(stage: .before, index: 1, file: "", line: 0)
        let error = await #expect(throws: RaisedError.self) {
            try await script.call(hook, argument: .null, functions: ["backups.create"], host: TestHost(), limits: .test)
        }
        #expect(error?.message.contains("unknown name \"bakups\"") == true, "\(error?.message ?? "")")
    }

    @Test func aScheduleIsCalledAndLeavesNothingBehind() async throws {
        let script = try await load(Self.text).script
        #expect(try await script.callSchedule("weekly", function: .when, context: ["age": 11]) == true)
        #expect(try await script.callSchedule("weekly", function: .when, context: ["age": 9]) == false)
        for _ in 0..<3 {
            #expect(try await script.callSchedule("counting", function: .next, context: ["now": 100]) == 101)
        }
        await #expect(throws: RaisedError.self) {
            try await script.callSchedule("monthly", function: .next, context: .null)
        }
    }

    @Test(arguments: [
        "while true do end", "return keyrings.list()", "return time.now()", "return math.random()", "return load('1')",
        "return function() end", "return mem()", "local t = {} t[1] = t return t",
    ])
    func aScheduleIsPureAndBrief(body: String) async throws {
        let text =
            "database 'sqlite:a.db' schedule 's' { action = 'backup', tz = 'UTC', next = function(ctx) \(body) end }"
        let script = try await load(text).script
        // Whatever happened, the next call is served.
        for _ in 0..<2 {
            let error = await #expect(throws: (any Error).self) {
                try await script.callSchedule("s", function: .next, context: .null)
            }
            let code = try #require(error as? any CodedError).codeName
            #expect(["callerScriptFailed", "callerLimitExceeded"].contains(code), "\(code)")
        }
    }

    @Test func manyCallsAtOnceAreServed() async throws {
        let script = try await load(Self.text).script
        try await withThrowingTaskGroup(of: FrameValue.self) { group in
            for index in 0..<40 {
                group.addTask {
                    try await script.callSchedule("counting", function: .next, context: ["now": .integer(Int64(index))])
                }
            }
            var found: Set<FrameValue> = []
            for try await value in group { found.insert(value) }
            #expect(found == Set((1...40).map { .integer($0) }))
        }
    }

    @Test func aTextThatEverybodyMayWriteIsRefused() async throws {
        let scratch = try Scratch()
        let folder = scratch.folder.appending(path: "scripts")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let text = folder.appending(path: "a.lua")
        try Data("return 1".utf8).write(to: text)
        try FileManager.default.setAttributes([.posixPermissions: 0o666], ofItemAtPath: text.path)
        let file = try scratch.configuration(Array(Self.text.utf8))
        let loader = ConfigurationLoader(workerPath: BuiltWorker.path, cores: testCores)
        let error = await #expect(throws: ScriptingError.self) {
            try await loader.load(file: file, scripts: folder.path)
        }
        #expect(error?.message.hasSuffix("everybody may write to it") == true)
    }

    @Test func anErrorInAFurtherTextNamesIt() async throws {
        let error = await #expect(throws: ScriptingError.self) {
            try await load("database 'sqlite:a.db'", scripts: ["bad.lua": "\nx = = 1"])
        }
        #expect(error?.message.hasPrefix("scripts/bad.lua:2: ") == true, "\(error?.message ?? "")")
    }
}

/// Answers nothing for longer than a test waits.
private struct SlowHost: ScriptHost {
    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
        try await Task.sleep(for: .seconds(600))
        return .null
    }
    func output(_ text: String) async {}
}
