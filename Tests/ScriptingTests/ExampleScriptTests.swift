import ControlStore
import Foundation
import Frames
import KeyModel
import Synchronization
import Testing

@testable import Scripting

/// The examples in `scripts`, loaded as they ship and performed.
struct ExampleScriptTests {
    /// Answers as the API does, and notes what was called.
    private final class APIHost: ScriptHost {
        static let functions = ["backups.create", "notify.webhook", "commands.run", "runs.acknowledge"]
        let answers: [String: FrameValue]
        private let called = Mutex<[String]>([])
        private let printed = Mutex("")

        init(_ answers: [String: FrameValue] = [:]) { self.answers = answers }

        var calls: [String] { called.withLock { $0 } }
        var output: String { printed.withLock { $0 } }

        func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
            called.withLock { $0.append("\(name) \(arguments)") }
            return answers[name] ?? .null
        }

        func output(_ text: String) async { printed.withLock { $0 += text } }
    }

    private func load(
        _ name: String
    ) async throws -> (configuration: Configuration, script: ConfigurationScript) {
        let scratch = try Scratch()
        defer { withExtendedLifetime(scratch) {} }
        let folder = scratch.folder.appending(path: "scripts")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let shipped = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "scripts/\(name)")
        try FileManager.default.copyItem(at: shipped, to: folder.appending(path: name))
        return try await ConfigurationLoader(workerPath: BuiltWorker.path, cores: testCores)
            .loadScript(
                file: try scratch.configuration(Array("database 'sqlite:a.db' keyring 'main'".utf8)),
                scripts: folder.path)
    }

    private func run(_ changes: [String: FrameValue] = [:]) -> FrameValue {
        let run: [String: FrameValue] = [
            "id": 7, "kind": "rotate", "urgency": "routine", "keyring": "main", "actor": "root (uid 0)",
            "state": "done", "attempt": "00",
        ]
        return .map(run.merging(changes) { _, new in new })
    }

    @Test func backupAround() async throws {
        let (configuration, script) = try await load("backup-around.lua")
        #expect(configuration.hooks.map(\.stage) == [.before, .after])
        #expect(configuration.keyrings.first?.policy.backup == .required)
        for hook in configuration.hooks {
            let host = APIHost([
                "backups.create": ["id": 4, "verified": "restore", "verifiedAt": "2026-11-22T03:08:36.676Z"]
            ])
            _ = try await script.call(hook, argument: run(), functions: APIHost.functions, host: host)
            #expect(host.calls.count == 1 && host.calls[0].hasPrefix("backups.create"))
            #expect(host.output.contains("backup 4 of run 7, proved by restore at 2026-11-22T"))
        }
    }

    @Test func chatWebhook() async throws {
        let (configuration, script) = try await load("chat-webhook.lua")
        #expect(Set(configuration.hooks.map(\.stage)) == [.always, .onFailure])
        for hook in configuration.hooks {
            let host = APIHost(["notify.webhook": ["status": 204]])
            let argument = run(["state": "failed", "message": "no room"])
            _ = try await script.call(hook, argument: argument, functions: APIHost.functions, host: host)
            #expect(
                host.calls.first?.contains("rotate of \\\"main\\\" (run 7, by root (uid 0)): failed: no room") == true)
            let refusing = APIHost(["notify.webhook": ["status": 500]])
            await #expect(throws: RaisedError.self) {
                try await script.call(hook, argument: run(), functions: APIHost.functions, host: refusing)
            }
        }
    }

    @Test func changeWindow() async throws {
        let (configuration, script) = try await load("change-window.lua")
        let hook = try #require(configuration.hooks.first)
        let calendar = Calendar(identifier: .gregorian)
        let now = Date.now
        let parts = calendar.dateComponents(in: .gmt, from: now)
        let isOpen = [1, 7].contains(parts.weekday) && (1..<5).contains(parts.hour ?? 0)
        var wasRefused = false
        do {
            _ = try await script.call(hook, argument: run(), functions: [], host: APIHost())
        } catch let error as RaisedError {
            wasRefused = true
            let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
            #expect(error.message.contains("it is \(days[(parts.weekday ?? 1) - 1])"), "\(error.message)")
        }
        // At the very edge of an hour either is right.
        if parts.minute != 59 { #expect(wasRefused != isOpen) }
        let host = APIHost()
        _ = try await script.call(hook, argument: run(["urgency": "emergency"]), functions: [], host: host)
        #expect(host.output == "an emergency is not held back\n")
    }

    @Test func publishKey() async throws {
        let (configuration, script) = try await load("publish-key.lua")
        let hook = try #require(configuration.hooks.first)
        #expect(hook.stage == .published)
        let argument = run(["keyring": "airflow", "new_key": "0000abcd"])
        let host = APIHost(["commands.run": ["status": 0, "output": "taken", "errors": ""]])
        _ = try await script.call(hook, argument: argument, functions: APIHost.functions, host: host)
        #expect(host.calls.count == 2 && host.calls[0].contains("0000abcd") && host.calls[1].contains("airflow-web"))
        let failing = APIHost(["commands.run": ["status": 3, "output": "", "errors": "no"]])
        await #expect(throws: RaisedError.self) {
            try await script.call(hook, argument: argument, functions: APIHost.functions, host: failing)
        }
        #expect(failing.calls.count == 1, "no acknowledgement without the application")
        let other = APIHost()
        _ = try await script.call(hook, argument: run(), functions: APIHost.functions, host: other)
        #expect(other.calls.isEmpty)
    }
}
