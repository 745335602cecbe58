internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// Plugins that do not do as they should: the host goes on, and the call fails with the right code.
@Suite(.serialized)
struct HostilePluginTests {
    /// A way of misbehaving and what the host makes of it.
    struct Case: Sendable, CustomTestStringConvertible {
        let way: String
        let code: ProviderError.Code

        var testDescription: String { way }

        init(_ way: String, _ code: ProviderError.Code) {
            self.way = way
            self.code = code
        }
    }

    static let starts: [Case] = [
        Case("silent", .providerUnavailable), Case("exits-quietly", .providerUnavailable),
        Case("exits-126", .providerMisconfigured), Case("exits-127", .providerMisconfigured),
        Case("exits-1", .providerUnavailable), Case("dies-at-once", .providerUnavailable),
        Case("garbage-line", .providerMisconfigured), Case("endless-line", .providerMisconfigured),
        Case("binary-line", .providerMisconfigured), Case("control-characters", .providerMisconfigured),
        Case("no-common-version", .providerMisconfigured), Case("many-versions", .providerMisconfigured),
        Case("no-wrap", .providerMisconfigured), Case("wrong-types", .providerMisconfigured),
        Case("no-socket", .providerUnavailable), Case("file-for-socket", .providerMisconfigured),
        Case("link-for-socket", .providerMisconfigured), Case("dead-socket", .providerUnavailable),
        Case("greets-and-exits", .providerUnavailable), Case("closes-stdout", .providerUnavailable),
        Case("says-secret", .providerUnavailable), Case("replaces-socket", .providerUnavailable),
    ]

    static let wraps: [Case] = [
        Case("accepts-and-sleeps", .providerUnavailable), Case("accepts-and-closes", .providerUnavailable),
        Case("speaks-http1", .providerUnavailable), Case("random-frames", .providerUnavailable),
        Case("goaway", .providerUnavailable), Case("huge-frame", .providerUnavailable),
        Case("crash-mid-call", .providerUnavailable), Case("hang", .providerUnavailable),
        Case("empty-answer", .providerAnswerInvalid), Case("truncated-answer", .providerAnswerInvalid),
        Case("wrong-wire-types", .providerAnswerInvalid), Case("endless-varint", .providerAnswerInvalid),
        Case("huge-answer", .providerAnswerInvalid), Case("large-answer", .providerAnswerInvalid),
        Case("large-annotations", .providerAnswerInvalid), Case("million-annotations", .providerAnswerInvalid),
        Case("secret-annotation", .providerAnswerInvalid), Case("plaintext", .providerAnswerInvalid),
        Case("plaintext-inside", .providerAnswerInvalid), Case("empty-ciphertext", .providerAnswerInvalid),
        Case("no-key-id", .providerAnswerInvalid), Case("long-key-id", .providerAnswerInvalid),
        Case("key-id-with-newline", .providerAnswerInvalid), Case("key-id-with-escape", .providerAnswerInvalid),
        Case("key-id-not-utf8", .providerAnswerInvalid), Case("status-denied", .providerDenied),
        Case("status-unknown", .providerAnswerInvalid), Case("status-unavailable", .providerUnavailable),
        Case("status-not-found", .providerKeyUnknown), Case("status-exhausted", .providerAnswerInvalid),
        Case("status-with-base64", .providerAnswerInvalid), Case("status-with-hex", .providerAnswerInvalid),
        Case("status-with-url", .providerAnswerInvalid),
    ]

    static let unwraps: [Case] = [
        Case("unwraps-empty", .providerAnswerInvalid), Case("unwraps-too-much", .providerAnswerInvalid),
        Case("unwraps-megabyte", .providerAnswerInvalid),
    ]

    /// Ways that are no reason to fail a call.
    static let bearable = [
        "floods-stderr", "closes-stderr", "ignores-sigterm", "grandchild", "runaway", "leaks-descriptors",
        "eats-memory",
        "ignores-end", "tells-stderr",
    ]

    /// Ways of being rid of a guard.
    static let guardKillers = ["kills-guard", "kills-outer-guard", "kills-group"]

    /// Names for keys that make no sense one after the other, however each looks.
    static let names = ["flip-flops", "reused-key-id"]

    /// Names that only a run finds out, since a key may be turned at any time; see ``HostileRunTests``.
    static let namesInRuns = ["other-key-id", "wrong-key-id", "flip-flops"]

