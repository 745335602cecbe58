import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// A subscription writes to the table beside the application, with values that the publisher has sealed.
    @Suite struct LogicalReplicationTests {
        @Test func aTableThatReceivesIsRefusedUntilItIsAcknowledged() async throws {
            let cluster = try PostgreSQLCluster(settings: ["wal_level = logical"])
            defer { cluster.dispose() }
            try await withServerInstance(in: cluster) { server in
                let vault = try await ServerVault.made(rows: 40, on: server, isSealed: false)
                let publisher = try await subscribe(server)

                try await expectRefusal(server, of: "adopt", "secret.value")
                #expect(try await vault.stored() == vault.plaintexts)
                try configure(server, acknowledging: true)
                _ = try await server.sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
                try await vault.expectFinished("adopted")

                try configure(server, acknowledging: false)
                let before = try await vault.stored()
                try await expectRefusal(server, of: "rotate", "vault")
                #expect(try await vault.stored() == before)
                try configure(server, acknowledging: true)
                let plan = try await server.sandbox.keyturn("plan", "vault").expecting()
                #expect(plan.standardOutput.contains("warning: subscription \"upstream\" writes to table \"secret\""))
                _ = try await server.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                try await vault.expectFinished("rotated")

                // What the fence admits still arrives; what it does not holds the subscription up, and is not written.
                try publisher.run("INSERT INTO secret VALUES (1001, NULL)")
                try await server.waitFor("EXISTS (SELECT FROM secret WHERE id = 1001)")
                try publisher.run("INSERT INTO secret VALUES (1002, 'in clear')")
                let log = cluster.directory + "/log"
                let deadline = ContinuousClock.now + .seconds(60)
                func isRefused() throws -> Bool {
                    try String(contentsOfFile: log, encoding: .utf8).contains("keyturn: this column takes values")
                }
                while try !isRefused(), ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(50)) }
                #expect(try isRefused(), "the fence binds what arrives")
                #expect(try await server.text("SELECT count(*) FROM secret WHERE id = 1002") == "0")
            }
        }

        /// Makes a database whose table of the same name is published to the server's, and returns a connection to it.
        private func subscribe(_ server: ServerInstance) async throws -> ApplicationConnection {
            let name = server.database.name + "_source"
            try await server.application.runAside("CREATE DATABASE \(name)")
            let publisher = try ApplicationConnection(server.database.cluster.url(database: name))
            try publisher.run(
                """
                CREATE TABLE secret (id integer PRIMARY KEY, value text); CREATE PUBLICATION secrets FOR TABLE secret;
                """)
            try publisher.run("SELECT pg_create_logical_replication_slot('upstream', 'pgoutput')")
            try await server.application.runAside(
                """
                CREATE SUBSCRIPTION upstream
                CONNECTION 'host=\(server.database.cluster.directory) dbname=\(name) user=postgres' PUBLICATION secrets
                WITH (create_slot = false, slot_name = 'upstream', copy_data = false)
                """)
            return publisher
        }

        private func configure(_ server: ServerInstance, acknowledging: Bool) throws {
            try server.configure(
                """
                keyring "vault" { core = "kr1" }
                column "secret.value" {
                  keyring = "vault", key = "id", context = "row",
                  acknowledge = { \(acknowledging ? "\"logical_replication\"" : "") },
                }
                """)
        }

        private func expectRefusal(_ server: ServerInstance, of command: String, _ subject: String) async throws {
            let output = try await server.sandbox.keyturn(command, subject, "--yes")
            let words = [
                "table \"secret\" receives logical replication from subscription \"upstream\"", "secret.value",
                "acknowledge = \"logical_replication\"",
            ]
            #expect(output.exitCode == 3, "\(output)")
            #expect(words.allSatisfy(output.standardError.contains), "\(output)")
            #expect(try await server.openRun() == nil)
        }
    }
}
