import Foundation
import Testing
import ToolTesting

extension BackupRuns {
    /// Backups that a program of the operator's own makes.
    struct Command {
        private func archive(_ create: String, restore: String? = nil, timeout: String = "60s") async throws -> Archive
        {
            let archive = try await Archive.adopted()
            try await archive.sandbox.writeProgram("#!/bin/sh\nset -e\n" + create, to: "create.sh")
            try await archive.sandbox.writeProgram("#!/bin/sh\ntest -s \"$KEYTURN_BACKUP_URI\"\n", to: "verify.sh")
            try await archive.sandbox.writeProgram("#!/bin/sh\nset -e\n" + (restore ?? ""), to: "restore.sh")
            let commands =
                "create = { \"create.sh\" }, verify = { \"verify.sh\" }"
                + (restore == nil ? "" : ", restore = { \"restore.sh\" }")
            try archive.configure(
                more: ", method = \"command\", timeout = \"\(timeout)\", command = { \(commands) }")
            return archive
        }

        private static func copying(_ sql: String = "") -> String {
            """
            cd "$(dirname "$0")"
            rm -f copy.db; sqlite3 app.db ".backup copy.db"; sqlite3 copy.db "\(sql)"
            printf '{"uri":"%s","bytes":%s,"tool":"sqlite3","tool_version":"3"}' "$PWD/copy.db" "$(stat -c %s copy.db)"
            """
        }

        private static let restoring = "cp \"$KEYTURN_BACKUP_URI\" \"$KEYTURN_RESTORE_TO/restored.db\"\n"

        @Test func oneThatHandsBackAManifestIsProvedAsFarAsThereArePrograms() async throws {
            let archive = try await archive(Self.copying())
            try await archive.backUp("--verify", "checksums")
            #expect(try await archive.code("backup", "create", "--verify", "restore") == "callerRequestInvalid")
            let whole = try await self.archive(Self.copying(), restore: Self.restoring)
            try await whole.backUp("--verify", "restore")
            #expect(try await whole.list().first?.keysScanned.bool == true)
        }

        @Test(arguments: [
            ("exit 0", "dataDamaged"), ("echo done", "dataDamaged"),
            ("echo '{\"uri\":\"x\",\"bytes\":0}'", "dataDamaged"),
            ("head -c 3000000 /dev/zero", "dataDamaged"),
            ("echo 'no room in the repository' >&2; exit 3", "providerProgramFailed"),
            ("sleep 600 & wait", "providerTimedOut"),
        ])
        func oneThatDoesNotIsRefused(script: String, code: String) async throws {
            let archive = try await archive(script + "\n", timeout: "2s")
            #expect(try await archive.code("backup", "create", "--verify", "checksums") == code)
            #expect(try await archive.list().isEmpty)
        }

        @Test(arguments: [
            ("DELETE FROM keyturn_wraps", "dataKeyringMissing"), ("DROP TABLE keyturn_schema", "dataKeyringMissing"),
            ("UPDATE keyturn_instance SET id = 'another'", "dataKeyringMissing"),
            ("UPDATE keyturn_instance SET nonce = 'another'", "dataForeign"),
            ("UPDATE keyturn_instance SET epoch = 1", "dataForeign"),
            (
                "DROP TRIGGER IF EXISTS x; UPDATE keyturn_fences SET form = 'any', first_at = 1, first = x'', second_at = NULL, second = NULL; UPDATE secret SET value = replace(value, substr(value, 30, 6), 'AAAAAA') WHERE id < 5",
                "dataKeyringMissing"
            ),
        ])
        func oneOfAnotherDatabaseOrWithoutItsKeysIsRefused(sql: String, code: String) async throws {
            let archive = try await archive(Self.copying(sql), restore: Self.restoring)
            #expect(try await archive.code("backup", "create", "--verify", "restore") == code)
            #expect(try await archive.list().isEmpty)
        }
    }
}
