import Control
import ControlStore
import Foundation
import Frames
import Testing

struct ConfirmationTests {
    private func adopted() async throws -> (ControlBench, InstanceService) {
        let bench = try await ControlBench()
        let service = try bench.service()
        try await service.session().call("rotations.adopt", "secret.value")
        return (bench, service)
    }

    private func runs(_ service: InstanceService) async throws -> Int {
        try await service.session().call("runs.list").value.list.count
    }

    @Test func whereNobodyCanBeAskedTheAnswerIsNo() async throws {
        let (bench, service) = try await adopted()
        let client = ScriptedClient("main")
        let session = try await service.session()
        let refused = await controlError {
            try await session.call("rotations.rotate", "main", confirmation: .ask, for: client)
        }
        #expect(refused?.codeName == "callerNotConfirmed" && refused?.status == 3)
        #expect(client.questions.isEmpty, "nobody is asked who is not there")
        #expect(try await runs(service) == 1)
        #expect(try await bench.audit().last?.result == .refused)
        await service.stop()
    }

    @Test(arguments: ["yes", "", "MAIN", "main ", "t"])
    func onlyTheNameItselfConfirms(answer: String) async throws {
        let (_, service) = try await adopted()
        let session = try await service.session(interactive: true)
        let client = ScriptedClient(answer)
        let refused = await controlError {
            try await session.call("rotations.rotate", "main", confirmation: .ask, for: client)
        }
        #expect(refused?.codeName == "callerNotConfirmed" && client.questions.count == 1)
        #expect(try await runs(service) == 1)
        let right = ScriptedClient("main")
        #expect(try await session.call("rotations.rotate", "main", confirmation: .ask, for: right).isGood)
        #expect(right.questions.first?.text.contains("Type \"main\"") == true)
        #expect(right.events.contains { if case .review = $0 { true } else { false } }, "the plan is shown before")
        await service.stop()
    }

    @Test func aPlanIsAppliedAsItWasReviewedAndOnce() async throws {
        let (_, service) = try await adopted()
        let session = try await service.session()
        let plan = try await session.call("rotations.plan", "main").value
        #expect(plan["hash"]?.text?.count == 64)
        #expect(try await session.call("rotations.apply", plan).value["summary"]?["planHash"] == plan["hash"])
        let again = await controlError { try await session.call("rotations.apply", plan) }
        #expect(again?.codeName == "callerPlanStale" && again?.status == 3)
        #expect(try await runs(service) == 2)
        await service.stop()
    }

    @Test func twoConsolesCannotConfirmOnePlan() async throws {
        let (_, service) = try await adopted()
        let sessions = [try await service.session(), try await service.session()]
        let plan = try await sessions[0].call("rotations.plan", "main").value
        let codes = await withTaskGroup(of: String?.self) { group in
            for session in sessions {
                group.addTask { await controlError { try await session.call("rotations.apply", plan) }?.codeName }
            }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(codes.count { $0 == nil } == 1, "\(codes)")
        #expect(try await runs(service) == 2)
        await service.stop()
    }

    @Test func aPlanWhoseStateMovedIsStale() async throws {
        let (_, service) = try await adopted()
        let session = try await service.session()
        let plan = try await session.call("rotations.plan", "main").value
        try await session.call("rotations.rotate", "main")
        guard case .map(var unknown) = plan else { throw ControlError(.callerUsage, "no map") }
        unknown["token"] = nil
        let stale = await controlError { try await session.call("rotations.apply", .map(unknown)) }
        #expect(stale?.codeName == "callerPlanStale", "a plan of another process counts by its hash alone")
        #expect(try await runs(service) == 2)
        await service.stop()
    }

    @Test func aHashInsistsOnWhatWasReviewed() async throws {
        let (_, service) = try await adopted()
        let session = try await service.session()
        let hash = try #require(try await session.call("rotations.plan", "main").value["hash"]?.text)
        let other = Control.Confirmation.plan(hash: String(hash.reversed()))
        #expect(
            await controlError { try await session.call("rotations.rotate", "main", confirmation: other) }?.codeName
                == "callerPlanStale")
        #expect(
            await controlError {
                try await session.call("rotations.rotate", named: ["keyring": "main", "plan": "12"])
            }?.codeName
                == "callerPlanStale")
        #expect(try await session.call("rotations.rotate", "main", confirmation: .plan(hash: hash)).isGood)
        #expect(try await runs(service) == 2)
        await service.stop()
    }

    @Test(arguments: [["plan": 1], ["arguments": ["kind": "rotate"]], [:]] as [FrameValue])
    func whatIsNoPlanIsRefused(value: FrameValue) async throws {
        let (_, service) = try await adopted()
        let error = await controlError { try await service.session().call("rotations.apply", named: ["plan": value]) }
        #expect(error?.codeName == "callerUsage", "\(String(describing: error))")
        await service.stop()
    }

    @Test func pausingAsksNobody() async throws {
        let (_, service) = try await adopted()
        let error = await controlError {
            try await service.session().call("runs.pause", 1, confirmation: .ask)
        }
        #expect(error?.codeName == "callerRunState", "it is over, but nobody was asked")
        await service.stop()
    }

    @Test func aConfigurationThatIsNewIsGrantedOnce() async throws {
        let (bench, service) = try await adopted()
        bench.configure { $0.mentions = ["notify.webhook", "string.rep", "runs.list", "commands.run", "nothing"] }
        let session = try await service.session(interactive: true)
        let client = ScriptedClient("load")
        let loaded = try await session.call("configuration.load", confirmation: .ask, for: client)
        #expect(loaded.value["granted"] == ["commands.run", "notify.webhook"], "reads need no grant, other names none")
        #expect(client.questions.first?.text.contains("may call commands.run, notify.webhook") == true)
        let shown = try await session.call("configuration.show").value
        #expect(shown["granted"] == ["commands.run", "notify.webhook"] && shown["fileHasChanged"] == false)
        #expect(try await bench.audit().last?.detail?.contains("granted commands.run, notify.webhook") == true)
        bench.configure { $0.database = .sqlite(path: "/elsewhere.db") }
        #expect(
            await controlError { try await session.call("configuration.load") }?.message.contains("another database")
                == true)
        await service.stop()
    }
}
