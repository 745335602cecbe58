import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The connections break, or the server goes away, in each phase of a run; the run waits and goes on.
    @Suite struct LostConnectionTests {
        private static let phases = ["preflight", "prepare", "activate", "reencrypt", "settle", "verify", "retire"]

        @Test func connectionsLostInAnyPhaseDoNotEndTheRun() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 3000, on: server)
                var struck: Set<String> = []
                for phase in Self.phases {
                    for _ in 0..<4 where !struck.contains(phase) {
                        let process = try vault.sandbox.start("rotate", "vault", "--yes", "-o", "json")
                        if try await strike(phase, on: server, while: process) { struck.insert(phase) }
                        let output = try await process.wait()
                        #expect(output.exitCode == 0, "\(phase): \(output)")
                        if output.exitCode != 0 { try await vault.finish(phase) }
                    }
                    try await vault.expectNothingLost(phase)
                }
                #expect(struck == Set(Self.phases), "each phase was struck")
                try await vault.expectFinished("after lost connections")
                try await vault.expectDrivingAgainWritesNothing("after lost connections")
            }
        }

        @Test func aRestartWhileItSettlesOrVerifiesDoesNotEndTheRun() async throws {
            let cluster = try PostgreSQLCluster()
            defer { cluster.dispose() }
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 12_000, on: server)
                // A prepared transaction outlives the restart and holds settling up.
                try server.application.run("CREATE TABLE other (id integer)")
                try server.application.run("BEGIN; INSERT INTO other VALUES (1); PREPARE TRANSACTION 'held'")
                let process = try vault.sandbox.start("rotate", "vault", "--yes", "-o", "json")
                try await server.waitFor("EXISTS (SELECT FROM keyturn.runs WHERE id = 2 AND phase = 'settle')")
                try cluster.restart()
                let back = try server.reconnected()
                try back.application.run("COMMIT PREPARED 'held'")
                try await back.waitFor("EXISTS (SELECT FROM keyturn.runs WHERE id = 2 AND phase = 'verify')")
                try cluster.restart()
                let output = try await process.wait().expecting()
                #expect(output.json.result.summary.state.string == "done", "\(output)")
                let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
                try await again.expectFinished("after restarts")
            }
        }

        @Test func whoeverWaitsForTheServerCanBeInterrupted() async throws {
            let cluster = try PostgreSQLCluster(settings: ["fsync = on"])
            defer { cluster.dispose() }
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 2000, on: server)
                let process = try await vault.rotating()
                try cluster.stop()
                let deadline = ContinuousClock.now + .seconds(30)
                while !process.errorSoFar.contains("waiting for it"), ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(20))
                }
                #expect(process.errorSoFar.contains("database lost, waiting for it"), "\(process.errorSoFar)")
                process.signal(SIGINT)
                let output = try await process.wait(limit: .seconds(30))
                #expect(output.exitCode != nil && output.exitCode != 0, "\(output)")
                try cluster.start()
                let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
                try await again.finish("the server came back")
            }
        }

        @Test func aTimeoutThatTheServerSetsForItsClientsIsNotOurs() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 3000, on: server)
                try await server.application.runAside(
                    """
                    ALTER DATABASE \(server.database.name) SET statement_timeout = '3ms';
                    ALTER DATABASE \(server.database.name) SET lock_timeout = '1ms';
                    ALTER DATABASE \(server.database.name) SET idle_in_transaction_session_timeout = '5ms'
                    """)
                _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                try await vault.expectFinished("under the server's timeouts")
            }
        }

        /// Ends all of Keyturn's connections as soon as a run stands in a phase.
        private func strike(
            _ phase: String, on server: ServerInstance, while process: RunningProgram
        ) async throws -> Bool {
            let before =
                try await server.text("SELECT coalesce(max(id), 0) FROM keyturn.runs WHERE state <> 'open'") ?? "0"
            while process.isRunning {
                let ended = try server.application.run(
                    """
                    SELECT count(pg_terminate_backend(a.pid)) FROM keyturn.runs AS r, pg_stat_activity AS a
                    WHERE r.id > \(before) AND r.phase = '\(phase)' AND r.state = 'open' AND a.application_name = 'keyturn'
                        AND a.datname = current_database()
                    """)
                if let count = ended.first?.first ?? nil, count != "0" { return true }
            }
            return false
        }
    }
}
