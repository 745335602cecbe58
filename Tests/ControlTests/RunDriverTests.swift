import Control
import ControlStore
import Foundation
import Frames
import Rotation
import Synchronization
import Testing

struct RunDriverTests {
    /// A daemon over an adopted table, and a rotation in it that takes some seconds.
    private func working() async throws -> (ControlBench, InstanceService, any ControlChannel) {
        let bench = try await ControlBench(rows: 3000)
        let service = try bench.service(.daemon)
        try await service.start()
        let session = try await service.session()
        try await session.call("configuration.load")
        try await session.call("rotations.adopt", "secret.value")
        try await session.call(
            "rotations.rotate", named: ["keyring": "main", "rows_per_second": 500, "wait": "none"])
        return (bench, service, session)
    }

    private func state(_ run: Int64, _ bench: ControlBench) async throws -> RunState {
        try await bench.control.read { try $0.run(run).state }
    }

    @Test func aRunOutlivesTheSessionThatStartedIt() async throws {
        let (bench, service, session) = try await working()
        await session.close()
        let other = try await service.session()
        let client = ScriptedClient()
        let left = try await other.call("runs.watch", 2, for: client)
        #expect(left.value["summary"]?["state"] == "done" && left.isGood)
        let progress = client.events.compactMap { if case .progress(let progress) = $0 { progress } else { nil } }
        #expect(progress.contains { $0.run == 2 && $0.phase == "reencrypt" && $0.done > 0 && $0.total == 3000 })
        let done = Set(progress.filter { $0.phase == "reencrypt" }.map(\.done))
        #expect(done.contains { $0 < 1000 } && done.count > 5, "rows count as they are written: \(done.sorted())")
        #expect(try await state(2, bench) == .done)
        await service.stop()
    }

    @Test func cancellingAWatchLetsTheRunGoOn() async throws {
        let (bench, service, session) = try await working()
        let watching = Task { await controlError { try await session.call("runs.watch", 2) } }
        try await Task.sleep(for: .milliseconds(100))
        await session.cancel()
        let ended = await watching.value
        #expect(ended?.codeName == "callerInterrupted" && ended?.message.contains("goes on") == true)
        #expect(try await state(2, bench) == .open)
        #expect(await service.driver.run == 2)
        await service.stop()
    }

    @Test func stoppingFinishesTheBatchAndTheNextStartGoesOn() async throws {
        let (bench, service, _) = try await working()
        let left = await service.stop()
        #expect(left?.id == 2 && left?.state == .open)
        let again = try bench.service(.daemon)
        try await again.start()
        let taking = Task { try await again.run() }
        #expect(try await eventually { try await bench.control.read { try $0.run(2).state } == .done })
        taking.cancel()
        await again.stop()
        let verified = try bench.service()
        #expect(try await verified.session().call("keyrings.verify").value["isClean"] == true)
        await verified.stop()
    }

    @Test func nothingIsDrivenThatWasRecordedDuringAStop() async throws {
        let bench = try await ControlBench()
        let service = try bench.service(.daemon)
        try await service.start()
        let (driver, engine) = (service.driver, try await service.instance().engine(for: "me"))
        let error = await controlError {
            _ = try await driver.launch(engine, DriveOptions()) {
                await driver.stop()
                return 7
            }
        }
        #expect(error?.codeName == "storeLeaseHeld" && error?.message.contains("run 7 is recorded") == true)
        #expect(await driver.run == nil)
        await service.stop()
    }

    @Test func aSecondRunIsRefusedAndNamesTheFirst() async throws {
        let (bench, service, session) = try await working()
        let refused = await controlError { try await session.call("rotations.rotate", "main") }
        #expect(refused?.codeName == "callerRunOpen" && refused?.status == 3, "\(String(describing: refused))")
        #expect(refused?.message.contains("run 2") == true)
        let other = try bench.service()
        let locked = await controlError { try await other.session().call("rotations.rotate", "main") }
        #expect(locked?.codeName == "storeLeaseHeld" && locked?.message.contains("process \(getpid())") == true)
        await other.stop()
        await service.stop()
    }

    @Test func aSecondDaemonOfTheNodeIsRefused() async throws {
        let bench = try await ControlBench()
        let service = try bench.service(.daemon)
        try await service.start()
        let second = try bench.service(.daemon)
        #expect(
            await controlError { do { try await second.start() } catch { throw ControlError(wrapping: error) } }?
                .codeName == "storeLeaseHeld")
        await service.stop()
        try await second.start()
        await second.stop()
    }

    @Test func aRunPausesAndResumesAndIsCancelled() async throws {
        let (bench, service, session) = try await working()
        try await session.call("runs.pause", 2)
        #expect(try await eventually { try await bench.control.read { try $0.run(2).state } == .paused })
        try await session.call("runs.resume", named: ["run": 2, "wait": "none"])
        #expect(try await eventually { try await bench.control.read { try $0.run(2).state } == .open })
        try await session.call("runs.cancel", 2)
        #expect(try await eventually { try await bench.control.read { try $0.run(2).state } == .cancelled })
        await service.stop()
    }

    @Test func anEmergencyTakesOverWithinOneDaemon() async throws {
        let (bench, service, session) = try await working()
        // The emergency's plan holds only where the run before it activates no key meanwhile.
        #expect(try await eventually { try await bench.control.read { try $0.run(2).phase } == .reencrypt })
        let left = try await session.call("rotations.rotate", named: ["keyring": "main", "emergency": true])
        #expect(left.value["summary"]?["state"] == "done" && left.value["summary"]?["urgency"] == "emergency")
        #expect(try await state(2, bench) == .cancelled)
        await service.stop()
    }

    @Test func oneSessionPerformsOneRequestAtATime() async throws {
        let (_, service, session) = try await working()
        let watching = Task { await controlError { try await session.call("runs.watch", 2) } }
        try await Task.sleep(for: .milliseconds(100))
        #expect(await controlError { try await session.call("runs.list") }?.codeName == "callerBusy")
        let greeting = try await session.perform(.ping, for: ScriptedClient())
        #expect(greeting.value["role"] == "server_admin", "a ping never waits")
        await session.cancel()
        _ = await watching.value
        #expect(try await session.call("runs.list").value.list.count == 2)
        await service.stop()
    }
}
