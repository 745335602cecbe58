internal import Foundation
internal import KeyModel
package import PluginConformance
package import PluginKit
internal import PluginWire

/// Tries a plugin's file from outside: how it starts, answers, and ends; part of `keyturn plugin test`.
///
/// What its answers must keep to is `ProviderConformance`'s; this is what only a process can show.
package struct PluginTrial: Sendable {
    private let launch: PluginLaunch
    private let settings: [String: String]
    private let deadline: Duration
    private let turnsKeys: Bool
    private let usesSession: Bool
    private let heard = Heard()

    /// What the plugin wrote on standard error.
    private actor Heard {
        private(set) var lines: [String] = []
        private(set) var count = 0

        func hear(_ line: String) {
            count += 1
            if lines.count < 10_000 { lines.append(line) }
        }
    }

    /// Makes a trial.
    ///
    /// - Parameters:
    ///   - launch: How the plugin is run.
    ///   - settings: The settings of the provider to try.
    ///   - deadline: The time that each call is allowed.
    ///   - turnsKeys: Whether the plugin is asked for a new key; only where it can make one.
    ///   - usesSession: Whether its answers over a session are tried; only where it offers one.
    package init(
        _ launch: PluginLaunch, settings: [String: String], deadline: Duration = .seconds(10), turnsKeys: Bool = true,
        usesSession: Bool = true
    ) {
        self.launch = launch
        self.settings = settings
        self.deadline = deadline
        self.turnsKeys = turnsKeys
        self.usesSession = usesSession
    }

    /// Runs the checks, whatever the others give, in a fixed order.
    ///
    /// - Parameters:
    ///   - binding: What throw-away keys are bound to.
    ///   - isWanted: Which checks, by their names.
    /// - Returns: What each check found.
    package func run(
        binding: WrapBinding, where isWanted: (String) -> Bool = { _ in true }
    ) async -> [ConformanceResult] {
        var results: [ConformanceResult] = []
        for (name, body) in checks(binding) where isWanted(name) { results.append(await check(name, body)) }
        return results
    }

    private func checks(_ binding: WrapBinding) -> [(String, () async throws -> Void)] {
        let checks: [(String, () async throws -> Void)] = [
            ("its file may be executed", { _ = try launch.file.load(expecting: launch.sha256) }),
            ("it greets, and says the same of itself over the wire", greets),
            ("it greets a host that speaks newer versions too", greetsNewerHosts),
            ("it ends when it is asked to, within 2 s", { try await ends(binding) { await $0.stop() } }),
            ("it ends when its standard input ends, within 2 s", { try await ends(binding) { await $0.letGo() } }),
            (
                "it ends on SIGTERM, within 2 s",
                { try await ends(binding) { supervisor in if let pid = await supervisor.pid { kill(pid, SIGTERM) } } }
            ),
            ("killed and started again, it unwraps what it had wrapped", { try await survives(binding) }),
            ("two of it do not disturb each other", { try await twoAtOnce(binding) }),
            ("an unknown setting is refused as such", { try await unknownSetting(binding) }),
            ("garbage on its socket does not end it", { try await garbage(binding) }),
            ("messages that are none are refused and do not end it", { try await malformed(binding) }),
            ("calls that are given up disturb no others", { try await givenUp(binding) }),
            ("500 wraps leave no descriptors behind", { try await leaks(binding) }),
            ("1000 wraps leave no memory behind", { try await leaksMemory(binding) }),
            ("it does not talk while nobody asks it", silence),
            ("no key stands in what it says on standard error", keepsQuiet),
        ]
        let ofSessions = ("over a session answers are those of single calls", { try await agrees(binding) })
        let ofNewKeys = ("killed after it made a new key, it wraps with that", { try await keepsNewKey(binding) })
        return checks + (usesSession ? [ofSessions] : []) + (turnsKeys ? [ofNewKeys] : [])
    }

    private func supervisor() -> PluginSupervisor {
        var launch = launch
        launch.log = { [heard] _, line in Task { await heard.hear(line) } }
        return PluginSupervisor(launch)
    }

    private func provider(_ supervisor: PluginSupervisor, _ settings: [String: String]? = nil) -> GuardedProvider {
        let inner = PluginProvider(name: launch.name, settings: settings ?? self.settings, supervisor: supervisor)
        return GuardedProvider(inner, name: launch.name, deadline: deadline)
    }

    private func greets() async throws {
        try await with { supervisor in
            let greeting = await supervisor.greeting
            let info = try await provider(supervisor).info()
            try expect(
                greeting?.kind == info.kind && greeting?.version == info.version,
                "it says \(info) and \(greeting as Any)")
        }
    }

    private func greetsNewerHosts() async throws {
        var launch = launch
        launch.environment[Handshake.protocolsVariable] = "1,2,99"
        let supervisor = PluginSupervisor(launch)
        do {
            try await supervisor.start()
        } catch {
            await supervisor.stop()
            throw error
        }
        await supervisor.stop()
    }

    private func ends(
        _ binding: WrapBinding, _ body: (PluginSupervisor) async throws -> Void
    ) async throws {
        try await with { supervisor in
            // An open session is no reason to stay.
            if await supervisor.offersSession {
                _ = try await provider(supervisor).wrap(Self.material, binding: binding, call)
            }
            guard let pid = await supervisor.pid else { throw Finding("it runs no more") }
            let start = ContinuousClock.now
            try await body(supervisor)
            while await supervisor.pid != nil || kill(pid, 0) == 0, start.duration(to: .now) < .seconds(4) {
                try await Task.sleep(for: .milliseconds(20))
            }
            let time = start.duration(to: .now)
            try expect(time < .seconds(2) && kill(pid, 0) != 0, "it takes \(time.components.seconds) s and more")
        }
    }

    private func survives(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            let provider = provider(supervisor)
            let wrapped = try await provider.wrap(Self.material, binding: binding, call)
            guard let pid = await supervisor.pid else { throw Finding("it runs no more") }
            kill(pid, SIGKILL)
            while await supervisor.pid == pid { try await Task.sleep(for: .milliseconds(10)) }
            let back = try await provider.unwrap(wrapped, binding: binding, call)
            try expect(back.isEqual(to: Self.material), "the key comes back as another")
        }
    }

    private func keepsNewKey(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            let provider = provider(supervisor)
            let old = try await provider.wrap(Self.material, binding: binding, call)
            let new = try await provider.rotateKey(call).id
            guard let pid = await supervisor.pid else { throw Finding("it runs no more") }
            kill(pid, SIGKILL)
            while await supervisor.pid == pid { try await Task.sleep(for: .milliseconds(10)) }
            let wrapped = try await provider.wrap(Self.material, binding: binding, call)
            try expect(
                wrapped.providerKeyID == new, "it wraps with \(quoted(wrapped.providerKeyID)), not \(quoted(new))")
            for key in [old, wrapped] {
                let back = try await provider.unwrap(key, binding: binding, call)
                try expect(back.isEqual(to: Self.material), "the key comes back as another")
            }
        }
    }

    private func twoAtOnce(_ binding: WrapBinding) async throws {
        try await with { first in
            try await with { second in
                let wrapped = try await provider(first).wrap(Self.material, binding: binding, call)
                let back = try await provider(second).unwrap(wrapped, binding: binding, call)
                try expect(back.isEqual(to: Self.material), "the key comes back as another")
            }
        }
    }

    private func unknownSetting(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            let provider = provider(supervisor, settings.merging(["no-such-setting": "1"]) { old, _ in old })
            do {
                _ = try await provider.describeKey(call)
            } catch let error as ProviderError where error.code == .providerMisconfigured {
                return
            }
            throw Finding("it is not refused with FAILED_PRECONDITION")
        }
    }

    private func garbage(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            let provider = provider(supervisor)
            _ = try await provider.describeKey(call)
            let before = await supervisor.pid
            for bytes in [Data(repeating: 0xFF, count: 4096), Data("GET / HTTP/1.1\r\n\r\n".utf8), Data()] {
                try await supervisor.sendRaw(bytes)
            }
            let wrapped = try await provider.wrap(Self.material, binding: binding, call)
            let back = try await provider.unwrap(wrapped, binding: binding, call)
            try expect(back.isEqual(to: Self.material), "the key comes back as another")
            try expect(await supervisor.pid == before, "it was ended by it")
        }
    }

    private func malformed(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            let provider = provider(supervisor)
            _ = try await provider.describeKey(call)
            let before = await supervisor.pid
            for message in MalformedMessage.all {
                let isAnswered = try await message.isAnswered(over: try await supervisor.connection(), within: deadline)
                try expect(!isAnswered, "\(message.name) is answered as if it made sense")
            }
            let wrapped = try await provider.wrap(Self.material, binding: binding, call)
            let back = try await provider.unwrap(wrapped, binding: binding, call)
            try expect(back.isEqual(to: Self.material), "the key comes back as another")
            try expect(await supervisor.pid == before, "it was ended by it")
        }
    }

    private func givenUp(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            // Without what stands before a provider, which would hold calls back once some have failed.
            let provider = PluginProvider(name: launch.name, settings: settings, supervisor: supervisor)
            _ = try await provider.describeKey(call)
            let before = await supervisor.pid
            for number in 0..<20 as Range<UInt8> {
                let hurried = ProviderCall(deadline: .milliseconds(1), idempotencyKey: "trial-\(UUID().uuidString)")
                let lost = SecretBytes(copying: [UInt8](repeating: 200 + number, count: 32))
                do throws(ProviderError) {
                    _ = try await provider.wrap(lost, binding: binding, hurried)
                } catch {
                    guard error.code == .providerUnavailable else { throw error }
                }
                let material = SecretBytes(copying: [UInt8](repeating: number, count: 32))
                let wrapped = try await provider.wrap(material, binding: binding, call)
                let back = try await provider.unwrap(wrapped, binding: binding, call)
                try expect(back.isEqual(to: material), "another key comes back after a call that was given up")
            }
            try expect(await supervisor.pid == before, "it was ended by it")
        }
    }

    private func agrees(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            try expect(await supervisor.offersSession, "it offers none")
            let pair = [true, false].map { usesSession in
                PluginProvider(name: launch.name, settings: settings, source: supervisor, usesSession: usesSession)
            }
            for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let wrapped = try await one.wrap(Self.material, binding: binding, call)
                let back = try await other.unwrap(wrapped, binding: binding, call)
                try expect(back.isEqual(to: Self.material), "the key comes back as another")
                var changed = wrapped.ciphertext
                changed[changed.count - 1] ^= 1
                let wrong = WrappedKey(
                    ciphertext: changed, providerKeyID: wrapped.providerKeyID, annotations: wrapped.annotations)
                let codes = await (code(of: wrong, from: one, binding), code(of: wrong, from: other, binding))
                try expect(codes.0 == codes.1, "a changed key fails in one way as in no other")
            }
        }
    }

    /// What unwrapping fails with; nil where it does not.
    private func code(
        of wrapped: WrappedKey, from provider: PluginProvider, _ binding: WrapBinding
    ) async -> ProviderError.Code? {
        do throws(ProviderError) { _ = try await provider.unwrap(wrapped, binding: binding, call) } catch {
            return error.code
        }
        return nil
    }

    private func leaks(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            let provider = provider(supervisor)
            for _ in 0..<20 { _ = try await provider.wrap(Self.material, binding: binding, call) }
            let before = try await descriptors(of: supervisor)
            for _ in 0..<500 { _ = try await provider.wrap(Self.material, binding: binding, call) }
            let after = try await descriptors(of: supervisor)
            try expect(after <= before + 4, "it had \(before) open and has \(after)")
        }
    }

    private func leaksMemory(_ binding: WrapBinding) async throws {
        try await with { supervisor in
            let provider = provider(supervisor)
            for _ in 0..<200 { _ = try await provider.wrap(Self.material, binding: binding, call) }
            let before = try await figure("VmRSS:", of: supervisor)
            for _ in 0..<1000 { _ = try await provider.wrap(Self.material, binding: binding, call) }
            let after = try await figure("VmRSS:", of: supervisor)
            try expect(after <= before + 24_576, "it had \(before) KiB and has \(after)")
        }
    }

    /// The open descriptors, or where that is no concern of ours, the places for them.
    private func descriptors(of supervisor: PluginSupervisor) async throws -> Int {
        guard let pid = await supervisor.pid else { throw Finding("it runs no more") }
        do {
            return try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
        } catch {
            return try await figure("FDSize:", of: supervisor)
        }
    }

    /// A number that the system tells of the process.
    private func figure(_ name: String, of supervisor: PluginSupervisor) async throws -> Int {
        guard let pid = await supervisor.pid else { throw Finding("it runs no more") }
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
    }

    private func silence() async throws {
        try await with { supervisor in
            _ = try await provider(supervisor).describeKey(call)
            let before = await heard.count
            try await Task.sleep(for: .seconds(1))
            let count = await heard.count - before
            try expect(count <= 10, "it says \(count) lines in 1 s")
        }
    }

    private func keepsQuiet() async throws {
        let secret = Self.material.withExposedBytes { Data($0) }
        let hexadecimal = secret.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        let shows = await heard.lines.contains { line in
            line.contains("characters hidden") || line.contains(secret.base64EncodedString())
                || line.contains(hexadecimal)
        }
        try expect(!shows, "a line holds what looks like a key")
    }

    private var call: ProviderCall { ProviderCall(deadline: deadline, idempotencyKey: "trial-\(UUID().uuidString)") }

    private static var material: SecretBytes {
        SecretBytes(copying: (0..<32).map { UInt8(truncatingIfNeeded: $0 &* 29 &+ 3) })
    }

    private func with(_ body: (PluginSupervisor) async throws -> Void) async throws {
        let supervisor = supervisor()
        do {
            try await supervisor.start()
            try await body(supervisor)
        } catch {
            await supervisor.stop()
            throw error
        }
        await supervisor.stop()
    }

    private func expect(_ condition: Bool, _ reason: @autoclosure () -> String) throws(Finding) {
        guard condition else { throw Finding(reason()) }
    }

    private func check(_ name: String, _ body: () async throws -> Void) async -> ConformanceResult {
        do {
            try await body()
            return ConformanceResult(name: name, failure: nil)
        } catch let finding as Finding {
            return ConformanceResult(name: name, failure: finding.reason)
        } catch let error as ProviderError {
            return ConformanceResult(name: name, failure: "\(error.code.rawValue): \(error.message)")
        } catch {
            return ConformanceResult(name: name, failure: "\(error)")
        }
    }

    /// Why a check fails.
    private struct Finding: Error {
        let reason: String

        init(_ reason: String) { self.reason = reason }
    }
}
