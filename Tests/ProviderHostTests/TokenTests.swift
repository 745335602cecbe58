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

    private func supervisor(
        _ environment: [String: String]? = nil, secret: SecretSource? = nil
    ) throws -> PluginSupervisor {
        PluginSupervisor(
            PluginLaunch(
                name: try Sample.name, file: try PluginFile(path: try scratch.built("keyturn-pkcs11")), sha256: nil,
                environment: environment ?? self.environment, secret: secret))
    }

    /// The settings of a provider whose PIN comes on a descriptor.
    private var settingsWithoutPIN: [String: String] { settings.filter { $0.key != "pin_file" } }

    /// A secret on a pipe, which gives its bytes once; it ends, or someone goes on holding its other end.
    private func secret(_ text: String, ends hasEnd: Bool = true) throws -> SecretSource {
        var ends: [Int32] = [-1, -1]
        guard Foundation.pipe(&ends) == 0 else { throw EndToEndError("no pipe") }
        let bytes = Array(text.utf8)
        guard write(ends[1], bytes, bytes.count) == bytes.count else { throw EndToEndError("the pipe is full") }
        if hasEnd { close(ends[1]) }
        let secrets = InheritedSecrets(on: [ends[0]], patience: hasEnd ? .seconds(30) : .milliseconds(300))
        return try SecretSource("\(ends[0])", in: secrets)
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
        for number in 0..<3 {
            let call = ProviderCall(deadline: Sample.deadline, idempotencyKey: "turn-\(number)")
            let new = try await provider.rotateKey(call)
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
    @Test(.enabled(if: FileManager.default.fileExists(atPath: spy), "no opensc-pkcs11"), arguments: [false, true])
    func aWrongPINIsTriedOnceHoweverManyAskAtOnce(onDescriptor: Bool) async throws {
        try "9999\n".write(toFile: scratch.file("pin"), atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: scratch.file("pin"))
        let spying = ["PKCS11SPY": Self.module, "PKCS11SPY_OUTPUT": scratch.file("calls")]
        let supervisor = try supervisor(
            environment.merging(spying) { $1 }, secret: onDescriptor ? try secret("9999\n") : nil)
        let chosen = onDescriptor ? settingsWithoutPIN : settings
        let provider = try provider(supervisor, chosen.merging(["module": Self.spy, "sessions": "16"]) { $1 })
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<32 {
                group.addTask {
                    let error = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
                    #expect(error.code == .providerMisconfigured && error.message.contains("PIN is wrong"))
                    #expect(!error.message.contains("9999") && error.hint?.contains("9999") != true)
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

    @Test(arguments: ["1234-user", "1234-user\n", "1234-user\r\n"])
    func aPINOnADescriptorServesEachProcessInTurn(text: String) async throws {
        let supervisor = try supervisor(secret: try secret(text))
        let provider = try provider(supervisor, settingsWithoutPIN)
        let binding = try Sample.binding
        let wrapped = try await provider.wrap(Sample.material(), binding: binding, Sample.call)
        for _ in 0..<2 {
            let pid = try #require(await supervisor.pid)
            let given = try Self.given(to: pid)
            #expect(!given.contains("1234-user") && given.contains("KEYTURN_PROVIDER_SECRET_FD=5"), "\(given)")
            kill(pid, SIGKILL)
            #expect(await Sample.eventually { await supervisor.pid == nil })
            let back = try await provider.unwrap(wrapped, binding: binding, Sample.call)
            let isSame = back.isEqual(to: Sample.material())
            #expect(isSame)
        }
        try await supervisor.reload(settings: settingsWithoutPIN)
        #expect(try await provider.describeKey(Sample.call).id == wrapped.providerKeyID)
        await supervisor.stop()
    }

    /// The arguments and the environment that a process was started with.
    private static func given(to pid: pid_t) throws -> String {
        try ["cmdline", "environ"].map { file in
            String(decoding: try Data(contentsOf: URL(filePath: "/proc/\(pid)/\(file)")), as: UTF8.self)
        }.joined(separator: "\0")
    }

    @Test
    func whatIsWrongWithADescriptorIsSaidOnceAndWithoutIt() async throws {
        let long = String(repeating: "7", count: 4000)
        let cases: [(String, Bool, [String: String], String)] = [
            ("", true, settingsWithoutPIN, "it holds nothing"),
            ("\n", true, settingsWithoutPIN, "no PIN of 1 to 255 bytes"),
            (long, true, settingsWithoutPIN, "no PIN of 1 to 255 bytes"),
            (long + long, true, settingsWithoutPIN, "more than 4096 bytes"),
            ("1234-user", false, settingsWithoutPIN, "did not end"),
            ("1234-user", true, settings, "both pin_file and secret_fd"),
        ]
        for (text, ends, settings, why) in cases {
            let supervisor = try supervisor(secret: try secret(text, ends: ends))
            let provider = try provider(supervisor, settings)
            for _ in 0..<2 {
                let error = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
                #expect(error.code == .providerMisconfigured && error.message.contains(why), "\(error.message)")
                let said = error.message + (error.hint ?? "")
                #expect(!said.contains("1234-user") && !said.contains("777"), "\(said)")
            }
            await supervisor.stop()
        }
        let supervisor = try supervisor()
        let provider = try provider(supervisor, settingsWithoutPIN)
        let error = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
        #expect(error.code == .providerMisconfigured && error.message.contains("there is no PIN"), "\(error.message)")
        await supervisor.stop()
        for text in ["", "x", "2", "-1", "1024", "99999999999", "3 "] {
            let error = try await Sample.failure { _ = try SecretSource(text, in: InheritedSecrets(on: [3])) }
            #expect(error.code == .providerMisconfigured && error.message.contains("is no descriptor"))
        }
        let absent = try await Sample.failure { _ = try SecretSource("7", in: InheritedSecrets(on: [3])) }
        #expect(absent.code == .providerMisconfigured && absent.message.contains("without a descriptor 7"))
    }

    @Test
    func aForgottenSecretIsReadByNobody() async throws {
        var ends: [Int32] = [-1, -1]
        #expect(Foundation.pipe(&ends) == 0 && write(ends[1], "1234", 4) == 4)
        close(ends[1])
        let secrets = InheritedSecrets(on: [ends[0]])
        let supervisor = try supervisor(secret: try SecretSource("\(ends[0])", in: secrets))
        secrets.forget()
        let error = try await Sample.failure { try await supervisor.start() }
        #expect(error.code == .providerUnavailable && error.message.contains("given up"), "\(error.message)")
        close(ends[0])
    }

    /// A daemon that is started with the PIN on a pipe, as a supervisor of services does it.
    @Test
    func aDaemonHandsThePINOnAndShowsItNowhere() async throws {
        let bench = try KeyBench()
        let sandbox = bench.sandbox
        sandbox.variables["SOFTHSM2_CONF"] = scratch.file("softhsm2.conf")
        sandbox.variables["KEYTURN_INSTANCE"] = sandbox.path("D")
        try await bench.begin()
        let (keyturn, pin) = (try BuiltProgram.keyturn(), scratch.file("pin"))
        let line = "exec \"$0\" serve --log-format json --log-level debug 3< <(cat \"$1\")"
        let daemon = try sandbox.program("/bin/bash", ["-c", line, keyturn, pin])
        #expect(await Sample.eventually(within: .seconds(60)) { daemon.errorSoFar.contains("\"listening\"") })
        let arguments = Task.detached { await DaemonProviderTests.argumentsSeen() }
        _ = try await sandbox.keyturn(
            "plugin", "register", "pkcs11", try scratch.built("keyturn-pkcs11"), "--environment", "SOFTHSM2_CONF",
            "--yes"
        ).expecting()
        let words = settingsWithoutPIN.map { "\($0.key) = \"\($0.value)\"" }.sorted().joined(separator: ", ")
        try bench.declare(
            "hsm",
            """
            provider "hsm" {
                kind = "plugin", plugin = "pkcs11", environment = "SOFTHSM2_CONF", secret_fd = 3, deadline = "60s",
                \(words)
            }
            """)
        _ = try await sandbox.keyturn("call", "configuration.load", "--yes").expecting()
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "hsm", "--yes").expecting()
        let shown = JSONValue(
            parsing: try await sandbox.keyturn("provider", "show", "hsm", "-o", "json").expecting().standardOutput)
        kill(pid_t(try #require(shown.result.process.integer)), SIGKILL)
        _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting()
        #expect(try bench.wraps().allSatisfy { $0.hasPrefix("hsm kek:") })
        _ = try await sandbox.keyturn("call", "audit.export", "--to-file", sandbox.path("audit")).expecting()
        arguments.cancel()
        try await bench.end(daemon)
        let without = try await sandbox.keyturn("provider", "describe", "hsm")
        #expect(without.exitCode != 0 && "\(without)".contains("without a descriptor 3"), "\(without)")
        let with = try await sandbox.run("/bin/sh", "-c", "exec \"$0\" provider describe hsm 3<\"$1\"", keyturn, pin)
        #expect(with.exitCode == 0 && with.standardOutput.contains("kek:"), "\(with)")

        var places = ["the arguments": Data(await arguments.value.utf8)]
        for name in try FileManager.default.subpathsOfDirectory(atPath: sandbox.folder.path) {
            places[name] = FileManager.default.contents(atPath: sandbox.path(name))
        }
        #expect(places.count > 20 && places["audit"] != nil)
        for (place, data) in places { #expect(data.firstRange(of: Data("1234-user".utf8)) == nil, "\(place)") }
        print("PIN on a descriptor: searched \(places.count) places")
    }

    @Test
    func theTrialForAuthorsTakesASecretToo() async throws {
        let sandbox = try Sandbox()
        sandbox.variables["SOFTHSM2_CONF"] = scratch.file("softhsm2.conf")
        let words = settingsWithoutPIN.sorted { $0.key < $1.key }.flatMap { ["--setting", "\($0.key)=\($0.value)"] }
        let line = "exec \"$0\" plugin test \"$@\" -o json 3<\"$PIN\""
        sandbox.variables["PIN"] = scratch.file("pin")
        let options = ["--environment", "SOFTHSM2_CONF", "--secret-fd", "3", "--deadline", "60s"]
        let arguments = ["-c", line, try BuiltProgram.keyturn(), try scratch.built("keyturn-pkcs11")] + options + words
        try await TrialTests.passes(try await sandbox.run("/bin/sh", arguments), atLeast: 20)
        // A PIN that is wrong is not tried by one process after the other.
        try "9999\n".write(toFile: scratch.file("pin"), atomically: true, encoding: .utf8)
        let wrong = try await sandbox.run("/bin/sh", arguments)
        #expect(wrong.exitCode == 2 && "\(wrong)".contains("PIN is wrong"), "\(wrong)")
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
        let all = first.union(try bench.wraps()).sorted()
        let listed = try await bench.sandbox.keyturn("provider", "versions", "hsm", "-o", "json").expecting().json
        #expect(listed.result.array.compactMap { $0.key.string.map { "hsm " + $0 } } == all)
        try await bench.readsBack()
        let (pin, folder) = (Data("1234-user".utf8), bench.sandbox.folder.path)
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            let data = FileManager.default.contents(atPath: folder + "/" + name) ?? Data()
            #expect(data.firstRange(of: pin) == nil, "the PIN stands in \(name)")
        }
    }
}