    /// What a host must bear, as it was asked for, and the way that is it.
    static let asked = [
        "crash mid-call": "crash-mid-call", "hang": "hang", "garbage handshake": "garbage-line",
        "endless handshake": "endless-line", "100 MiB answer": "huge-answer", "truncated protobuf": "truncated-answer",
        "wrong key id": "wrong-key-id", "flip-flopping key id": "flip-flops", "reused key id": "reused-key-id",
        "over-long key id": "long-key-id", "ciphertext equal to the plaintext": "plaintext",
        "ciphertext equal to an earlier one": "same-ciphertext", "other plaintext on unwrap": "unwraps-other",
        "annotations too large": "large-annotations", "stderr flood": "floods-stderr",
        "closed stderr": "closes-stderr", "ignored SIGTERM": "ignores-sigterm",
        "forked grandchild holding pipes": "grandchild", "stale socket": "dead-socket",
        "squatted path": "file-for-socket", "link in the path's place": "link-for-socket",
        "killed guard": "kills-guard",
    ]

    /// Answers that only a comparison with what was wrapped can find out.
    static let lies = ["unwraps-other", "unwraps-shorter", "unwraps-longer", "same-ciphertext"]

    @Test
    func thereAreManyWays() {
        let tried = (Self.starts + Self.wraps + Self.unwraps).map(\.way)
        let others = Self.bearable + Self.guardKillers + Self.names + Self.namesInRuns + Self.lies
        let overSessions = SessionTests.ways.map(\.way) + SessionTests.waysBesideOthers
        let ways = Set(tried + others + overSessions)
        #expect(ways.count >= 90 && Set(Self.asked.values).subtracting(ways) == [])
        print("hostile plugins: \(ways.count) ways")
    }

    @Test(arguments: starts)
    func whatDoesNotStartIsSaidToBeSo(_ hostile: Case) async throws {
        let host = try Host(hostile.way, handshake: hostile.code == .providerUnavailable ? 4 : 30)
        let error = try await Sample.failure { _ = try await host.provider.describeKey(Sample.call) }
        #expect(error.code == hostile.code, "\(error.message)")
        error.isFitToShow()
        await host.supervisor.stop()
    }

    @Test(arguments: wraps)
    func aWrapThatMakesNoSenseIsRefused(_ hostile: Case) async throws {
        let host = try Host(hostile.way, deadline: hostile.code == .providerUnavailable ? 4 : 30)
        try await host.refusesToWrap(hostile.code)
        await host.supervisor.stop()
        #expect(await host.supervisor.pid == nil)
    }

    @Test(arguments: unwraps)
    func anUnwrapThatMakesNoSenseIsRefused(_ hostile: Case) async throws {
        let host = try Host(hostile.way)
        try await host.refusesToUnwrap(hostile.code)
        await host.supervisor.stop()
    }

    @Test(arguments: lies)
    func whatComesBackChangedDoesNotEqual(_ way: String) async throws {
        let host = try Host(way)
        let binding = try Sample.binding
        _ = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        let material = SecretBytes(copying: Bytes(repeating: 9, count: 32))
        let wrapped = try await host.provider.wrap(material, binding: binding, Sample.call)
        let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
        let isSame = back.isEqual(to: material)
        #expect(!isSame)
        // The host compares, and lets no such process take over.
        let pid = await host.supervisor.pid
        let error = try await Sample.failure { try await host.supervisor.reload(settings: [:]) }
        #expect(error.code == .providerAnswerInvalid, "\(error.message)")
        #expect(await host.supervisor.pid == pid)
        await host.supervisor.stop()
    }

    @Test(arguments: names)
    func aKeyThatWasLeftDoesNotComeBack(way: String) async throws {
        let host = try Host(way)
        let binding = try Sample.binding
        let wrapped = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        let error = try await Sample.failure {
            for number in 0..<4 {
                if way == "reused-key-id" {
                    let call = ProviderCall(deadline: Sample.deadline, idempotencyKey: "turn-\(number)")
                    _ = try await host.provider.rotateKey(call)
                }
                _ = try await host.provider.describeKey(Sample.call)
            }
        }
        #expect(error.code == .providerAnswerInvalid && error.message.contains("went back"), "\(error.message)")
        // What was wrapped before is not lost by it.
        let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
        error.isFitToShow()
        await host.supervisor.stop()
    }

    @Test
    func aSlowStartIsNoSlowCall() async throws {
        let host = try Host("slow-start", handshake: 60, deadline: 2)
        #expect(try await host.provider.describeKey(Sample.call).id == "key-1")
        await host.supervisor.stop()
    }

