import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The disk that a table lies on has no room left.
    @Suite struct FullTablespaceTests {
        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aFullDiskStopsTheRunAndLosesNothing() async throws {
            let disk = try SmallDisk(bytes: 12 << 20, owner: "postgres")
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

        /// The server itself stops where its write-ahead log cannot grow; the run waits for it, then can be resumed.
        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aFullWriteAheadLogStopsTheServerAndLosesNothing() async throws {
            let disk = try SmallDisk(bytes: 48 << 20, owner: "postgres")
            let cluster = try PostgreSQLCluster(
                settings: ["min_wal_size = 2MB", "max_wal_size = 24MB", "checkpoint_timeout = 1h"],
                walDirectory: disk.path + "/wal")
            defer {
                cluster.dispose()
                disk.unmount()
            }
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 3000, on: server)
                let process = try vault.sandbox.start(
                    "rotate", "vault", "--yes", "--rows-per-second", "300", "-o", "json")
                try await server.waitForRows(of: 2)
                try disk.fill()
                // Whatever else is written ends it soon; the rotation alone would take a while to.
                await #expect(throws: ApplicationError.self) {
                    while true {
                        try await server.application.runAside(
                            "CREATE TABLE IF NOT EXISTS noise (t text); INSERT INTO noise SELECT repeat('x', 500) FROM generate_series(1, 4000)"
                        )
                    }
                }
                try disk.empty()
                try? cluster.stop()
                try cluster.start()
                let output = try await process.wait()
                let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
                #expect(output.exitCode == 0, "it has waited for the server: \(output)")
                try await again.expectNothingLost("the log was full")
                try await again.finish("the log has room again")
            }
        }
    }
}
