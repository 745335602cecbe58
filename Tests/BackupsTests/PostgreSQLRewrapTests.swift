import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension BackupRuns {
    /// Keys in PostgreSQL on their way under a new generation of the root key, by the command.
    @Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
    struct PostgreSQLRewraps {
        @Test func killedInTheMiddleARewrapGoesOnAndTheOldGenerationStaysForItsBackup() async throws {
            try await withStore(rows: 300, more: ", keep = 2") { store in
                let sandbox = store.sandbox
                try await store.adopt()
                _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting()
                try await store.backUp()
                let (rows, old) = (try await self.rows(store), try await wraps(store))
                #expect(old.count == 2 && Set(old.map(\.root)).count == 1, "two versions under one generation")

                // The new generation is there and wraps nothing yet.
                var killed = try await sandbox.start("rewrap", "main", "--new-root", "--yes", dyingAt: "rootKeyMade")
                    .wait()
                #expect(killed.signal == SIGKILL, "\(killed)")
                #expect(try generations(store) == 2)
                #expect(try await wraps(store) == old)
                try await expectEveryValueOpens(store)

                // The first of two versions has a copy under it, beside the older one.
                killed = try await sandbox.start("run", "resume", "3", dyingAt: "keyRewrapped").wait()
                #expect(killed.signal == SIGKILL, "\(killed)")
                let amid = try await wraps(store)
                #expect(amid.count == 3 && old.allSatisfy(amid.contains), "\(amid)")
                try await expectEveryValueOpens(store)

                let resumed = try await sandbox.keyturn("run", "resume", "3", "-o", "json").expecting().json.result
                #expect(resumed.summary.state.string == "done" && resumed.rowsWritten.integer ?? 0 == 0, "\(resumed)")
                let new = try await wraps(store)
                #expect(try generations(store) == 2, "a run that is resumed makes no further generation")
                #expect(new.map(\.key) == old.map(\.key) && Set(new.map(\.root)).count == 1, "\(new)")
                #expect(Set(new.map(\.root)).isDisjoint(with: old.map(\.root)), "\(new)")
                #expect(try await self.rows(store) == rows, "no row was touched")
                try await expectEveryValueOpens(store)

                try await expectPruning(store)
                try await expectEveryValueOpens(store)
                _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting()
                try await expectEveryValueOpens(store)
            }
        }

        /// The older generation goes once no backup needs it, and not before.
        private func expectPruning(_ store: Store) async throws {
            let sandbox = store.sandbox
            let held = try await sandbox.keyturn("root", "prune", "--yes", "-o", "json")
            #expect(
                held.exitCode == 3 && held.json.error.message.string?.contains("backup 1 needs it") == true, "\(held)")
            _ = try await sandbox.keyturn("backup", "drill", "1", "--identity", "id.txt").expecting()
            for _ in 1...2 { try await store.backUp("--verify", "restore") }
            _ = try await store.prune()
            let pruned = try await sandbox.keyturn("root", "prune", "--yes", "-o", "json").expecting().json.result
            #expect(pruned.expendable.array.map(\.integer) == [1])
            #expect(try generations(store) == 1)
            _ = try await sandbox.keyturn("backup", "drill", "--identity", "id.txt").expecting()
        }

        private struct Copy: Equatable {
            let key: String?
            let root: String?
        }

        /// The wrapped copies of keys, and what they lie under.
        private func wraps(_ store: Store) async throws -> [Copy] {
            let text = "SELECT key_id, provider_key_id FROM keyturn.wraps ORDER BY key_id, created_at"
            return try await store.database.application.runAside(text).map { Copy(key: $0[0], root: $0[1]) }
        }

        private func rows(_ store: Store) async throws -> [ApplicationConnection.Row] {
            try await store.database.application.runAside("SELECT id, value, xmin FROM secret ORDER BY id")
        }

        /// The generations of the root key's file, each a line behind the first.
        private func generations(_ store: Store) throws -> Int {
            let text = try String(contentsOfFile: store.sandbox.path("D/root.key"), encoding: .utf8)
            return text.split(separator: "\n").count - 1
        }

        private func expectEveryValueOpens(_ store: Store) async throws {
            let verified = try await store.sandbox.keyturn("verify", "-o", "json")
            #expect(verified.exitCode == 0 && verified.json.result.isClean.bool == true, "\(verified)")
            for id in [1, 150, 300] {
                let opened = try await store.sandbox.keyturn("open", "secret.value", "--stored", "--key", "\(id)")
                #expect(opened.exitCode == 0 && opened.line == "secret \(id)", "\(opened)")
            }
        }
    }
}
