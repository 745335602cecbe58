internal import Foundation
internal import KeyModel
internal import PluginConformance
internal import PluginKit
internal import ProviderHost
internal import Testing

/// The example plugin in a process of its own, from its start to its end.
@Suite(.serialized)
struct ExampleProviderTests {
    private let scratch: HostScratch
    private let supervisor: PluginSupervisor
    private let provider: GuardedProvider

    init() throws {
        scratch = try HostScratch()
        supervisor = PluginSupervisor(
            PluginLaunch(name: try Sample.name, file: try scratch.example(), sha256: nil))
        let inner = PluginProvider(
            name: try Sample.name, settings: ["directory": try scratch.directory("keys")], supervisor: supervisor)
        provider = GuardedProvider(inner, name: try Sample.name, deadline: Sample.deadline)
    }

    @Test
    func itKeepsWhatAProviderPromises() async throws {
        let results = await ProviderConformance(provider, binding: try Sample.binding).run()
        #expect(results.filter { !$0.isPass }.map(\.description) == [])
        #expect(results.count >= 9)
        await supervisor.stop()
    }

    @Test
    func aNewKeyWrapsAndTheOldOneUnwraps() async throws {
        let wrapped = try await provider.wrap(Sample.material(), binding: try Sample.binding, Sample.call)
        let new = try await provider.rotateKey(Sample.call)
        #expect(new.id != wrapped.providerKeyID)
        let again = try await provider.wrap(Sample.material(), binding: try Sample.binding, Sample.call)
        #expect(again.providerKeyID == new.id)
        let back = try await provider.unwrap(wrapped, binding: try Sample.binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
        await supervisor.stop()
    }

    @Test
    func settingsAreChecked() async throws {
        let name = try Sample.name
        let binding = try Sample.binding
        for settings in [[:], ["directory": scratch.path, "direktory": "x"], ["directory": "/nowhere"]] {
            let inner = PluginProvider(name: name, settings: settings, supervisor: supervisor)
            let error = try await Sample.failure {
                _ = try await inner.wrap(Sample.material(), binding: binding, Sample.call)
            }
            #expect(error.code == .providerMisconfigured && error.hint != nil, "\(error.message)")
        }
        await supervisor.stop()
    }

    @Test
    func aKilledProcessIsStartedAgain() async throws {
        let wrapped = try await provider.wrap(Sample.material(), binding: try Sample.binding, Sample.call)
        let first = try #require(await supervisor.pid)
        kill(first, SIGKILL)
        #expect(await Sample.eventually { await supervisor.pid == nil })
        let back = try await provider.unwrap(wrapped, binding: try Sample.binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
        #expect(await supervisor.pid != first)
        await supervisor.stop()
    }

    @Test
    func itEndsWhenItIsStopped() async throws {
        try await supervisor.start()
        let pid = try #require(await supervisor.pid)
        let start = ContinuousClock.now
        await supervisor.stop()
        #expect(!Sample.isAlive(pid))
        #expect(start.duration(to: .now) < .seconds(15))
        let error = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
        #expect(error.code == .providerUnavailable)
    }

    @Test
    func ofItsEnvironmentItSeesOnlyWhatIsGiven() async throws {
        try await supervisor.start()
        let pid = try #require(await supervisor.pid)
        let text = try Data(contentsOf: URL(filePath: "/proc/\(pid)/environ"))
        let names = Set(
            text.split(separator: 0).compactMap { String(decoding: $0, as: UTF8.self).split(separator: "=").first })
        #expect(names == ["LANG", "PATH", "KEYTURN_PROVIDER_PROTOCOLS", "KEYTURN_PROVIDER_SOCKET"])
        let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
        #expect(descriptors < 30)
        #expect(getpgid(pid) != getpgid(0) && getpgid(pid) > 0)
        await supervisor.stop()
    }
}
