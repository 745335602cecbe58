import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The server goes away in the middle of a rotation.
    @Suite struct ServerFailureTests {
        @Test func aRotationOutlivesARestart() async throws {
            try await withRotation { cluster, _ in try cluster.restart() }
        }

        @Test func aRotationOutlivesAServerThatIsKilledAndComesBack() async throws {
            try await withRotation { cluster, _ in
                try cluster.stop()
                try await Task.sleep(for: .milliseconds(500))
                try cluster.start()
            }
        }

        @Test func aRotationOutlivesItsConnections() async throws {
            try await withRotation { _, server in
                for _ in 0..<5 {
                    let ended = try await server.text(
                        """
                        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE application_name LIKE 'keyturn%' AND datname = current_database()
                        """)
                    #expect(ended != "0")
                    try await Task.sleep(for: .milliseconds(300))
                }
            }
        }

        @Test func aServerThatStaysAwayEndsARunThatCanBeResumed() async throws {
            let cluster = try PostgreSQLCluster(settings: ["fsync = on"])
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 3000, on: server)
                let process = try await vault.rotating()
                try cluster.stop()
                let output = try await process.wait(limit: .seconds(90))
                #expect(output.exitCode != nil && output.exitCode != 0, "\(output)")
                #expect(output.standardError.contains("keyturn run resume 2") || output.standardError.contains("cannot be asked"), "\(output)")
                try cluster.start()
                let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
                try await again.expectNothingLost("the server stayed away")
                try await again.finish("the server came back")
            }
        }

        /// Rotates while something befalls the server, resumes if need be, and checks that nothing is lost.
        private func withRotation(
            _ befall: (PostgreSQLCluster, ServerInstance) async throws -> Void
        ) async throws {
            let cluster = try PostgreSQLCluster()
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 3000, on: server)
                let process = try await vault.rotating()
                try await befall(cluster, server)
                let output = try await process.wait()
                print("after the failure: \(output.exitCode ?? -1), \(output.json.result.summary.state.string ?? "no result")")
                let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
                try await again.expectNothingLost("\(output)")
                #expect(try await again.server.openRun() == nil || output.exitCode != 0, "\(output)")
                try await again.finish("\(output)")
                try await again.expectDrivingAgainWritesNothing("after the failure")
            }
        }
    }
}
