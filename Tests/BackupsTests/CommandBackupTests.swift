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
            sqlite3 app.db ".backup copy-$$.db"; sqlite3 copy-$$.db "\(sql)"
            \(naming)
            """
        }

        private static let naming = """
            printf '{"uri":"%s","bytes":%s,"tool":"sqlite3","tool_version":"3"}' "$PWD/copy-$$.db" "$(stat -c %s copy-$$.db)"
            """

        private static let restoring = "cp \"$KEYTURN_BACKUP_URI\" \"$KEYTURN_RESTORE_TO/restored.db\"\n"

        @Test func oneThatHandsBackAManifestIsProvedAsFarAsThereArePrograms() async throws {
            let archive = try await archive(Self.copying())
            try await archive.backUp("--verify", "checksums")
            #expect(try await archive.code("backup", "create", "--verify", "restore") == "callerRequestInvalid")
            let whole = try await self.archive(Self.copying(), restore: Self.restoring)
            try await whole.backUp("--verify", "restore")
            #expect(try await whole.list().first?.keysScanned.bool == true)
        }

        @Test func whatACommandRestoresIsOpened() async throws {
            let archive = try await archive(Self.copying(), restore: Self.restoring)
            try await archive.backUp("--verify", "restore")
            let folder = archive.sandbox.path("restored")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let result = try await archive.sandbox.keyturn("backup", "restore", "1", "--to", folder, "-o", "json")
                .expecting().json.result
            #expect(result.opened.integer == 40 && result.unopenable.integer == 0, "\(result)")
        }

        @Test func aLocationStandsForOneBackupAndASizeIsNotBelievedBlindly() async throws {
            let archive = try await archive(
                """
                cd "$(dirname "$0")"
                sqlite3 app.db ".backup same.db"
                printf '{"uri":"%s/%s","bytes":%s,"tool":"x","tool_version":"3"}' "$PWD" "$(cat name)" "$(cat bytes)"
                """)
            try archive.sandbox.write("same.db", to: "name")
            try archive.sandbox.write("4096", to: "bytes")
            try await archive.backUp("--verify", "checksums")
            #expect(try await archive.code("backup", "create", "--verify", "checksums") == "callerTargetExists")
            try archive.sandbox.write("other.db", to: "name")
            try archive.sandbox.write("\(Int64.max)", to: "bytes")
            #expect(try await archive.code("backup", "create", "--verify", "checksums") == "dataDamaged")
            try archive.sandbox.write("2047", to: "bytes")
            #expect(try await archive.code("backup", "create", "--verify", "format") == "dataDamaged")
            #expect(try await archive.list().count == 1)
        }

        @Test func aRunWaitsWhileItsBackupIsNotOneOfTheDatabaseAsItStands() async throws {
            let damaging = """
                cd "$(dirname "$0")"
                mode=$(cat mode); sqlite3 app.db ".backup copy-$$.db"
                case $mode in
                empty) : >copy-$$.db ;;
                truncated) truncate -s -4096 copy-$$.db ;;
                altered) sqlite3 copy-$$.db "DROP TRIGGER IF EXISTS keyturn_1_insert"; sed -i 's/kr1/kr2/g; s/KR1/KR2/g' copy-$$.db ;;
                older) cp old.db copy-$$.db ;;
                foreign) sqlite3 copy-$$.db "UPDATE keyturn_instance SET id = 'another'" ;;
                keyless) sqlite3 copy-$$.db "DELETE FROM keyturn_wraps" ;;
                esac
                \(Self.naming)
                """
            let archive = try await archive(damaging, restore: Self.restoring)
            let more =
                ", keep = 2, method = \"command\", command = { create = { \"create.sh\" }, verify = { \"verify.sh\" }, "
                + "restore = { \"restore.sh\" } }"
            try archive.configure(keyring: ", backup = \"required\"", more: more)
            try archive.sandbox.write("none", to: "mode")
            for _ in 1...2 { try await archive.backUp("--verify", "restore") }
            _ = try await archive.sandbox.run("sqlite3", "app.db", ".backup old.db").expecting()
            let rotation = try archive.sandbox.start("rotate", "main", "--yes")
            while try archive.integer("SELECT count(*) FROM keyturn_runs WHERE id = 2 AND state = 'waiting'") == 0 {
                #expect(rotation.isRunning)
                try await Task.sleep(for: .milliseconds(50))
            }
            for mode in ["empty", "truncated", "altered", "foreign", "older", "keyless"] {
                try archive.sandbox.write(mode, to: "mode")
                let code = try await archive.code("backup", "create", "--run", "2", "--verify", "restore")
                #expect(code?.hasPrefix("data") == true || code == "storeDamaged", "\(mode): \(code ?? "accepted")")
            }
            // Without a position in a log, only opening it shows that it is not an old one.
            try archive.sandbox.write("none", to: "mode")
            let code = try await archive.code("backup", "create", "--run", "2", "--verify", "checksums")
            #expect(code == "callerRequestInvalid")
            let pruned = try await archive.sandbox.keyturn("backup", "prune", "--yes", "-o", "json").expecting()
            #expect(pruned.json.result.removed.array.isEmpty, "\(pruned)")
            #expect(try archive.integer("SELECT count(*) FROM keyturn_key_versions") == 1, "no key was made")
            #expect(try archive.integer("SELECT count(*) FROM keyturn_runs WHERE id = 2 AND state = 'waiting'") == 1)
            try await archive.backUp("--run", "2", "--verify", "restore")
            #expect(try await rotation.wait().exitCode == 0)
        }

        @Test func noKeyIsErasedWhileABackupIsMadeAndWhatWrapsThemIsListedFromBeforeAndAfter() async throws {
            let archive = try await archive(Self.copying() + "\n")
            let calls = """
                #!/bin/sh
                set -e
                cd "$(dirname "$0")"
                export KEYTURN_INSTANCE="$PWD/D"
                "\(try BuiltProgram.keyturn())" keyring erase 1 --yes -o json >erased.json 2>/dev/null || true
                "\(try BuiltProgram.keyturn())" rewrap main --new-root --yes >rewrapped.txt 2>&1
                \(Self.copying())
                """
            _ = try await archive.sandbox.keyturn("rotate", "main", "--yes").expecting()
            try archive.configure(
                more:
                    ", destruction_delay = \"1s\", method = \"command\", command = { create = { \"create.sh\" }, "
                    + "verify = { \"verify.sh\" } }")
            _ = try await archive.sandbox.keyturn("keyring", "destroy", "main", "--reason", "superseded").expecting()
            try await archive.sandbox.writeProgram(calls, to: "create.sh")
            try await Task.sleep(for: .seconds(1.1))
            try await archive.backUp("--verify", "checksums")
            let said = try String(contentsOfFile: archive.sandbox.path("erased.json"), encoding: .utf8)
            let erased = JSONValue(parsing: said)
            #expect(erased.error.code.string == "callerPolicyForbids", "\(said)")
            #expect(erased.error.message.string?.contains("makes or removes backups") == true, "\(said)")
            let shown = try await archive.sandbox.keyturn("backup", "show", "1", "-o", "json").expecting().json.result
            #expect(shown.manifest.wrappers.array.count == 2 && shown.backup.keys.array.count == 2, "\(shown)")
            // Now that it is listed, it is what stands against the erasure.
            let refused = try await archive.sandbox.keyturn("keyring", "erase", "1", "--yes", "-o", "json")
            #expect(refused.json.error.message.string?.contains("backup 1 needs key") == true, "\(refused)")
        }

        @Test func anotherValueThatDoesNotOpenIsNoLessAFaultForBeingAsMany() async throws {
            let breaking =
                "UPDATE keyturn_fences SET form = 'any', first_at = 1, first = x'', second_at = NULL, second = NULL; "
                + "UPDATE secret SET value = replace(value, substr(value, 30, 6), 'AAAAAA') WHERE id = "
            let other = "UPDATE secret SET value = (SELECT value FROM w) WHERE id = 7; " + breaking + "8"
            let archive = try await archive(Self.copying("$(cat sql)"), restore: Self.restoring)
            try archive.execute("CREATE TABLE w (id INTEGER PRIMARY KEY, value TEXT)")
            try archive.execute("INSERT INTO w SELECT 1, value FROM secret WHERE id = 7")
            try archive.execute(breaking + "7")
            try archive.sandbox.write("", to: "sql")
            try await archive.backUp("--verify", "restore")
            // The same number of values does not open, but not the same ones.
            try archive.sandbox.write(other, to: "sql")
            #expect(try await archive.code("backup", "create", "--verify", "restore") == "dataKeyringMissing")
        }

        @Test func twoProofsAtOnceLeaveEachOtherAlone() async throws {
            let waiting = """
                if mkdir "$(dirname "$0")/first" 2>/dev/null; then
                    n=0; while [ ! -e "$(dirname "$0")/go" ] && [ $n -lt 1200 ]; do sleep 0.1; n=$((n + 1)); done
                fi
                \(Self.restoring)
                """
            let archive = try await archive(Self.copying(), restore: waiting)
            try await archive.backUp("--verify", "checksums")
            let first = try archive.sandbox.start("backup", "verify", "1", "--level", "restore")
            while !FileManager.default.fileExists(atPath: archive.sandbox.path("first")), first.isRunning {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await archive.code("backup", "verify", "1", "--level", "restore") == nil)
            try archive.sandbox.write("", to: "go")
            let output = try await first.wait()
            #expect(output.exitCode == 0, "\(output)")
            #expect(archive.files().allSatisfy { !$0.hasPrefix(".keyturn-scratch") })
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
