import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The disk that a table lies on has no room left.
    @Suite struct FullTablespaceTests {
        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aFullDiskStopsTheRunAndLosesNothing() async throws {
            let disk = try SmallDisk(bytes: 40 << 20, owner: "postgres")
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
                let process = try await vault.rotating(rowsPerSecond: 200)
                try disk.fill()
                let output = try await process.wait()
                let isSaid = output.json.error.message.string?.contains("the disk is full")
                #expect(output.exitCode != 0 && isSaid == true, "\(output)")
                try await vault.expectNothingLost("on a full disk")
                try reader.run("COMMIT")
                try disk.empty()
                try await vault.finish("once there was room")
            }
        }

        /// What is missing is told before anything is begun, for the disk that the table lies on and for that of the log.
        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aDiskWithTooLittleRoomIsRefusedBeforehand() async throws {
            let tables = try SmallDisk(bytes: 40 << 20, owner: "postgres")
            let log = try SmallDisk(bytes: 48 << 20, owner: "postgres")
            let cluster = try PostgreSQLCluster(
                settings: ["min_wal_size = 2MB", "max_wal_size = 24MB", "checkpoint_timeout = 1h"],
                walDirectory: log.path + "/wal")
            defer {
                cluster.dispose()
                tables.unmount()
                log.unmount()
            }
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 3000, on: server)
                try await server.application.runAside("CREATE TABLESPACE small LOCATION '\(tables.path)'")
                try await server.application.runAside("ALTER TABLE secret SET TABLESPACE small")
                let plan = try await vault.sandbox.keyturn("plan", "vault", "-o", "json").expecting().json.result
                let free = try #require(plan.diskBytesFree.integer)
                let logFree = try #require(plan.logBytesFree.integer)
                #expect(free > 16 << 20 && free < 40 << 20 && logFree > 0 && logFree < 48 << 20, "\(plan)")

                try tables.fill()
                let before = try await vault.stored()
                let refused = try await vault.sandbox.keyturn("rotate", "vault", "--yes")
                #expect(refused.exitCode == 3, "\(refused)")
                #expect(refused.standardError.contains("needs about 16"), "\(refused)")
                #expect(refused.standardError.contains("0 B are free"), "\(refused)")
                #expect(try await vault.stored() == before)
                try tables.empty()

                // What is read writes nothing, so that the server goes on.
                try log.fill()
                let short = try await vault.sandbox.keyturn("plan", "vault", "-o", "json")
                try log.empty()
                #expect(short.exitCode == 3 && short.standardOutput.contains("for the write-ahead log"), "\(short)")
                _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                try await vault.expectFinished("with room again")
            }
        }

        /// What a plan says goes through the log does, about; and what it knows of the disk is no more than it may.
        @Test func theLogThatAPlanReckonsWithIsAboutWhatIsWritten() async throws {
            let cluster = try PostgreSQLCluster()
            defer { cluster.dispose() }
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 20_000, on: server)
                try await server.application.runAside("CHECKPOINT")
                let plan = try await vault.sandbox.keyturn("plan", "vault", "-o", "json").expecting().json.result
                let reckoned = try #require(plan.logBytes.integer)
                let disk = try #require(plan.diskBytesNeeded.integer)
                let sizes = "SELECT pg_current_wal_lsn() - '0/0' || ' ' || pg_total_relation_size('secret')"
                let before = try #require(try await server.text(sizes)).split(separator: " ").compactMap { Int($0) }
                _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                let after = try #require(try await server.text(sizes)).split(separator: " ").compactMap { Int($0) }
                let (written, grown) = (after[0] - before[0], after[1] - before[1])
                print("log: reckoned \(reckoned), written \(written); disk: reckoned \(disk), grown \(grown)")
                #expect(written > reckoned / 3 && written < reckoned * 3, "\(written) of \(reckoned)")
                #expect(grown < disk)

                let role = "clerk_\(server.database.name)"
                try await server.application.runAside(
                    """
                    CREATE ROLE \(role) LOGIN; GRANT ALL ON SCHEMA keyturn, public TO \(role);
                    GRANT ALL ON ALL TABLES IN SCHEMA keyturn, public TO \(role)
                    """)
                try server.configure(
                    """
                    keyring "vault" { core = "kr1" }
                    column "secret.value" { keyring = "vault", key = "id", context = "row" }
                    """, user: role)
                let blind = try await vault.sandbox.keyturn("plan", "vault")
                #expect(blind.exitCode == 0, "\(blind)")
                #expect(blind.standardOutput.split(separator: "free space unknown").count == 3, "\(blind)")
                try await server.application.runAside("DROP OWNED BY \(role); DROP ROLE \(role)")
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
