import Foundation
import PluginKit
import Storage
import StorageSQLite
import Testing
import ToolTesting

struct FullDiskTests {
    @Test(
        .enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"),
        arguments: ScratchDatabase.JournalMode.allCases)
    func aFullDiskIsToldAndLeavesNothing(mode: ScratchDatabase.JournalMode) async throws {
        let disk = try SmallDisk(bytes: 1 << 20)
        let path = disk.path + "/small.db"
        try await prepare(path, mode)
        let engine = try SQLiteEngine(path: path)
        let swaps = (1...100).map { id in
            Swap(key: RowKey([.integer(id)]), old: .blob([1]), new: .blob(Bytes(repeating: 7, count: 50_000)))
        }
        await #expect { try await engine.write { try $0.swap(swaps, in: plain) } } throws: {
            ($0 as? StorageError)?.code == .storeFull
        }
        let keys = swaps.map(\.key)
        let rows = try await engine.read { try $0.readRows(keys, of: plain) }
        #expect(rows.map(\.value) == swaps.map(\.old))
        let small = Swap(key: keys[0], old: .blob([1]), new: .blob([2]))
        #expect(try await engine.write { try $0.swap([small], in: plain) } == [true])
        await engine.close()
        disk.unmount()
    }

    private func prepare(_ path: String, _ mode: ScratchDatabase.JournalMode) async throws {
        let engine = try SQLiteEngine(path: path, create: true)
        try await engine.write { session in
            _ = try session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, c BLOB)")
            for id in 1...100 { _ = try session.execute("INSERT INTO t VALUES (\(id), \([1] as [UInt8]))") }
        }
        await engine.close()
        try ScratchDatabase.setJournalMode(mode, of: path)
    }
}
