internal import Foundation
internal import GRDB
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// Keys on their way from one provider to another, by the command.
@Suite(.serialized)
struct RewrapTests {
    private let bench: KeyBench

    init() throws { bench = try KeyBench() }

    private var sandbox: Sandbox { bench.sandbox }
    private var scratch: HostScratch { bench.scratch }

    @Test
    func keysMoveToAPluginAndBack() async throws {
        try await bench.begin()
        let declaration = try await bench.registerExample()
        let list = try await sandbox.keyturn("plugin", "list", "-o", "json").expecting()
        #expect(list.standardOutput.contains(try PluginFile(path: scratch.file("example-provider")).load().sha256))
        try bench.declare("safe", declaration)
        _ = try await sandbox.keyturn("provider", "test", "safe").expecting()
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "safe", "--yes").expecting()
        let moved = try bench.wraps()
        #expect(moved.count == 1 && moved.allSatisfy { $0.hasPrefix("safe ") }, "\(moved)")
        try await bench.readsBack()
        _ = try await sandbox.keyturn("rewrap", "main", "--new-root", "--yes").expecting()
        let turned = try bench.wraps()
        #expect(turned.count == 1 && turned.isDisjoint(with: moved), "\(turned)")
        _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting()
        try await bench.readsBack()
        try bench.declare("local", declaration)
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "local", "--yes").expecting()
        #expect(try bench.wraps().allSatisfy { $0.hasPrefix("local ") })
        try await bench.readsBack()
    }

    @Test
    func aChangedPluginIsNotStarted() async throws {
        try await bench.begin()
        let file = try scratch.example()
        _ = try await sandbox.keyturn("plugin", "register", "example", file.path, "--yes").expecting()
        let handle = try FileHandle(forWritingTo: URL(filePath: file.path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data([0]))
        try handle.close()
        try bench.declare("safe", "provider \"safe\" { kind = \"plugin\", plugin = \"example\", directory = \"/tmp\" }")
        let output = try await sandbox.keyturn("provider", "test", "safe").expecting(2)
        #expect(output.description.contains("has changed"))
        _ = try await sandbox.keyturn("plugin", "verify").expecting(1)
    }

    /// Where the outcome cannot be written, there is no effect.
    @Test
    func aPluginIsRegisteredWithItsOutcomeOrNotAtAll() async throws {
        try await bench.begin()
        let file = try scratch.example()
        try bench.execute(
            """
            CREATE TRIGGER no_outcome BEFORE INSERT ON keyturn_audit WHEN NEW.kind = 'outcome'
            BEGIN SELECT RAISE(ABORT, 'no outcome'); END
            """)
        let refused = try await sandbox.keyturn("plugin", "register", "example", file.path, "--yes")
        #expect(refused.exitCode != 0)
        try bench.execute("DROP TRIGGER no_outcome")
        #expect(try await !sandbox.keyturn("plugin", "list").expecting().standardOutput.contains("example"))

        _ = try await sandbox.keyturn("plugin", "register", "example", file.path, "--yes").expecting()
        try bench.execute(
            """
            CREATE TRIGGER no_outcome BEFORE INSERT ON keyturn_audit WHEN NEW.kind = 'outcome'
            BEGIN SELECT RAISE(ABORT, 'no outcome'); END
            """)
        #expect(try await sandbox.keyturn("plugin", "unregister", "example", "--yes").exitCode != 0)
        try bench.execute("DROP TRIGGER no_outcome")
        #expect(try await sandbox.keyturn("plugin", "list").expecting().standardOutput.contains("example"))
    }

    @Test
    func onlyTheFileThatWasConfirmedIsRegistered() async throws {
        try await bench.begin()
        let file = try scratch.example()
        sandbox.variables["KEYTURN_INSTANCE"] = sandbox.path("D")
        let program = BuiltProgram.folder("Tests/ProviderHostTests/Programs/swap-while-asked").path
        let output = try await sandbox.run(
            "python3", [program, try BuiltProgram.keyturn(), "example", file.path])
        #expect(output.exitCode == 2 && output.standardOutput.contains("has changed"), "\(output)")
        #expect(try await !sandbox.keyturn("plugin", "list").expecting().standardOutput.contains("example"))
    }

    @Test
    func aPluginThatIsNamedByItsPathIsReloadedAndNothingIsWrittenBesideIt() async throws {
        try await bench.begin()
        let file = try scratch.example()
        let keys = try scratch.directory("keys")
        try bench.declare(
            "safe",
            """
            provider "safe" {
                kind = "plugin", path = "\(file.path)", sha256 = "\(try file.load().sha256)", directory = "\(keys)",
                deadline = "60s",
            }
            """)
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "safe", "--yes").expecting()
        let daemon = try await bench.serve()
        _ = try await sandbox.keyturn("open", "secret.value", "--key", "1", "--stored").expecting()
        let before = JSONValue(
            parsing: try await sandbox.keyturn("provider", "show", "safe", "-o", "json").standardOutput)
        _ = try await sandbox.keyturn("plugin", "reload", "safe").expecting()
        let after = JSONValue(
            parsing: try await sandbox.keyturn("provider", "show", "safe", "-o", "json").standardOutput)
        #expect(before.result.process.integer != after.result.process.integer && after.result.process.integer != nil)
        let target = scratch.file("export")
        let refusal = try await sandbox.keyturn("call", "audit.export", "--to-file", target)
        #expect(refusal.exitCode != 0 && refusal.description.contains("plugins are executed from there"), "\(refusal)")
        #expect(!FileManager.default.fileExists(atPath: target))
        try await bench.end(daemon)
    }

    @Test
    func aTurnedKeyOfAKMSPluginIsFollowed() async throws {
        try await bench.begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let plugin = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        try bench.declare(
            "cluster", "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(scratch.file("socket"))\" }")
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "cluster", "--yes").expecting()
        #expect(try bench.wraps() == ["cluster key-1"])
        try "key-2\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        _ = try await sandbox.keyturn("rewrap", "main", "--yes").expecting()
        #expect(try bench.wraps() == ["cluster key-2"])
        try await bench.readsBack()
        plugin.kill()
    }

    @Test
    func aRunWaitsForAProviderThatIsGoneAndAsksItSeldom() async throws {
        try await bench.begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let first = try KMSv2ProviderTests.Endpoint.start(scratch, "dies-at-third-encrypt")
        try bench.declare(
            "cluster", "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(scratch.file("socket"))\" }")
        let run = try sandbox.start("rewrap", "main", "--to", "cluster", "--yes")
        #expect(
            await Sample.eventually(within: .seconds(90)) { run.errorSoFar.contains("paused") }, "\(run.errorSoFar)")
        #expect(run.isRunning)
        first.kill()
        let second = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        _ = try await run.wait().expecting()
        #expect(try bench.wraps() == ["cluster key-1"])
        let counts = JSONValue(parsing: try second.counts())
        // One version of three was left. It is wrapped once, and unwrapped by provider and engine; then each is unwrapped to
        // prove it, and once more right before the older copies go.
        #expect(counts.members["Encrypt"]?.integer == 1)
        #expect((counts.members["Decrypt"]?.integer ?? 99) <= 8, "\(counts)")
        let third = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        try await bench.readsBack()
        third.kill()
    }

    @Test
    func aDaemonFollowsAKeyThatItsPluginTurned() async throws {
        try await bench.begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let plugin = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        try bench.declare(
            "cluster", "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(scratch.file("socket"))\" }")
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "cluster", "--yes").expecting()
        let daemon = try await bench.serve("--keys-looked-at-every", "1")
        try "key-2\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let follows = await Sample.eventually(within: .seconds(90)) { (try? bench.wraps()) == ["cluster key-2"] }
        #expect(follows, "\(daemon.errorSoFar)")
        let audit = try await sandbox.keyturn("call", "audit.list", "-o", "json").expecting()
        #expect(audit.standardOutput.contains("rotations.rewrap") && audit.standardOutput.contains("schedule"))
        try await bench.end(daemon)
        try await bench.readsBack()
        plugin.kill()
    }

    /// With roles declared, the daemon's own user may be nobody.
    @Test
    func aDaemonFollowsATurnedKeyUnderItsGrantOrSaysThatItDoesNot() async throws {
        try await bench.begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let plugin = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        let declaration = "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(scratch.file("socket"))\" }"
        try bench.declare("cluster", declaration)
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "cluster", "--yes").expecting()
        let daemon = try await bench.serve("--keys-looked-at-every", "1")
        let roles =
            "role \"viewer\" { users = { \"\(NSUserName())\" } }\nrole \"server_admin\" { users = { \"nobody-else\" } }"
        try bench.declare("cluster", declaration + "\n" + roles)
        let load = try await sandbox.keyturn("call", "configuration.load", "--yes").expecting()
        #expect(load.standardOutput.contains("may call rotations.rewrap"))
        _ = try await sandbox.keyturn("call", "rotations.rewrap", "main", "--yes").expecting(2)
        try "key-2\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let follows = await Sample.eventually(within: .seconds(90)) { (try? bench.wraps()) == ["cluster key-2"] }
        #expect(follows, "\(daemon.errorSoFar)")
        #expect(await Sample.eventually(within: .seconds(90)) { bench.isIdle })
        try await bench.end(daemon)

        // Nobody has taken up this one, and nothing is granted by it.
        try bench.declare("cluster", declaration + "\nprovider \"more\" { kind = \"local\", file = \"x\" }\n" + roles)
        let other = try await bench.serve("--keys-looked-at-every", "1")
        try "key-3\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let isSaid = try await Sample.eventually(within: .seconds(90)) {
            try await sandbox.keyturn("status").standardOutput.contains("has turned its key, and it is not rewrapped")
        }
        #expect(isSaid, "\(other.errorSoFar)")
        #expect(try bench.wraps() == ["cluster key-2"])
        try await bench.end(other)
        plugin.kill()
    }

    @Test
    func aDaemonServesAClusterWhoseKeyTurnsWithItsKeyring() async throws {
        try await bench.begin()
        let daemon = try await bench.serve("--kms-v2", "unix://\(scratch.file("served"))", "--kms-v2-keyring", "main")
        #expect(
            await Sample.eventually(within: .seconds(60)) { (try? scratch.mode(of: "served")) == 0o600 },
            "\(daemon.errorSoFar)")
        let cluster = try TalkingProgram("kms-client", [scratch.file("served")])
        let key = try #require(try cluster.askObject("status")["key_id"] as? String)
        #expect(key.hasPrefix("main-"))
        let seed = Data(0..<32).base64EncodedString()
        let wrapped = try cluster.askObject("encrypt \(seed)")
        #expect(wrapped["key_id"] as? String == key)
        _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting()
        let turned = try #require(try cluster.askObject("status")["key_id"] as? String)
        #expect(turned != key)
        let ciphertext = try #require(wrapped["ciphertext"] as? String)
        #expect(try cluster.askObject("decrypt \(ciphertext) \(key)")["plaintext"] as? String == seed)
        #expect(try cluster.askObject("encrypt \(seed)")["key_id"] as? String == turned)
        try await bench.end(daemon)
        #expect(!FileManager.default.fileExists(atPath: scratch.file("served")))
    }

    @Test
    func aPluginIsRegisteredByACallAndNothingIsWrittenBesideIt() async throws {
        try await bench.begin()
        let file = try scratch.example()
        let registered = try await sandbox.keyturn("call", "plugins.register", "example", file.path, "--yes")
        #expect(try registered.expecting().description.contains(try file.load().sha256))
        for entry in ["plugins.list", "plugins.verify"] {
            #expect(try await sandbox.keyturn("call", entry).expecting().description.contains("example"))
        }
        try bench.declare(
            "safe",
            "provider \"safe\" { kind = \"plugin\", plugin = \"example\", directory = \"\(try scratch.directory("keys"))\" }"
        )
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "safe", "--yes").expecting()
        #expect(
            try await sandbox.keyturn("call", "providers.describe", "safe").expecting().description.contains("usable"))
        #expect(
            try await sandbox.keyturn("call", "providers.show", "safe").expecting().description.contains("plugin"))
        _ = try await sandbox.keyturn("call", "plugins.reload", "safe", "--yes").expecting()
        let target = scratch.file("export")
        let refusals = [
            try await sandbox.keyturn("keyring", "export", "main", "--to-file", target, "--yes"),
            try await sandbox.keyturn("call", "audit.export", "--to-file", target),
        ]
        for refusal in refusals {
            #expect(
                refusal.exitCode != 0 && refusal.description.contains("plugins are executed from there"), "\(refusal)")
            #expect(!FileManager.default.fileExists(atPath: target))
        }
        _ = try await sandbox.keyturn("call", "audit.export", "--to-file", sandbox.path("log")).expecting()
    }

    @Test
    func killedAtAnyInstantAMoveBetweenProvidersLosesNothing() async throws {
        try await bench.begin()
        let declaration = try await bench.registerExample()
        let points =
            ["intentRecorded:1", "runRecorded:1", "runFinished:1"] + (1...3).map { "keyRewrapped:\($0)" }
            + (5...9).map { "phaseRecorded:\($0)" }
        var deaths = 0
        for (index, point) in points.enumerated() {
            let target = index.isMultiple(of: 2) ? "safe" : "local"
            try bench.declare(target, declaration)
            let output = try await sandbox.start("rewrap", "main", "--to", target, "--yes", dyingAt: point).wait()
            #expect(output.signal == SIGKILL, "\(point): \(output)")
            deaths += output.signal == SIGKILL ? 1 : 0
            try await bench.readsBack()
            if let run = try bench.openRun() {
                _ = try await sandbox.keyturn("run", "resume", "\(run)").expecting()
            } else if try bench.wraps().contains(where: { !$0.hasPrefix(target + " ") }) {
                _ = try await sandbox.keyturn("rewrap", "main", "--to", target, "--yes").expecting()
            }
            #expect(try bench.openRun() == nil)
            #expect(try bench.wraps().allSatisfy { $0.hasPrefix(target + " ") }, "\(point)")
            try await bench.readsBack()
        }
        print("rewrap between providers: killed \(deaths) times, nothing lost")
    }
}
