internal import Foundation
internal import KeyModel
internal import PluginConformance
internal import PluginKit
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// `keyturn-pkcs11` on SoftHSM, in processes of their own.
@Suite(.serialized, .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/softhsm2-util"), "no softhsm2"))
struct TokenTests {
    private static let module = "/usr/lib/softhsm/libsofthsm2.so"
    private let scratch: HostScratch

    init() async throws {
        scratch = try HostScratch()
        try "directories.tokendir = \(try scratch.directory("tokens"))\nobjectstore.backend = file\n"
            .write(toFile: scratch.file("softhsm2.conf"), atomically: true, encoding: .utf8)
        try "1234-user\n".write(toFile: scratch.file("pin"), atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: scratch.file("pin"))
        try tool(
            "softhsm2-util", "--init-token", "--free", "--label", "keys", "--so-pin", "officer", "--pin", "1234-user")
    }

    private var environment: [String: String] {
        PluginLaunch.cleanEnvironment.merging(["SOFTHSM2_CONF": scratch.file("softhsm2.conf")]) { $1 }
    }

    private var settings: [String: String] {
        ["module": Self.module, "token": "keys", "key": "kek", "pin_file": scratch.file("pin"), "create": "yes"]
    }

    private func tool(_ name: String, _ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [name] + arguments
        process.environment = environment
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw EndToEndError("\(name) failed") }
    }

    private func supervisor(_ environment: [String: String]? = nil) throws -> PluginSupervisor {
        PluginSupervisor(
            PluginLaunch(
                name: try Sample.name, file: try PluginFile(path: try scratch.built("keyturn-pkcs11")), sha256: nil,
                environment: environment ?? self.environment))
    }

    private func provider(_ supervisor: PluginSupervisor, _ settings: [String: String]) throws -> GuardedProvider {
        GuardedProvider(
            PluginProvider(name: try Sample.name, settings: settings, supervisor: supervisor), name: try Sample.name,
            deadline: Sample.deadline)
    }

    @Test
    func itKeepsWhatAProviderPromises() async throws {
        let supervisor = try supervisor()
        let suite = ProviderConformance(try provider(supervisor, settings), binding: try Sample.binding)
        #expect(await suite.run().filter { !$0.isPass }.map(\.description) == [])
        await supervisor.stop()
    }

    @Test
    func itPassesTheTrialForAuthors() async throws {
        let sandbox = try Sandbox()
        sandbox.variables["SOFTHSM2_CONF"] = scratch.file("softhsm2.conf")
        let words = settings.sorted { $0.key < $1.key }.flatMap { ["--setting", "\($0.key)=\($0.value)"] }
        let arguments =
            [
                "plugin", "test", try scratch.built("keyturn-pkcs11"), "--environment", "SOFTHSM2_CONF", "--deadline",
                "60s",
            ]
            + words + ["-o", "json"]
        try await TrialTests.passes(try await sandbox.start(arguments: arguments).wait(), atLeast: 20)
    }

    @Test
    func aNewKeyWrapsAndTheOldOneUnwraps() async throws {
        let supervisor = try supervisor()
        let provider = try provider(supervisor, settings)
        let binding = try Sample.binding
        let old = try await provider.wrap(Sample.material(), binding: binding, Sample.call)
        #expect(old.providerKeyID.hasPrefix("kek:"))
        let new = try await provider.rotateKey(Sample.call)
        #expect(new.id != old.providerKeyID && new.isUsable)
        for wrapped in [old, try await provider.wrap(Sample.material(), binding: binding, Sample.call)] {
            let back = try await provider.unwrap(wrapped, binding: binding, Sample.call)
            let isSame = back.isEqual(to: Sample.material())
            #expect(isSame)
        }
        await supervisor.stop()
    }

    /// Other tools number their keys; a key made here is newer all the same.
    @Test(arguments: ["01", "ff", "ffffffffffffffffffff"])
    func aNewKeyIsNewerThanOneOfAnotherTool(id: String) async throws {
        try Data((0..<32).map { UInt8($0) }).write(to: URL(filePath: scratch.file("aes")))
        try tool(
            "softhsm2-util", "--import", scratch.file("aes"), "--aes", "--token", "keys", "--pin", "1234-user",
            "--label",
            "kek", "--id", id)
        let supervisor = try supervisor()
        let provider = try provider(supervisor, settings)
        #expect(try await provider.describeKey(Sample.call).id == "kek:\(id)")
        var seen: Set<String> = ["kek:\(id)"]
        for _ in 0..<3 {
            let new = try await provider.rotateKey(Sample.call)
            #expect(new.id.hasPrefix("kek:\(id)") && seen.insert(new.id).inserted, "\(new.id)")
            #expect(try await provider.describeKey(Sample.call).id == new.id)
        }
        await supervisor.stop()
    }

    private static let spy = "/usr/lib/\(machine)-linux-gnu/pkcs11-spy.so"
    #if arch(x86_64)
        private static let machine = "x86_64"
    #else
        private static let machine = "aarch64"
    #endif

    /// A token locks itself after a few wrong ones.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: spy), "no opensc-pkcs11"))
    func aWrongPINIsTriedOnceHoweverManyAskAtOnce() async throws {
        try "9999\n".write(toFile: scratch.file("pin"), atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: scratch.file("pin"))
        let spying = ["PKCS11SPY": Self.module, "PKCS11SPY_OUTPUT": scratch.file("calls")]
        let supervisor = try supervisor(environment.merging(spying) { $1 })
        let provider = try provider(supervisor, settings.merging(["module": Self.spy, "sessions": "16"]) { $1 })
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<32 {
                group.addTask {
                    let error = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
                    #expect(error.code == .providerMisconfigured && error.message.contains("PIN is wrong"))
                }
            }
            try await group.waitForAll()
        }
        let calls = try String(contentsOfFile: scratch.file("calls"), encoding: .utf8).components(
            separatedBy: "C_Login\n")
        #expect(calls.count == 2, "\(calls.count - 1) logins")
        await supervisor.stop()
    }

    @Test
    func whatIsWrongIsSaid() async throws {
        try "9999\n".write(toFile: scratch.file("wrong"), atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: scratch.file("wrong"))
        try "1234-user\n".write(toFile: scratch.file("open"), atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: scratch.file("open"))
        let supervisor = try supervisor()
        let cases: [(String, String, String)] = [
            ("token", "other", "with that label"), ("pin_file", scratch.file("wrong"), "PIN is wrong"),
            ("pin_file", scratch.file("open"), "others can read"), ("pin_file", "/no/such", "cannot read the PIN"),
            ("module", "/etc/hostname", "cannot be loaded"), ("module", "relative.so", "no absolute path"),
            ("create", "no", "holds no AES key"), ("sessions", "0", "1 to 64"),
        ]
        for (setting, value, why) in cases {
            let provider = try provider(supervisor, settings.merging([setting: value]) { $1 })
            let error = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
            #expect(error.code == .providerMisconfigured && error.message.contains(why), "\(error.message)")
            #expect(!error.message.contains("1234-user") && !error.message.contains("9999"))
        }
        await supervisor.stop()
    }

    @Test
    func aKeyringTurnsUnderAToken() async throws {
        let bench = try KeyBench()
        bench.sandbox.variables["SOFTHSM2_CONF"] = scratch.file("softhsm2.conf")
        try await bench.begin()
        let plugin = try scratch.built("keyturn-pkcs11")
        let words = settings.map { "\($0.key) = \"\($0.value)\"" }.sorted().joined(separator: ", ")
        _ = try await bench.sandbox.keyturn(
            "plugin", "register", "pkcs11", plugin, "--environment", "SOFTHSM2_CONF", "--yes"
        ).expecting()
        try bench.declare(
            "hsm",
            """
            provider "hsm" {
                kind = "plugin", plugin = "pkcs11", environment = "SOFTHSM2_CONF", deadline = "60s", \(words)
            }
            """)
        _ = try await bench.sandbox.keyturn("rewrap", "main", "--to", "hsm", "--yes").expecting()
        let first = try bench.wraps()
        #expect(first.count == 1 && first.allSatisfy { $0.hasPrefix("hsm kek:") }, "\(first)")
        _ = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting()
        _ = try await bench.sandbox.keyturn("rewrap", "main", "--new-root", "--yes").expecting()
        #expect(try bench.wraps().isDisjoint(with: first))
        try await bench.readsBack()
        let (pin, folder) = (Data("1234-user".utf8), bench.sandbox.folder.path)
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            let data = FileManager.default.contents(atPath: folder + "/" + name) ?? Data()
            #expect(data.firstRange(of: pin) == nil, "the PIN stands in \(name)")
        }
    }
}