    @Test
    func callsInHandAreAnsweredWhileAnotherProcessTakesOver() async throws {
        let host = try Host("late-for-nines")
        let binding = try Sample.binding
        try await host.supervisor.start()
        let old = await host.supervisor.pid
        let call = Task {
            let material = SecretBytes(copying: Bytes(repeating: 9, count: 32))
            return try await host.provider.wrap(material, binding: binding, Sample.call)
        }
        #expect(await Sample.eventually { await host.heard.lines.contains { $0.contains("late answer") } })
        try await host.supervisor.reload(settings: [:], patience: .seconds(60))
        #expect(try await call.value.providerKeyID == "key-1")
        #expect(await host.supervisor.pid != old)
        await host.supervisor.stop()
    }

    @Test
    func aProcessThatCannotUnwrapWhatIsStoredDoesNotTakeOver() async throws {
        let scratch = try HostScratch()
        let host = try Host("forgets-nines", variables: ["HOSTILE_MARK": scratch.file("mark")])
        let binding = try Sample.binding
        let material = SecretBytes(copying: Bytes(repeating: 9, count: 32))
        let wrapped = try await host.provider.wrap(material, binding: binding, Sample.call)
        let stored = [StoredKey(wrapped, boundTo: binding)]
        let pid = await host.supervisor.pid
        let error = try await Sample.failure { try await host.supervisor.reload(settings: [:], proving: stored) }
        #expect(error.message.contains("cannot unwrap what is stored under \"key-1\""), "\(error.message)")
        #expect(await host.supervisor.pid == pid)
        try FileManager.default.removeItem(atPath: scratch.file("mark"))
        try await host.supervisor.reload(settings: [:], proving: stored)
        #expect(await host.supervisor.pid != pid)
        await host.supervisor.stop()
    }

    @Test(arguments: bearable)
    func whatCanBeBorneIsBorne(_ way: String) async throws {
        let host = try Host(way)
        let binding = try Sample.binding
        let wrapped = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
        let pid = try #require(await host.supervisor.pid)
        let family = Processes.descendants(of: Processes.parent(of: pid) ?? 0)
        #expect(family.contains(pid) && family.count >= (["grandchild", "runaway"].contains(way) ? 2 : 1))
        let start = ContinuousClock.now
        await host.supervisor.stop()
        #expect(start.duration(to: .now) < .seconds(30))
        let isGone = await Sample.eventually { !family.contains(where: Sample.isAlive) }
        #expect(isGone, "\(family.filter(Sample.isAlive)) live on")
        let lines = await host.heard.lines
        #expect(lines.allSatisfy { !Sample.showsMaterial($0) })
        #expect(lines.count <= 100 * 60 && lines.allSatisfy { $0.count <= 1100 && !$0.contains("\u{1B}") })
    }

    /// The guards of a plugin, the outer one first.
    private static func guards(of plugin: pid_t) throws -> [pid_t] {
        let inner = try #require(Processes.parent(of: plugin))
        let outer = try #require(Processes.parent(of: inner))
        for process in [outer, inner] {
            let name = try String(contentsOfFile: "/proc/\(process)/cmdline", encoding: .utf8)
            #expect(name.hasPrefix("keyturn-plugin-guard"), "\(name)")
        }
        return [outer, inner]
    }

    @Test(arguments: guardKillers)
    func whoKillsItsGuardEndsWithAllThatItHasStarted(way: String) async throws {
        let host = try Host(way)
        let binding = try Sample.binding
        for _ in 0..<2 {
            #expect(try await host.provider.describeKey(Sample.call).id == "key-1")
            let plugin = try #require(await host.supervisor.pid)
            let guards = try Self.guards(of: plugin)
            let family = guards + Processes.descendants(of: guards[1])
            #expect(family.contains(plugin) && family.count == 4, "\(family)")
            let error = try await Sample.failure {
                _ = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
            }
            #expect(error.code == .providerUnavailable, "\(error.message)")
            let isGone = await Sample.eventually { !family.contains(where: Sample.isAlive) }
            #expect(isGone, "\(family.filter(Sample.isAlive)) live on")
        }
        await host.supervisor.stop()
    }

