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
                print("after the failure: code \(output.exitCode ?? -1), \(output.json.error.message.string ?? "done")")
                let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
                try await again.expectNothingLost("\(output)")
                #expect(try await again.server.openRun() == nil || output.exitCode != 0, "\(output)")
                try await again.finish("\(output)")
                try await again.expectDrivingAgainWritesNothing("after the failure")
            }
        }
    }
}
