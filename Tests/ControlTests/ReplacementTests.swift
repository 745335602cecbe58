import Control
import ControlStore
import KeyModel
import Synchronization
import Testing

/// What a service works by while its configuration and its providers are replaced.
struct ReplacementTests {
    /// Keeps whoever comes until it is opened.
    private final class Gate: Sendable {
        private let state = Mutex((isOpen: false, arrivals: 0))

        var arrivals: Int { state.withLock { $0.arrivals } }

        func open() { state.withLock { $0.isOpen = true } }

        func pass() async {
            state.withLock { $0.arrivals += 1 }
            while !state.withLock({ $0.isOpen }) { try? await Task.sleep(for: .milliseconds(5)) }
        }
    }

    private func started(_ bench: ControlBench) async throws -> InstanceService {
        bench.configure { $0.roles = [RoleDeclaration(role: "server_admin", users: ["me"], groups: [])] }
        let service = try bench.service(.daemon)
        try await service.start()
        try await service.session().call("configuration.load")
        return service
    }

    @Test func aSlowRefreshDoesNotBringBackWhatAnotherLoadTookAway() async throws {
        let bench = try await ControlBench()
        let service = try await started(bench)
        let gate = Gate()
        bench.whileTakingUp { [old = bench.configuration.hash] configuration in
            if configuration.hash == old { await gate.pass() }
        }
        let refresh = Task { await service.refreshProviders() }
        #expect(try await eventually { gate.arrivals == 1 })
        bench.configure { $0.roles = [RoleDeclaration(role: "server_admin", users: ["somebody"], groups: [])] }
        let session = try await service.session()
        let load = Task { try await session.call("configuration.load") }
        #expect(
            try await eventually {
                try await bench.control.read { try $0.configurationHash() } == bench.configuration.hash
            })
        gate.open()
        _ = try await load.value
        await refresh.value
        #expect(try await service.instance().configuration.hash == bench.configuration.hash)
        await service.refreshProviders()
        #expect(try await service.instance().configuration.hash == bench.configuration.hash)
        #expect(await controlError { _ = try await service.session() }?.codeName == "callerNotAllowed")
        await service.stop()
    }

    @Test func whatWasStoppedMeanwhileIsNotOpenedAgain() async throws {
        let bench = try await ControlBench()
        let service = try await started(bench)
        let gate = Gate()
        bench.whileTakingUp { _ in await gate.pass() }
        let refresh = Task { await service.refreshProviders() }
        #expect(try await eventually { gate.arrivals == 1 })
        await service.stop()
        gate.open()
        await refresh.value
        bench.configure { _ in }
        // Whoever asks now gets an instance that is opened anew, by the file as it stands.
        #expect(try await service.instance().configuration.hash == bench.configuration.hash)
        await service.stop()
    }
}
