internal import Foundation
internal import GRDB
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// Keys on their way from one provider to another, by the command.
@Suite(.serialized)
struct RewrapTests {
    private let sandbox: Sandbox
    private let scratch: HostScratch

    init() throws {
        sandbox = try Sandbox()
        scratch = try HostScratch()
    }

    private func declare(_ provider: String, _ declaration: String) throws {
        try sandbox.write(
            """
            database "sqlite:app.db"
            \(declaration)
            keyring "main" { core = "kr1", backup = "optional", provider = "\(provider)" }
            column "secret.value" { keyring = "main", key = "id", plaintext = "seal" }
            """, to: "keyturn.lua")
    }

    /// An instance with some values and three versions of its key under the built-in provider.
    private func begin() async throws {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        try await database.write { database in
            try database.execute(sql: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value BLOB)")
            for number in 1...20 {
                try database.execute(
                    sql: "INSERT INTO secret (value) VALUES (CAST(? AS BLOB))", arguments: ["value \(number)"])
            }
        }
        try database.close()
        try declare("local", "")
        _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        _ = try await sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
        for _ in 0..<2 { _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting() }
    }

    /// Who wraps what: provider and its key, once each.
    private func wraps() throws -> Set<String> {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        return try database.read { database in
            Set(try String.fetchAll(database, sql: "SELECT provider || ' ' || provider_key_id FROM keyturn_wraps"))
        }
    }

    private func readsBack() async throws {
        let output = try await sandbox.keyturn("verify", "main").expecting()
        #expect(output.standardOutput.contains("20"), "\(output.standardOutput)")
    }

    @Test
    func keysMoveToAPluginAndBack() async throws {
        try await begin()
        let file = try scratch.example()
        _ = try await sandbox.keyturn("plugin", "register", "example", file.path, "--yes").expecting()
        let list = try await sandbox.keyturn("plugin", "list", "-o", "json").expecting()
        #expect(list.standardOutput.contains(try file.load().sha256))
        let declaration =
            "provider \"safe\" { kind = \"plugin\", plugin = \"example\", directory = \"\(try scratch.directory("keys"))\" }"
        try declare("safe", declaration)
        _ = try await sandbox.keyturn("provider", "test", "safe").expecting()
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "safe", "--yes").expecting()
        let moved = try wraps()
        #expect(moved.count == 1 && moved.allSatisfy { $0.hasPrefix("safe ") }, "\(moved)")
        try await readsBack()
        _ = try await sandbox.keyturn("rewrap", "main", "--new-root", "--yes").expecting()
        let turned = try wraps()
        #expect(turned.count == 1 && turned.isDisjoint(with: moved), "\(turned)")
        _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting()
        try await readsBack()
        try declare("local", declaration)
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "local", "--yes").expecting()
        #expect(try wraps().allSatisfy { $0.hasPrefix("local ") })
        try await readsBack()
    }

    @Test
    func aChangedPluginIsNotStarted() async throws {
        try await begin()
        let file = try scratch.example()
        _ = try await sandbox.keyturn("plugin", "register", "example", file.path, "--yes").expecting()
        let handle = try FileHandle(forWritingTo: URL(filePath: file.path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data([0]))
        try handle.close()
        try declare("safe", "provider \"safe\" { kind = \"plugin\", plugin = \"example\", directory = \"/tmp\" }")
        let output = try await sandbox.keyturn("provider", "test", "safe").expecting(2)
        #expect(output.description.contains("has changed"))
        _ = try await sandbox.keyturn("plugin", "verify").expecting(1)
    }

    @Test
    func aTurnedKeyOfAKMSPluginIsFollowed() async throws {
        try await begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let plugin = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        try declare(
            "cluster", "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(scratch.file("socket"))\" }")
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "cluster", "--yes").expecting()
        #expect(try wraps() == ["cluster key-1"])
        try "key-2\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        _ = try await sandbox.keyturn("rewrap", "main", "--yes").expecting()
        #expect(try wraps() == ["cluster key-2"])
        try await readsBack()
        plugin.kill()
    }

    @Test
    func aRunWaitsForAProviderThatIsGoneAndAsksItSeldom() async throws {
        try await begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let first = try KMSv2ProviderTests.Endpoint.start(scratch, "dies-at-third-encrypt")
        try declare(
            "cluster", "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(scratch.file("socket"))\" }")
        let run = try sandbox.start("rewrap", "main", "--to", "cluster", "--yes")
        #expect(
            await Sample.eventually(within: .seconds(90)) { run.errorSoFar.contains("paused") }, "\(run.errorSoFar)")
        #expect(run.isRunning)
        first.kill()
        let second = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        _ = try await run.wait().expecting()
        #expect(try wraps() == ["cluster key-1"])
        let counts = JSONValue(parsing: try second.counts())
        // One version was left; each is wrapped once, and unwrapped to prove it by provider, engine and run.
        #expect(counts.members["Encrypt"]?.integer == 1)
        #expect((counts.members["Decrypt"]?.integer ?? 99) <= 5, "\(counts)")
        let third = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        try await readsBack()
        third.kill()
    }

    @Test
    func aDaemonFollowsAKeyThatItsPluginTurned() async throws {
        try await begin()
        try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let plugin = try KMSv2ProviderTests.Endpoint.start(scratch, "")
        try declare(
            "cluster", "provider \"cluster\" { kind = \"kms-v2\", endpoint = \"unix://\(scratch.file("socket"))\" }")
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "cluster", "--yes").expecting()
        let daemon = try await serve("--keys-looked-at-every", "1")
        try "key-2\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        let follows = await Sample.eventually(within: .seconds(90)) { (try? wraps()) == ["cluster key-2"] }
        #expect(follows, "\(daemon.errorSoFar)")
        let audit = try await sandbox.keyturn("call", "audit.list", "-o", "json").expecting()
        #expect(audit.standardOutput.contains("rotations.rewrap") && audit.standardOutput.contains("schedule"))
        try await end(daemon)
        try await readsBack()
        plugin.kill()
    }

    @Test
    func aDaemonServesAClusterWhoseKeyTurnsWithItsKeyring() async throws {
        try await begin()
        let daemon = try await serve("--kms-v2", "unix://\(scratch.file("served"))", "--kms-v2-keyring", "main")
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
        try await end(daemon)
        #expect(!FileManager.default.fileExists(atPath: scratch.file("served")))
    }

    @Test
    func aPluginIsRegisteredByACallAndNothingIsWrittenBesideIt() async throws {
        try await begin()
        let file = try scratch.example()
        let registered = try await sandbox.keyturn("call", "plugins.register", "example", file.path, "--yes")
        #expect(try registered.expecting().description.contains(try file.load().sha256))
        for entry in ["plugins.list", "plugins.verify"] {
            #expect(try await sandbox.keyturn("call", entry).expecting().description.contains("example"))
        }
        try declare(
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

    private func serve(_ options: String...) async throws -> RunningProgram {
        let daemon = try sandbox.start(arguments: ["serve", "--log-format", "json"] + options)
        let listens = await Sample.eventually(within: .seconds(60)) { daemon.errorSoFar.contains("\"listening\"") }
        #expect(listens, "\(daemon.errorSoFar)")
        return daemon
    }

    private func end(_ daemon: RunningProgram) async throws {
        daemon.signal(SIGTERM)
        _ = try await daemon.wait().expecting()
    }
}
