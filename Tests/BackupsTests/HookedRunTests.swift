import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension BackupRuns {
    /// Runs with the hooks that are shipped, up to the end of the old key.
    @Suite struct Hooked {
        private static let declared = ", keep = 2, destruction_delay = \"1s\""
        private static let required = ", backup = \"required\""

        @Test(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
        func aRunOnPostgreSQLIsBackedUpOnBothSidesAndItsOldKeyEnds() async throws {
            try await withStore(rows: 300, keyring: Self.required, more: Self.declared) { store in
                try await Self.turnAndDestroy(in: store.sandbox, rows: 300)
            }
        }

        @Test func aRunOnSQLiteIsBackedUpOnBothSidesAndItsOldKeyEnds() async throws {
            let archive = try await Archive(rows: 60, keyring: Self.required, more: Self.declared, padding: 0)
            try await Self.turnAndDestroy(in: archive.sandbox, rows: 60)
        }

        @Test(arguments: ["", "error(\"the store is closed\")"])
        func aHookThatLeavesNoBackupStopsTheRunBeforeAnyKeyIsMade(body: String) async throws {
            let archive = try await Archive(rows: 5, keyring: Self.required, more: Self.declared, padding: 0)
            let sandbox = archive.sandbox
            _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
            try FileManager.default.createDirectory(
                atPath: sandbox.path("D/scripts"), withIntermediateDirectories: true)
            try sandbox.write("hook \"before\" (function(run) \(body) end)\n", to: "D/scripts/none.lua")
            let output = try await sandbox.keyturn("adopt", "secret.value", "--yes", "-o", "json")
            #expect(output.exitCode == 1 && output.json.error.code.string == "callerHookFailed", "\(output)")
            #expect(output.json.error.hint.string?.contains("no key was made") == true)
            let ring = try await sandbox.keyturn("keyring", "show", "main", "-o", "json").expecting().json.result
            #expect(ring.versions.array.isEmpty)
            let runs = try await sandbox.keyturn("runs", "-o", "json").expecting().json.result.array
            #expect(runs.map(\.state.string) == ["failed"])
            #expect(try archive.integer("SELECT count(*) FROM secret WHERE value LIKE 'secret %'") == 5)
        }

        @Test func whatAHookMakesBelongsToItsRun() async throws {
            let archive = try await Archive(rows: 5, keyring: Self.required, more: Self.declared, padding: 0)
            let sandbox = archive.sandbox
            _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
            try FileManager.default.createDirectory(
                atPath: sandbox.path("D/scripts"), withIntermediateDirectories: true)
            try sandbox.write(
                """
                hook "before" (function(run) return backups.create { verify = "checksums" } end)
                hook "after" (function(run) backups.create() end)
                """, to: "D/scripts/short.lua")
            _ = try await sandbox.keyturn("call", "configuration.load", "--yes").expecting()
            _ = try await sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
            let backups = try await archive.list()
            #expect(backups.map(\.stage.string) == ["after", "before"])
            #expect(backups.map(\.run.integer) == [1, 1])
        }

        /// The whole of it, as the guide tells it.
        private static func turnAndDestroy(in sandbox: Sandbox, rows: Int) async throws {
            _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
            try FileManager.default.createDirectory(
                atPath: sandbox.path("D/scripts"), withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: BuiltProgram.folder("scripts/backup-around.lua").path,
                toPath: sandbox.path("D/scripts/backup-around.lua"))
            // Without the grant the hook may not make a backup, so the run makes no key.
            let ungranted = try await sandbox.keyturn("adopt", "secret.value", "--yes", "-o", "json")
            #expect(ungranted.json.error.code.string == "callerHookFailed", "\(ungranted)")
            #expect(ungranted.json.error.message.string?.contains("not granted") == true, "\(ungranted)")
            _ = try await sandbox.keyturn("call", "configuration.load", "--yes").expecting()
            _ = try await sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
            _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting()
            try await expectBackups(in: sandbox)
            let drill = try await sandbox.keyturn(
                "call", "backups.drill", "identity=\(sandbox.path("id.txt"))", "-o", "json"
            ).expecting()
            #expect(drill.json.result.isPassed.bool == true && drill.json.result.backup.integer == 4, "\(drill)")
            #expect(drill.json.result.report.string?.contains("\(rows) values") == true, "\(drill)")
            let status = try await sandbox.keyturn("status", "-o", "json").expecting().json.result
            #expect(status.notes.array.contains { $0.string?.hasPrefix("the last drill passed, of backup 4") == true })
            try await destroy(in: sandbox)
            _ = try await sandbox.keyturn("verify").expecting()
        }

        private static func expectBackups(in sandbox: Sandbox) async throws {
            let backups = try await sandbox.keyturn("call", "backups.list", "-o", "json").expecting().json.result.array
            #expect(backups.map(\.id.integer) == [4, 3, 2, 1])
            #expect(backups.map(\.stage.string) == ["after", "before", "after", "before"])
            let runs = backups.compactMap(\.run.integer)
            #expect(runs.count == 4 && runs[0] == runs[1] && runs[2] == runs[3] && runs[0] > runs[2])
            #expect(backups.allSatisfy { $0.verified.string == "restore" && $0.keysScanned.bool == true })
            let keys = backups.map { $0.keys.array.compactMap(\.string) }
            #expect(keys[3].isEmpty && keys[2] == keys[1] && keys[0] != keys[1] && keys[0].count == 1)
        }

        private static func destroy(in sandbox: Sandbox) async throws {
            let early = try await sandbox.keyturn("keyring", "destroy", "main", "--reason", "superseded", "-o", "json")
            #expect(early.exitCode == 3 && early.json.result.state.string == "refused", "\(early)")
            let obstacles = early.json.result.report.obstacles.array.compactMap(\.string)
            #expect(obstacles.contains { $0.hasPrefix("backups 2, 3 need key") }, "\(obstacles)")
            let id = try #require(early.json.result.id.integer)
            #expect(try await sandbox.keyturn("keyring", "erase", "\(id)", "--yes").exitCode != 0)
            _ = try await sandbox.keyturn("backup", "create", "--verify", "restore").expecting()
            let pruned = try await sandbox.keyturn("backup", "prune", "--yes", "-o", "json").expecting().json.result
            #expect(pruned.removed.array.map(\.integer) == [1, 2, 3])
            let waiting = try await sandbox.keyturn(
                "keyring", "destroy", "main", "--reason", "superseded", "-o", "json"
            ).expecting().json.result
            #expect(waiting.state.string == "waiting" && waiting.report.obstacles.array.isEmpty)
            try await Task.sleep(for: .seconds(1.5))
            let number = try #require(waiting.id.integer)
            let erased = try await sandbox.keyturn("keyring", "erase", "\(number)", "--yes", "-o", "json").expecting()
            #expect(erased.json.result.state.string == "destroying", "\(erased)")
            let key = try #require(waiting.keys.array.first?.string)
            let ring = try await sandbox.keyturn("keyring", "show", "main", "-o", "json").expecting().json.result
            #expect(ring.versions.array.first { $0.id.string == key }?.state.string == "destroyed", "\(ring)")
        }
    }

    /// After a leak, and after a change of the root key.
    @Suite struct Leaks {
        @Test func whatALeakedKeyOpensIsSaidAndRemovedBeforeTheKeyEnds() async throws {
            let archive = try await Archive.adopted(rows: 20, more: ", destruction_delay = \"1s\"")
            let sandbox = archive.sandbox
            try await archive.backUp()
            _ = try await sandbox.keyturn("rotate", "main", "--emergency", "--yes").expecting()
            let status = try await sandbox.keyturn("status", "-o", "json").expecting(1).json.result
            let problem = status.problems.array.compactMap(\.string).first { $0.contains("is compromised") }
            #expect(problem?.contains("0 values lie under it still; backup 1 opens with it") == true, "\(status)")
            let shown = try await sandbox.keyturn("runs", "show", "2", "-o", "json").json.result
            #expect(shown.exposed.integer == 0, "\(shown)")
            #expect(try await archive.code("keyring", "erase", "1", "--yes") != nil)
            #expect(try await archive.code("backup", "remove", "1", "--yes") == "callerPolicyForbids")
            try await archive.backUp("--verify", "restore")
            try await archive.backUp("--verify", "restore")
            #expect(try await archive.code("backup", "remove", "1") == "callerNotConfirmed")
            _ = try await sandbox.keyturn("backup", "remove", "1", "--yes").expecting()
            #expect(try await archive.code("backup", "remove", "2", "--yes") == "callerPolicyForbids")
            #expect(try await archive.list().map(\.id.integer) == [3, 2])
            #expect(archive.files().count == 6)
            _ = try await sandbox.keyturn("keyring", "destroy", "main", "--reason", "leaked").expecting()
            try await Task.sleep(for: .seconds(1.5))
            _ = try await sandbox.keyturn("keyring", "erase", "1", "--yes").expecting()
            _ = try await sandbox.keyturn("status").expecting()
        }

        @Test func aGenerationOfTheRootKeyStaysUntilNoBackupNeedsIt() async throws {
            let archive = try await Archive.adopted(rows: 20, more: ", keep = 2")
            let sandbox = archive.sandbox
            #expect(try await archive.code("root", "prune", "--yes") == "callerPolicyForbids")
            try await archive.backUp()
            _ = try await sandbox.keyturn("rewrap", "main", "--new-root", "--yes").expecting()
            let held = try await sandbox.keyturn("root", "prune", "--yes", "-o", "json")
            #expect(
                held.exitCode == 3 && held.json.error.message.string?.contains("backup 1 needs it") == true, "\(held)")
            let drill = try await sandbox.keyturn("backup", "drill", "1", "--identity", "id.txt")
            #expect(drill.exitCode == 0, "\(drill)")
            try await archive.backUp()
            try await archive.backUp()
            #expect(try await archive.code("root", "prune", "--yes") == "callerPolicyForbids")
            _ = try await sandbox.keyturn("backup", "prune", "--yes").expecting()
            #expect(try await archive.code("root", "prune") == "callerNotConfirmed")
            let pruned = try await sandbox.keyturn("root", "prune", "--yes", "-o", "json").expecting().json.result
            #expect(pruned.expendable.array.map(\.integer) == [1])
            let root = try String(contentsOfFile: sandbox.path("D/root.key"), encoding: .utf8)
            #expect(root.split(separator: "\n").count == 2, "one generation is left")
            #expect(try await archive.code("root", "prune", "--yes") == "callerPolicyForbids")
            _ = try await sandbox.keyturn("verify").expecting()
            _ = try await sandbox.keyturn("backup", "drill", "--identity", "id.txt").expecting()
        }

        @Test func ciphertextThatNobodyDeclaredIsFoundWithWhatDeclaresIt() async throws {
            let archive = try await Archive.adopted(rows: 6)
            let sandbox = archive.sandbox
            _ = try await sandbox.keyturn("discover").expecting()
            try archive.execute(
                """
                UPDATE secret SET note = value WHERE id <= 4;
                UPDATE secret SET note = 'vault:v1:c2VjcmV0' WHERE id = 5;
                CREATE TABLE heap (what TEXT);
                """)
            let output = try await sandbox.keyturn("discover", "-o", "json").expecting(1).json.result
            let finding = try #require(output.findings.array.first)
            #expect(output.findings.array.count == 1 && finding.column.string == "secret.note")
            #expect(finding.values.integer == 5 && finding.ours.integer == 4)
            #expect(finding.suggestion.string == "column \"secret.note\" { keyring = \"main\" }")
            #expect(output.unread.array.map(\.string) == ["heap"])
        }
    }
}
