import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The disk that a table lies on has no room left.
    @Suite struct FullTablespaceTests {
        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aFullDiskStopsTheRunAndLosesNothing() async throws {
            let disk = try SmallDisk(bytes: 12 << 20)
            let cluster = try PostgreSQLCluster()
            defer {
                cluster.dispose()
                disk.unmount()
            }
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 3000, on: server)
                let connection = server.application
                try await connection.runAside("CREATE TABLESPACE small LOCATION '\(disk.path)'")
                try await connection.runAside("ALTER TABLE secret SET TABLESPACE small")
                // No row that is replaced can be pruned, so that new ones need room.
                let reader = try server.connect()
                try reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM secret")
                try await connection.runAside("CREATE TABLE filler (data text) TABLESPACE small")
                try await connection.runAside("ALTER TABLE filler ALTER data SET STORAGE PLAIN")
                for bytes in [7000, 7000, 900] {
                    await #expect(throws: ApplicationError.self) {
                        while true {
                            try await connection.runAside(
                                "INSERT INTO filler SELECT repeat('x', \(bytes)) FROM generate_series(1, 40)")
                        }
                    }
                }
                let output = try await vault.sandbox.keyturn("rotate", "vault", "--yes")
                #expect(output.exitCode != 0 && output.standardError.contains("the disk is full"), "\(output)")
                try await vault.expectNothingLost("on a full disk")
                try reader.run("COMMIT")
                try await connection.runAside("DROP TABLE filler; CHECKPOINT")
                try await vault.finish("once there was room")
            }
        }
    }
}

/// A file system in memory that belongs to the server's user.
private struct SmallDisk {
    let path: String

    /// Whether this process may mount anything and give it to the server.
    static let canBeMounted: Bool = {
        guard let disk = try? SmallDisk(bytes: 1 << 16) else { return false }
        disk.unmount()
        return true
    }()

    init(bytes: Int) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "keyturn-space-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
            try FileManager.default.removeItem(atPath: path)
            throw CocoaError(.fileWriteNoPermission)
        }
        if let owner = getpwnam("postgres") { chown(path, owner.pointee.pw_uid, owner.pointee.pw_gid) }
    }

    func unmount() {
        umount(path)
        try? FileManager.default.removeItem(atPath: path)
    }
}
