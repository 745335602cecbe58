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

    @Test(arguments: [
        "configuration.load", "keyrings.approve", "keyrings.recover", "keyrings.erase", "byok.save", "recover",
    ])
    func whatIsForPeopleIsGrantedToNobody(name: String) async throws {
        let bench = try await ControlBench()
        bench.configure { $0.mentions = [name, "runs.pause"] }
        let called = Entry(
            name, "Test", example: "", result: "nothing", role: .viewer, effect: .adds, handler: { _ in Answer(.null) })
        let service = try bench.service(
            .daemon,
            api: API.builtIn.filter { $0.name != name || name == "configuration.load" }
                + (name == "configuration.load" ? [] : [called]))
        try await service.start()
        let loaded = try await service.session().call("configuration.load")
        #expect(loaded.value["granted"] == ["runs.pause"])
        // A grant of before that names it is of no use either.
        let hash = bench.configuration.hash
        try await bench.control.write { session in
            try session.record(
                GrantRecord(configurationHash: hash, calls: [name], actor: "x", at: ControlBench.now()))
        }
        for way in [Peer.Way.hook, .schedule] {
            let host = try await service.grantedHost(way, name: "x", client: ScriptedClient(), scope: CallScope())
            let refused = await controlError { _ = try await host.call(name, []) }
            #expect(refused?.codeName == "callerNotAllowed" && refused?.message.contains("people alone") == true)
            let direct = try await service.session(.me(way))
            #expect(await controlError { try await direct.call(name) }?.codeName == "callerNotAllowed")
        }
        for way in [Peer.Way.console, .call, .script] where name != "recover" {
            #expect(await controlError { try await service.session(.me(way)).call(name) } == nil, "\(way)")
        }
        await service.stop()
    }

    @Test func whatNobodyLooksAtGrantsNothingNew() async throws {
        let (bench, service, _) = try await granted(["notify.webhook"])
        bench.configure { $0.mentions = ["notify.webhook", "commands.run"] }
        let client = ScriptedClient()
        let loaded = try await service.session().call("configuration.load", named: ["grant": false], for: client)
        #expect(loaded.value["granted"] == ["notify.webhook"] && loaded.value["notGranted"] == ["commands.run"])
        #expect(client.events.contains(.warning("not granted: commands.run")))
        let seen = try await service.session().call("configuration.load")
        #expect(seen.value["granted"] == ["commands.run", "notify.webhook"])
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
