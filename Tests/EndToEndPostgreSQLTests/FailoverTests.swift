import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The server is lost and the one that followed it takes its place.
    @Suite struct FailoverTests {
        @Test func aRunGoesOnOnThePromotedStandby() async throws {
            try await withPair { cluster, server, vault in
                let process = try await vault.rotating()
                try await caughtUp(server)
                try cluster.stop()
                try cluster.promoteStandby()
                let output = try await process.wait()
                let promoted = try moved(vault, to: cluster)
                #expect(output.exitCode == 0 && output.json.result.summary.state.string == "done", "\(output)")
                try await promoted.expectNothingLost("failed over")
                try await promoted.finish("failed over")
                try await promoted.expectDrivingAgainWritesNothing("failed over")
            }
        }

        /// The standby had not heard of the new key: nothing may be sealed under it there.
        @Test func aFailoverThatLosesCommitsIsNoticedAndNothingIsSealedUnderAKeyItLost() async throws {
            try await withPair { cluster, server, vault in
                try await caughtUp(server)
                try cluster.detachStandby()
                let process = try await vault.rotating(rowsPerSecond: 300)
                try cluster.stop()
                try cluster.promoteStandby()
                let output = try await process.wait()
                #expect(output.exitCode != 0 && output.standardOutput.contains("storeSetBack"), "\(output)")
                let promoted = try moved(vault, to: cluster)
                let refused = try await vault.sandbox.keyturn("rotate", "vault", "--yes")
                #expect(refused.exitCode != 0 && refused.standardError.contains("keyturn recover"), "\(refused)")
                _ = try await vault.sandbox.keyturn("recover", "--yes").expecting()
                try await promoted.expectNothingLost("a lossy failover")
                _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                try await promoted.expectFinished("recovered")
            }
        }

        /// A server, another one that follows it, and an instance that takes whichever takes writes.
        private func withPair(
            _ body: (PostgreSQLCluster, ServerInstance, ServerVault) async throws -> Void
        ) async throws {
            let cluster = try PostgreSQLCluster(settings: ["wal_keep_size = 64MB"])
            defer { cluster.dispose() }
            try await withServerInstance(in: cluster) { server in
                try cluster.addStandby()
                let url = cluster.failoverURL(database: server.database.name)
                let vault = try await ServerVault.made(rows: 2500, on: server, url: url)
                try await body(cluster, server, vault)
            }
        }

        private func caughtUp(_ server: ServerInstance) async throws {
            let now = try await server.text("SELECT pg_current_wal_flush_lsn()") ?? ""
            try await server.waitFor("EXISTS (SELECT FROM pg_stat_replication WHERE replay_lsn >= '\(now)')")
        }

        private func moved(_ vault: ServerVault, to cluster: PostgreSQLCluster) throws -> ServerVault {
            let server = vault.server
            let connection = try ApplicationConnection(cluster.standbyURL(database: server.database.name))
            return ServerVault(
                server: ServerInstance(sandbox: server.sandbox, database: server.database, application: connection),
                plaintexts: vault.plaintexts)
        }
    }
}
