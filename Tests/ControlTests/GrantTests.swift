import Control
import ControlStore
import Frames
import KeyModel
import Scripting
import Testing

struct GrantTests {
    private func granted(_ mentions: Set<String>) async throws -> (ControlBench, InstanceService, any ScriptHost) {
        let bench = try await ControlBench()
        let webhook = WebhookDeclaration(name: try Name("ops"), url: "https://x.example/", timeout: .seconds(1))
        bench.configure { configuration in
            configuration.mentions = mentions
            configuration.webhooks = [webhook]
            configuration.roles = [RoleDeclaration(role: "server_admin", users: ["me"], groups: [])]
        }
        let service = try bench.service(.daemon)
        try await service.start()
        try await service.session().call("configuration.load")
        let host = try await service.grantedHost(
            .hook, name: "before hook of run 1", client: ScriptedClient(), scope: CallScope())
        return (bench, service, host)
    }

    @Test func aHookCallsWhatWasGrantedAndNoMore() async throws {
        let (bench, service, host) = try await granted(["notify.webhook"])
        #expect(try await host.call("notify.webhook", ["ops", ["text": "hello"]])["status"] == 204)
        #expect(try await host.call("keyrings.list", []).list.count == 1, "looking needs no grant")
        let refused = await controlError { _ = try await host.call("commands.run", ["x"]) }
        #expect(refused?.codeName == "callerNotAllowed" && refused?.message.contains("not granted") == true)
        let log = try await bench.audit().suffix(3)
        #expect(log.map(\.kind) == [.intent, .outcome, .refusal] && log.allSatisfy { $0.way == "hook" })
        #expect(log.allSatisfy { $0.user == "before hook of run 1" })
        await service.stop()
    }

    @Test func withoutAGrantAHookOnlyLooks() async throws {
        let (_, service, host) = try await granted([])
        #expect(
            await controlError { _ = try await host.call("notify.webhook", ["ops"]) }?.codeName == "callerNotAllowed")
        #expect(try await host.call("runs.list", []).list.isEmpty)
        await service.stop()
    }
}
