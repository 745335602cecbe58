import Control
import ControlStore
import Foundation
import Frames
import Testing
import ToolTesting

struct FullDiskTests {
    @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
    func withAFullDiskOnlyPausingIsLetThroughAndComesIntoTheLogLater() async throws {
        let disk = try SmallDisk(bytes: 48 << 20)
        defer { disk.unmount() }
        let bench = try await ControlBench(rows: 3000, databaseFolder: disk.path)
        let service = try bench.service(.daemon)
        try await service.start()
        let session = try await service.session()
        try await session.call("configuration.load")
        try await session.call("rotations.adopt", "secret.value")
        try await session.call("rotations.rotate", named: ["keyring": "main", "rows_per_second": 300, "wait": "none"])
        try disk.fill()

        let refused = await controlError { try await session.call("commands.run", "x") }
        #expect(refused?.codeName == "storeAuditUnavailable" && refused?.status == 2, "\(String(describing: refused))")
        let client = ScriptedClient()
        try await session.call("runs.pause", 2, for: client)
        #expect(client.events.contains { if case .note(let text) = $0 { text.contains("noted") } else { false } })
        let pending = try #require(try bench.journal().pending)
        #expect(pending.map(\.call) == ["runs.pause"] && pending[0].uid == getuid())
        #expect(try await eventually { await service.driver.run == nil })

        try disk.empty()
        _ = await controlError { try await session.call("runs.pause", 99) }
        #expect(try bench.journal().pending == nil)
        let late = try await bench.audit().filter { $0.kind == .late }
        #expect(late.map(\.call) == ["runs.pause"] && late[0].detail?.contains("could not be written") == true)
        #expect(try await bench.control.read { try $0.request(of: 2) } == .pause, "the request is made after all")
        #expect(try await session.call("audit.verify").value["isWhole"] == true)
        #expect(try await session.call("runs.resume", 2).isGood)
        #expect(try await session.call("keyrings.verify").value["isClean"] == true)
        await service.stop()
    }
}