    @Test(arguments: [0, 1])
    func aGuardThatIsKilledIsReplacedWithItsPlugin(index: Int) async throws {
        let host = try Host("beside-a-guard")
        let binding = try Sample.binding
        let wrapped = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        let plugin = try #require(await host.supervisor.pid)
        let guards = try Self.guards(of: plugin)
        let family = guards + Processes.descendants(of: guards[1])
        #expect(family.count == 4, "\(family)")
        kill(guards[index], SIGKILL)
        #expect(await Sample.eventually { await host.supervisor.pid == nil && !family.contains(where: Sample.isAlive) })
        let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
        let again = try Self.guards(of: try #require(await host.supervisor.pid))
        #expect(Set(again).isDisjoint(with: guards))
        await host.supervisor.stop()
        #expect(await Sample.eventually { !again.contains(where: Sample.isAlive) })
    }

    @Test
    func aLateAnswerIsNotTakenForTheNextOne() async throws {
        let host = try Host("late", deadline: 1)
        let binding = try Sample.binding
        try await host.supervisor.start()
        let error = try await Sample.failure {
            _ = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        }
        #expect(error.code == .providerUnavailable)
        let patient = GuardedProvider(host.provider.inner, name: try Sample.name, deadline: .seconds(60))
        let material = SecretBytes(copying: Bytes(repeating: 9, count: 32))
        let call = ProviderCall(deadline: .seconds(60), idempotencyKey: "second")
        let wrapped = try await patient.wrap(material, binding: binding, call)
        let back = try await patient.unwrap(wrapped, binding: binding, call)
        let isSame = back.isEqual(to: material)
        #expect(isSame)
        await host.supervisor.stop()
    }

    @Test
    func whatEndsAgainAndAgainIsLeftAlone() async throws {
        let host = try Host("exits-1")
        var messages: [String] = []
        for _ in 0..<12 {
            let error = try await Sample.failure { try await host.supervisor.start() }
            messages.append(error.message)
            if error.message.contains("left alone") { break }
            try await Task.sleep(for: .milliseconds(300))
        }
        #expect(messages.last?.contains("left alone") == true, "\(messages)")
        await host.supervisor.stop()
    }

    @Test
    func exitCode127DoesNotLoop() async throws {
        let host = try Host("exits-127")
        let first = try await Sample.failure { try await host.supervisor.start() }
        let start = ContinuousClock.now
        let second = try await Sample.failure { try await host.supervisor.start() }
        #expect(first.message == second.message)
        // Nothing was started for the second answer.
        #expect(start.duration(to: .now) < .milliseconds(100))
    }
}

/// A host with one hostile plugin.
struct Host {
    let scratch: HostScratch
    let supervisor: PluginSupervisor
    let provider: GuardedProvider
    let heard = Heard()

    init(_ way: String, handshake: Int = 30, deadline: Int = 30, variables: [String: String] = [:]) throws {
        scratch = try HostScratch()
        var limits = ProcessLimits()
        limits.handshake = .seconds(handshake)
        var environment = HostScratch.environment.merging(variables) { $1 }
        environment["HOSTILE"] = way
        let heard = heard
        supervisor = PluginSupervisor(
            PluginLaunch(
                name: try Sample.name, file: try scratch.program("hostile-plugin"), sha256: nil,
                environment: environment, limits: limits, log: { _, line in Task { await heard.hear(line) } }))
        let inner = PluginProvider(name: try Sample.name, settings: [:], supervisor: supervisor)
        provider = GuardedProvider(inner, name: try Sample.name, deadline: .seconds(deadline))
    }
}

extension Host {
    /// Has it wrap, which must fail with a code.
    func refusesToWrap(_ code: ProviderError.Code) async throws {
        let binding = try Sample.binding
        let error = try await Sample.failure {
            _ = try await provider.wrap(Sample.material(), binding: binding, Sample.call)
        }
        #expect(error.code == code, "\(error.message)")
        error.isFitToShow()
    }

    /// Has it unwrap what it wrapped, which must fail with a code.
    func refusesToUnwrap(_ code: ProviderError.Code) async throws {
        let binding = try Sample.binding
        let wrapped = try await provider.wrap(Sample.material(), binding: binding, Sample.call)
        let error = try await Sample.failure { _ = try await provider.unwrap(wrapped, binding: binding, Sample.call) }
        #expect(error.code == code, "\(error.message)")
        error.isFitToShow()
    }
}

extension ProviderError {
    /// Expects that it is short, holds no control characters, and shows no key.
    fileprivate func isFitToShow() {
        let text = message + (hint ?? "")
        #expect(text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }, "\(text)")
        #expect(text.count < 1500)
        #expect(!Sample.showsMaterial(text) && !text.contains("QUJDQUJDQUJD"), "\(text)")
    }
}
