import Fernet
import Foundation
import GRDB
import KR1
import PluginKit
import Testing
import ToolTesting

extension EndToEnd {
    /// Two applications write the same rows all through a rotation.
    @Suite struct ConcurrencyTests {
        private static let rows = 4000

        /// The least number of values that must have been written by others between being read and being replaced.
        private static let leastMisses = 100

        @Test func writersUnderKR1KeepEveryValue() async throws {
            let sandbox = try prepared(#"{ core = "kr1" }"#, #", context = "row""#, journal: "wal") { "\($0)" }
            _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
            _ = try await sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
            let keys = SharedKeys(try await HeldKeys(of: "busy", KR1.self, from: sandbox))
            let writers = start(sandbox, keys) {
                .row(namespace: "app", name: "secret.value", key: [Array("\($0)".utf8)])
            }

            let process = try sandbox.start("rotate", "busy", "--yes", "--rows-per-second", "1500", "-o", "json")
            while process.isRunning, writers.allSatisfy({ $0.tally.refusals == 0 }) {
                try await Task.sleep(for: .milliseconds(20))
            }
            keys.change(to: try await HeldKeys(of: "busy", KR1.self, from: sandbox))
            let output = try await process.wait().expecting()
            for writer in writers { try await writer.stop() }

            #expect(writers.contains { $0.tally.refusals > 0 }, "the fence refused what the older key sealed")
            try await expectKept(sandbox, output, try await HeldKeys(of: "busy", KR1.self, from: sandbox)) {
                .row(namespace: "app", name: "secret.value", key: [Array("\($0)".utf8)])
            }
        }

        @Test func writersUnderFernetKeepEveryValue() async throws {
            let sandbox = try prepared(#"{ core = "fernet", consumers = { "app" } }"#, "", journal: "delete") {
                "\($0)"
            }
            _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
            let key = Data((0..<32).map { _ in UInt8.random(in: 0...255) }).base64EncodedString()
            _ = try await sandbox.keyturn("keyring", "import", "busy", "--from-file", "-", input: key).expecting()
            let keys = SharedKeys(try await HeldKeys(of: "busy", Fernet.self, from: sandbox))
            try sealAll(sandbox, keys.present)
            let writers = start(sandbox, keys) { _ in .none }

            let database = try ApplicationDatabase(sandbox.path("app.db"))
            let process = try sandbox.start("rotate", "busy", "--yes", "--rows-per-second", "1500", "-o", "json")
            for phase in ["publish", "activate"] {
                try await database.waitFor(
                    "SELECT count(*) FROM keyturn_runs WHERE state = 'waiting' AND phase = '\(phase)'")
                keys.change(to: try await HeldKeys(of: "busy", Fernet.self, from: sandbox))
                for writer in writers { try await writer.waitForTransactions(2) }
                _ = try await sandbox.keyturn("run", "ack", "1", "--consumer", "app", "--yes").expecting()
            }
            let output = try await process.wait().expecting()
            for writer in writers { try await writer.stop() }
            try await expectKept(sandbox, output, try await HeldKeys(of: "busy", Fernet.self, from: sandbox)) { _ in
                .none
            }
        }

        /// A database whose rows hold their texts, with what is expected of each beside it.
        private func prepared(
            _ keyring: String, _ column: String, journal: String, text: (Int64) -> String
        ) throws -> Sandbox {
            let sandbox = try Sandbox()
            try sandbox.write(
                """
                database "sqlite:app.db"
                keyring "busy" \(keyring)
                column "secret.value" { keyring = "busy", key = "id"\(column) }
                """, to: "keyturn.lua")
            let database = try ApplicationDatabase(sandbox.path("app.db"))
            try database.run("PRAGMA journal_mode = \(journal)")
            let pairs = (1...Int64(Self.rows)).map { ($0, text($0)) }
            try database.transaction { database in
                try database.execute(
                    sql: """
                        CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT);
                        CREATE TABLE expected (id INTEGER PRIMARY KEY, text TEXT)
                        """)
                for (id, text) in pairs {
                    try database.execute(sql: "INSERT INTO secret VALUES (?, ?)", arguments: [id, text])
                    try database.execute(sql: "INSERT INTO expected VALUES (?, ?)", arguments: [id, text])
                }
            }
            return sandbox
        }

        private func sealAll(_ sandbox: Sandbox, _ keys: HeldKeys) throws {
            try ApplicationDatabase(sandbox.path("app.db")).transaction { database in
                for id in 1...Int64(Self.rows) {
                    let value = try keys.seal("\(id)", at: .none)
                    try database.execute(sql: "UPDATE secret SET value = ? WHERE id = ?", arguments: [value, id])
                }
            }
        }

        private func start(
            _ sandbox: Sandbox, _ keys: SharedKeys, place: @escaping @Sendable (Int64) -> ValueContext
        ) -> [BusyWriter] {
            let seed = UInt64.random(in: 0...UInt64(UInt32.max))
            print("busy writers: seed \(seed)")
            return (1...2).map { BusyWriter($0, on: sandbox.path("app.db"), keys: keys, seed: seed, place: place) }
        }

        /// Every row opens, under the active key alone, to what its writer committed last.
        private func expectKept(
            _ sandbox: Sandbox, _ output: ProgramOutput, _ keys: HeldKeys, place: (Int64) -> ValueContext
        ) async throws {
            let result = output.json.result
            let misses = result.rowsMissed.integer ?? 0
            print("busy writers: \(misses) misses, \(result.rowsWritten.integer ?? 0) rows written")
            #expect(result.summary.state.string == "done")
            #expect(misses >= Self.leastMisses)
            let database = try ApplicationDatabase(sandbox.path("app.db"))
            let expected = try database.values("SELECT id, text FROM expected")
            let stored = try database.values("SELECT id, value FROM secret")
            let alone = try keys.sealingKeyAlone()
            #expect(Set(expected.keys) == Set(stored.keys))
            let wrong = expected.count { id, text in
                let value = stored[id].flatMap { String.fromDatabaseValue($0) } ?? ""
                return alone.open(value, at: place(id)) != String.fromDatabaseValue(text)
            }
            #expect(wrong == 0, "so many of \(expected.count) rows hold something else")
            #expect(try await sandbox.keyturn("verify").exitCode == 0)
        }
    }
}
