internal import Foundation
internal import KeyModel
package import PluginConformance
package import PluginKit

/// Tries a plugin's file from outside: how it starts, answers, and ends; part of `keyturn plugin test`.
///
/// What its answers must keep to is `ProviderConformance`'s; this is what only a process can show.
package struct PluginTrial: Sendable {
    private let launch: PluginLaunch
    private let settings: [String: String]
    private let deadline: Duration
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
    package init(_ launch: PluginLaunch, settings: [String: String], deadline: Duration = .seconds(10)) {
        self.launch = launch
        self.settings = settings
        self.deadline = deadline
    }

    /// Runs every check, whatever the others give, in a fixed order.
    package func run(binding: WrapBinding) async -> [ConformanceResult] {
        [
            await check("its file may be executed") { _ = try launch.file.load(expecting: launch.sha256) },
            await check("it greets, and says the same of itself over the wire", greets),
            await check("it ends when it is asked to, within 2 s") { try await ends { await $0.stop() } },
            await check("it ends when its standard input ends, within 2 s") {
                try await ends { await $0.letGo() }
            },
            await check("it ends on SIGTERM, within 2 s") {
                try await ends { supervisor in if let pid = await supervisor.pid { kill(pid, SIGTERM) } }
            },
            await check("killed and started again, it unwraps what it had wrapped") { try await survives(binding) },
            await check("two of it do not disturb each other") { try await twoAtOnce(binding) },
            await check("an unknown setting is refused as such") { try await unknownSetting(binding) },
            await check("garbage on its socket does not end it") { try await garbage(binding) },
            await check("500 wraps leave no descriptors behind") { try await leaks(binding) },
            await check("no key stands in what it says on standard error") { try await keepsQuiet() },
        ]
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

    private func ends(_ body: (PluginSupervisor) async throws -> Void) async throws {
        try await with { supervisor in
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

    private func descriptors(of supervisor: PluginSupervisor) async throws -> Int {
        guard let pid = await supervisor.pid else { throw Finding("it runs no more") }
        return try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
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
