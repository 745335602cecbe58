import Foundation
import KR1
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// Applications write the same rows all through a rotation.
    @Suite struct ConcurrencyPostgreSQLTests {
        private static let rows = 8000

        @Test func fourWritersKeepEveryValue() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: Self.rows, on: server)
                try await server.application.runAside(
                    """
                    CREATE TABLE expected (id integer PRIMARY KEY, value text);
                    INSERT INTO expected SELECT id, 'plaintext ' || id FROM generate_series(1, \(Self.rows)) AS id
                    """)
                let keys = SharedKeys(try await HeldKeys(of: "vault", KR1.self, from: server.sandbox))
                let seed = UInt64.random(in: 0...UInt64(UInt32.max))
                print("busy writers on PostgreSQL: seed \(seed)")
                let name = server.database.name
                let writers = try (1...4).map {
                    ServerWriter(
                        $0, try server.connect(), rows: Self.rows, keys: keys, seed: seed,
                        place: { ServerVault.place($0, in: name) })
                }
                let process = try server.sandbox.start(
                    "rotate", "vault", "--yes", "--rows-per-second", "1500", "-o", "json")
                while process.isRunning, writers.allSatisfy({ $0.tally.refusals == 0 && !$0.tally.isEnded }) {
                    try await Task.sleep(for: .milliseconds(10))
                }
                keys.change(to: try await HeldKeys(of: "vault", KR1.self, from: server.sandbox))
                let result = try await process.wait().expecting().json.result
                for writer in writers { try await writer.stop() }

                let misses = result.rowsMissed.integer ?? 0
                let longest = writers.map(\.tally.longest).max() ?? .zero
                print(
                    """
                    busy writers on PostgreSQL: \(misses) misses, \(result.rowsWritten.integer ?? 0) rows written, \
                    \(writers.reduce(0) { $0 + $1.tally.transactions }) transactions, the longest took \(longest)
                    """)
                #expect(result.summary.state.string == "done")
                #expect(misses >= 1000, "values written by others between being read and being replaced")
                #expect(writers.contains { $0.tally.refusals > 0 }, "the fence refused what the older key sealed")
                let expected = try await server.values("SELECT id, value FROM expected")
                let stored = try await vault.stored()
                let alone = try await HeldKeys(of: "vault", KR1.self, from: server.sandbox).sealingKeyAlone()
                #expect(Set(expected.keys) == Set(stored.keys))
                let wrong = expected.filter { alone.open(stored[$0.key] ?? "", at: vault.place($0.key)) != $0.value }
                #expect(wrong.isEmpty, "\(wrong.count) of \(expected.count) rows hold something else")
                #expect(try await server.sandbox.keyturn("verify").exitCode == 0)
            }
        }

        /// Locks rows in the order that is not ours, for longer than the server waits before it looks for a deadlock.
        @Test func applicationsThatLockInTheOppositeOrderAreNeverTheVictim() async throws {
            try await withServerInstance(in: PostgreSQLCluster(settings: ["deadlock_timeout = '300ms'"])) { server in
                let vault = try await ServerVault.made(rows: 4000, on: server)
                let application = try server.connect()
                // Nobody but Keyturn stands in its way, and what takes longer is refused.
                try application.run("SET lock_timeout = '700ms'")
                // What the same costs while nobody else locks anything, on a machine that may be busy.
                var alone = Duration.zero
                for id in 1...50 {
                    let begun = ContinuousClock.now
                    try await application.runAside("SELECT FROM secret WHERE id = \(id) FOR UPDATE")
                    alone = max(alone, ContinuousClock.now - begun)
                }
                let process = try vault.sandbox.start("rotate", "vault", "--yes", "-o", "json")
                var transactions = 0
                var longest = Duration.zero
                while process.isRunning {
                    try await application.runAside("BEGIN")
                    for id in stride(from: 4000 - transactions % 10, to: 0, by: -190) {
                        let begun = ContinuousClock.now
                        try await application.runAside("SELECT FROM secret WHERE id = \(id) FOR UPDATE")
                        longest = max(longest, ContinuousClock.now - begun)
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    try await application.runAside("COMMIT")
                    transactions += 1
                }
                let output = try await process.wait().expecting()
                #expect(output.json.result.summary.state.string == "done")
                #expect(transactions > 2)
                print("\(transactions) transactions in the opposite order; the longest lock took \(longest)")
                // A batch of ours gives way after 100 ms; what is above is its rollback and the machine's load.
                #expect(longest < .milliseconds(500) + alone * 4, "alone it took \(alone) at the most")
                let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
                #expect(try await server.text(deadlocks) == "0")
                try await vault.expectFinished("beside locks in the opposite order")
            }
        }
    }
}
