import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The tables of PostgreSQL's own load generator, with a column of secrets in each, rotated while it works on them.
    @Suite struct PgbenchTests {
        @Test func itsTablesAreRotatedUnderItsLoad() async throws {
            try await withServerInstance { server in
                let place = ["-h", server.database.cluster.directory, "-U", "postgres", server.database.name]
                let pgbench = try PostgreSQLCluster.program("pgbench")
                _ = try await server.sandbox.program(pgbench, ["-i", "-s", "1", "-q"] + place).wait().expecting()
                let tables = [("accounts", "aid"), ("tellers", "tid"), ("branches", "bid")]
                for (table, key) in tables {
                    try await server.application.runAside(
                        """
                        ALTER TABLE pgbench_\(table) ADD secret text;
                        UPDATE pgbench_\(table) SET secret = '\(table) ' || \(key) WHERE \(key) <= 12000
                        """)
                }
                let columns = tables.map { #"column "pgbench_\#($0.0).secret" { keyring = "bench", context = "row" }"# }
                try server.configure(#"keyring "bench" { core = "kr1" }"# + "\n" + columns.joined(separator: "\n"))
                try await server.initialise()
                let names = tables.map { "pgbench_\($0.0).secret" }
                _ = try await server.sandbox.start(arguments: ["adopt"] + names + ["--yes"]).wait().expecting()

                let load = try server.sandbox.program(pgbench, ["-c", "4", "-T", "600", "-n", "-R", "150"] + place)
                try await server.waitFor("(SELECT count(*) FROM pgbench_history) > 0")
                let rotated = try await server.sandbox.keyturn("rotate", "bench", "--yes", "-o", "json")
                #expect(rotated.exitCode == 0 && rotated.json.result.rowsWritten.integer ?? 0 >= 12_011, "\(rotated)")
                // Its transactions change rows that a batch has in hand; what they changed must still be there.
                #expect(load.isRunning, "no transaction of it was refused or ended")
                load.signal(SIGKILL)
                _ = try await load.wait()
                let sums = try await server.application.runAside(
                    """
                    SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
                        (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)
                    """)
                #expect(Set(sums.first ?? []).count == 1, "its own books balance: \(sums)")
                #expect(try await server.sandbox.keyturn("verify").exitCode == 0)
                for (table, key) in [("accounts", "11999"), ("tellers", "10"), ("branches", "1")] {
                    let opened = try await server.sandbox.keyturn(
                        "open", "pgbench_\(table).secret", "--key", key, "--stored")
                    #expect(try opened.expecting().line == "\(table) \(key)")
                }
            }
        }
    }
}
