import Control
import ControlStore
import Foundation
import Frames
import Testing

struct RoleTests {
    private func bench() async throws -> ControlBench {
        let bench = try await ControlBench()
        bench.configure { configuration in
            configuration.roles = [
                RoleDeclaration(role: "viewer", users: ["vera"], groups: []),
                RoleDeclaration(role: "operator", users: ["otto"], groups: ["ops"]),
                RoleDeclaration(role: "server_admin", users: ["me"], groups: []),
            ]
        }
        return bench
    }

    @Test func aRoleLetsDoWhatItLetsDoAndNoMore() async throws {
        let bench = try await bench()
        let service = try bench.service()
        let vera = try await service.session(.other("vera"))
        #expect(
            try await vera.call("keyrings.list").value.list.isEmpty, "the configuration was not taken up for a viewer")
        let refused = await controlError { try await vera.call("rotations.rotate", "main") }
        #expect(refused?.codeName == "callerNotAllowed" && refused?.status == 2)
        let otto = try await service.session(.other("olga", groups: ["ops"]))
        #expect(
            await controlError { try await otto.call("rotations.adopt", "secret.value") }?.codeName
                == "callerNotAllowed")
        try await service.session().call("rotations.adopt", "secret.value")
        #expect(try await otto.call("rotations.rotate", "main").isGood)
        let log = try await bench.audit()
        let refusals = log.filter { $0.kind == .refusal }
        #expect(refusals.map(\.call) == ["rotations.rotate", "rotations.adopt"])
        #expect(refusals.map(\.user) == ["vera", "olga"] && refusals.allSatisfy { $0.uid == 4_000_000 })
        #expect(refusals.allSatisfy { $0.result == .refused && $0.detail?.contains("needs the role") == true })
        await service.stop()
    }

    @Test func beingRefusedDoesNotFillTheLog() async throws {
        let bench = try await bench()
        let service = try bench.service()
        let vera = try await service.session(.other("vera"))
        for _ in 0..<70 { _ = await controlError { try await vera.call("runs.pause", 1) } }
        let count = try await bench.audit().count { $0.kind == .refusal }
        #expect((60..<70).contains(count), "\(count)")
        await service.stop()
    }

    @Test func nobodyGetsInWithoutARole() async throws {
        let bench = try await bench()
        let service = try bench.service(.daemon)
        try await service.start()
        let refused = await controlError { _ = try await service.session(.other("mallory")) }
        #expect(refused?.codeName == "callerNotAllowed")
        #expect(try await bench.audit().last?.call == "session.open")
        _ = try await service.session(.other("vera"))
        await service.stop()
    }

    @Test func withoutRolesOnlyRootAndTheOwnerMayDoAnything() async throws {
        let bench = try await ControlBench()
        let service = try bench.service()
        let other = try await service.session(.other("vera"))
        #expect(await controlError { try await other.call("status") }?.codeName == "callerNotAllowed")
        #expect(try await service.session().call("status").value["instance"] == "instance-1")
        await service.stop()
    }

    @Test func applyingAPlanNeedsTheRoleOfItsKind() async throws {
        let bench = try await bench()
        let service = try bench.service()
        let admin = try await service.session()
        try await admin.call("keyrings.list")
        let plan = try await admin.call(
            "rotations.plan", named: ["keyring": "main", "kind": "adopt", "columns": "secret.value"]
        ).value
        let otto = try await service.session(.other("otto"))
        #expect(await controlError { try await otto.call("rotations.apply", plan) }?.codeName == "callerNotAllowed")
        #expect(try await bench.audit().contains { $0.kind == .outcome && $0.result == .refused })
        #expect(try await admin.call("rotations.apply", plan).isGood)
        await service.stop()
    }
}
