import Control
import ControlStore
import Foundation
import Frames
import Testing

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

        try disk.makeRoom()
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

/// A file system in memory that is soon full.
private struct SmallDisk {
    let path: String

    /// Whether this process may mount anything.
    static let canBeMounted: Bool = {
        guard let disk = try? SmallDisk(bytes: 1 << 16) else { return false }
        disk.unmount()
        return true
    }()

    init(bytes: Int) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "keyturn-disk-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
            try FileManager.default.removeItem(atPath: path)
            throw CocoaError(.fileWriteNoPermission)
        }
    }

    /// Takes up all room that is left.
    func fill() throws {
        let file = open(path + "/ballast", O_WRONLY | O_CREAT, 0o600)
        defer { close(file) }
        let block = [UInt8](repeating: 1, count: 4096)
        while write(file, block, block.count) == block.count {}
    }

    func makeRoom() throws { try FileManager.default.removeItem(atPath: path + "/ballast") }

    func unmount() {
        umount2(path, Int32(MNT_DETACH))
        try? FileManager.default.removeItem(atPath: path)
    }
}
