internal import Foundation
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// A daemon and the providers that its configuration names, from outside.
@Suite(.serialized)
struct DaemonProviderTests {
    private let bench: KeyBench

    init() throws { bench = try KeyBench() }

    private var sandbox: Sandbox { bench.sandbox }
    private var scratch: HostScratch { bench.scratch }

    private func keyturn(_ arguments: String...) async throws -> String {
        try await sandbox.start(arguments: arguments).wait().expecting().standardOutput
    }

    @Test
    func aProviderIsTakenUpWithoutARestartAndNoPluginOutlivesTheDaemon() async throws {
        try await bench.begin()
        let daemon = try await bench.serve()
        let declaration = try await bench.registerExample()
        try bench.declare("safe", declaration)
        _ = try await keyturn("call", "configuration.load", "--yes")
        _ = try await keyturn("rewrap", "main", "--to", "safe", "--yes")
        #expect(try bench.wraps().allSatisfy { $0.hasPrefix("safe ") })
        let status = try await sandbox.keyturn("status", "-o", "json")
        let providers = JSONValue(parsing: status.standardOutput).result.providers.array
        let safe = try #require(providers.first { $0.name.string == "safe" })
        #expect(safe.calls.wrap.calls.integer == 3 && safe.calls.wrap.failures.integer == 0, "\(safe)")
        #expect((safe.calls.unwrap.calls.integer ?? 0) >= 3 && safe.isReachable.bool == true)
        #expect(try await sandbox.keyturn("status").standardOutput.contains("worst ms"))
        let shown = JSONValue(parsing: try await keyturn("provider", "show", "safe", "-o", "json")).result
        let plugin = pid_t(try #require(shown.process.integer))
        #expect(Sample.isAlive(plugin))

        // Another word in another declaration leaves this provider's process alone.
        try bench.declare("safe", declaration + "\nprovider \"other\" { kind = \"local\", file = \"none.key\" }")
        _ = try await keyturn("call", "configuration.load", "--yes")
        let again = JSONValue(parsing: try await keyturn("provider", "show", "safe", "-o", "json")).result
        #expect(again.process.integer == Int(plugin))
        #expect(try await keyturn("provider", "list").contains("none.key"))

        let children = Processes.descendants(of: daemon.pid)
        #expect(children.contains(plugin))
        daemon.signal(SIGKILL)
        _ = try await daemon.wait()
        let start = ContinuousClock.now
        let isGone = await Sample.eventually(within: .seconds(2)) { !children.contains(where: Sample.isAlive) }
        #expect(isGone, "\(children.filter(Sample.isAlive)) live on")
        print("daemon killed: \(children.count) children, 0 orphans after \(start.duration(to: .now))")
    }

    @Test
    func aDaemonWhosePluginLostItsGuardsLeavesNoOrphan() async throws {
        try await bench.begin()
        sandbox.variables["HOSTILE"] = "beside-a-guard"
        let daemon = try await bench.serve()
        let file = try scratch.program("hostile-plugin")
        _ = try await keyturn(
            "plugin", "register", "bad", file.path, "--environment", "HOSTILE", "--environment", "PATH", "--yes")
        try bench.declare(
            "bad",
            "provider \"bad\" { kind = \"plugin\", plugin = \"bad\", environment = \"HOSTILE PATH\", deadline = \"60s\" }"
        )
        _ = try await keyturn("call", "configuration.load", "--yes")
        var seen: Set<pid_t> = []
        for index in 0..<2 {
            #expect(try await keyturn("provider", "describe", "bad").contains("key-1"))
            let shown = JSONValue(parsing: try await keyturn("provider", "show", "bad", "-o", "json")).result
            let plugin = pid_t(try #require(shown.process.integer))
            let inner = try #require(Processes.parent(of: plugin))
            let outer = try #require(Processes.parent(of: inner))
            let family = [outer] + Processes.descendants(of: outer)
            #expect(family.count == 4 && seen.isDisjoint(with: family), "\(family)")
            seen.formUnion(family)
            kill(index == 0 ? inner : outer, SIGKILL)
            let isGone = await Sample.eventually { !family.contains(where: Sample.isAlive) }
            #expect(isGone, "\(family.filter(Sample.isAlive)) live on")
        }
        #expect(try await keyturn("provider", "describe", "bad").contains("key-1"))
        seen.formUnion(Processes.descendants(of: daemon.pid))
        daemon.signal(SIGKILL)
        _ = try await daemon.wait()
        let isGone = await Sample.eventually(within: .seconds(2)) { !seen.contains(where: Sample.isAlive) }
        #expect(isGone, "\(seen.filter(Sample.isAlive)) live on")
    }

    @Test
    func opensGoOnFromTheCacheWhileARotationWaitsForItsProvider() async throws {
        try await bench.begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let first = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        let socket = scratch.file("socket")
        try bench.declare(
            "cluster",
            "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(socket)\", cache_ttl = \"10m\" }")
        _ = try await keyturn("rewrap", "main", "--to", "cluster", "--yes")
        first.kill()
        let second = try KMSv2ProviderTests.Endpoint.start(scratch, "dies-at-first-encrypt")
        let daemon = try await bench.serve()
        let value = try await keyturn("open", "secret.value", "--key", "1", "--stored")
        #expect(value.contains("value 1"))
        _ = try await keyturn("call", "rotations.rotate", "main", "wait=none", "--yes")
        #expect(
            await Sample.eventually(within: .seconds(90)) { daemon.errorSoFar.contains("run waits for a provider") },
            "\(daemon.errorSoFar)")
        // Nobody listens any more; what was unwrapped before goes on to serve.
        second.kill()
        for key in 2...6 {
            let value = try await keyturn("open", "secret.value", "--key", "\(key)", "--stored")
            #expect(value.contains("value \(key)"))
        }
        #expect(try bench.openRun() != nil)
        let third = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        #expect(await Sample.eventually(within: .seconds(90)) { bench.isIdle })
        daemon.signal(SIGTERM)
        _ = try await daemon.wait().expecting()
        let counts = JSONValue(parsing: try third.counts())
        print("after the outage: \(counts)")
        // The new version is wrapped once; it is unwrapped to prove it by provider and engine, the older ones were held.
        #expect(counts.members["Encrypt"]?.integer == 1)
        #expect((counts.members["Decrypt"]?.integer ?? 99) <= 6, "\(counts)")
        #expect((counts.members["Status"]?.integer ?? 99) <= 12, "\(counts)")
        let last = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        try await bench.readsBack()
        last.kill()
    }

    @Test
    func noKeyIsShownInALogAnErrorTheAuditOrAnArgument() async throws {
        try await bench.begin()
        let daemon = try await bench.serve("--log-level", "debug")
        let arguments = Task.detached { await Self.argumentsSeen() }
        let declaration = try await bench.registerExample()
        try bench.declare("safe", declaration)
        _ = try await keyturn("call", "configuration.load", "--yes")
        _ = try await keyturn("rewrap", "main", "--to", "safe", "--yes")
        try await export(to: "keys-before")
        _ = try await keyturn("rotate", "main", "--yes")
        try await export(to: "keys-after")
        _ = try await keyturn("provider", "test", "safe")
        // What fails says why, and that must not be too much.
        let shown = JSONValue(parsing: try await keyturn("provider", "show", "safe", "-o", "json")).result
        kill(pid_t(try #require(shown.process.integer)), SIGKILL)
        try FileManager.default.removeItem(atPath: scratch.file("keys"))
        _ = try await sandbox.keyturn("rewrap", "main", "--new-root", "--yes")
        _ = try await sandbox.keyturn("provider", "test", "safe")
        _ = try await sandbox.keyturn("open", "secret.value", input: "kr1.garbage")
        _ = try await sandbox.keyturn("call", "audit.export", "--to-file", sandbox.path("audit")).expecting()
        arguments.cancel()
        daemon.signal(SIGTERM)
        _ = try await daemon.wait()

        let files = ["keys-before", "keys-after"]
        let lines = try files.flatMap {
            try String(contentsOfFile: sandbox.path($0), encoding: .utf8).split(separator: "\n")
        }
        let keys = Set(lines.compactMap { Data(base64Encoded: String($0)) })
        #expect(keys.count == 2 && keys.allSatisfy { $0.count == 32 })
        var places = ["the arguments": Data(await arguments.value.utf8)]
        for name in try FileManager.default.subpathsOfDirectory(atPath: sandbox.folder.path) where !files.contains(name)
        {
            places[name] = FileManager.default.contents(atPath: sandbox.path(name))
        }
        #expect(places.count > 20 && places["audit"] != nil)
        for (place, data) in places {
            for key in keys {
                #expect(data.firstRange(of: key) == nil, "a key stands in \(place)")
                for form in Sample.forms(of: key) { #expect(data.firstRange(of: Data(form.utf8)) == nil, "\(place)") }
            }
        }
        print("searched \(places.count) places for \(keys.count) keys in 5 forms")
    }

    private func export(to file: String) async throws {
        _ = try await keyturn("keyring", "export", "main", "--to-file", sandbox.path(file), "--yes")
    }

    /// The arguments and environments of all processes, as they come and go until this is cancelled.
    static func argumentsSeen() async -> String {
        var seen: Set<String> = []
        while !Task.isCancelled {
            for process in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
            where Int(process) != nil {
                for file in ["cmdline", "environ"] {
                    guard let data = FileManager.default.contents(atPath: "/proc/\(process)/\(file)") else { continue }
                    seen.insert(String(decoding: data, as: UTF8.self))
                }
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return seen.joined(separator: "\n")
    }
}
