import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension BackupRuns {
    @Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
    struct PostgreSQL {
        @Test func aRotationThatDemandsBackupsWaitsForThemAndEachOpens() async throws {
            try await withStore(rows: 3000, keyring: ", backup = \"required\"", more: ", keep = 2") { store in
                try await store.adopt()
                let rotation = try store.sandbox.start("rotate", "main", "--yes")
                try await store.waitForRun(2, toBe: "waiting")
                let before = try await store.backUp("--run", "2", "--verify", "restore")
                #expect(before.stage.string == "before" && before.method.string == "logical")
                let output = try await rotation.wait()
                #expect(output.exitCode == 0, "\(output)")
                #expect(try await store.prune().reasons.array.first?.string?.contains("owes") == true)
                let after = try await store.backUp("--run", "2", "--verify", "restore")
                #expect(after.stage.string == "after")
                #expect(try await store.prune().reasons.array.isEmpty)
                let (first, second) = (before.keys.array, after.keys.array)
                #expect(first.count == 1 && second.count == 1 && first[0].string != second[0].string)
            }
        }

        @Test func aDumpOfTheMiddleOfARunOpensCompletely() async throws {
            try await withStore(rows: 30_000) { store in
                try await store.adopt()
                let rotation = try store.sandbox.start("rotate", "main", "--yes")
                try await store.database.application.waitFor(
                    "SELECT EXISTS (SELECT FROM keyturn.run_windows WHERE run_id = 2 AND rows_written > 0)")
                let amid = try await store.backUp("--verify", "restore")
                #expect(try await rotation.wait().exitCode == 0)
                #expect(amid.verified.string == "restore" && amid.keysScanned.bool == true)
                let shown = try await store.sandbox.keyturn("backup", "show", "1", "-o", "json").expecting()
                #expect(shown.json.result.manifest.proof.opened.integer == 30_000)
                #expect(shown.json.result.manifest.proof.exceptions.integer == 0)
            }
        }

        @Test func isRestoredIntoANewDatabaseWhereKeyturnGoesOn() async throws {
            try await withStore(rows: 500) { store in
                try await store.adopt()
                try await store.backUp()
                let new = store.database.name + "_new"
                let url = store.url(new)
                let result = try await store.sandbox.keyturn(
                    "backup", "restore", "1", "--to", url, "--identity", "id.txt", "-o", "json"
                ).expecting().json.result
                #expect(result.opened.integer == 500 && result.unopenable.integer == 0)
                #expect(result.place.string?.contains("postgresql") == false, "the place may hold a password")
                let again = try await store.code("backup", "restore", "1", "--to", url, "--identity", "id.txt")
                #expect(again == "callerTargetExists")
                #expect(
                    try await store.code("backup", "restore", "1", "--to", store.url(store.database.name))
                        == "callerTargetExists")
                try store.configure(database: new)
                _ = try await store.sandbox.keyturn("recover", "--yes").expecting()
                _ = try await store.sandbox.keyturn("verify").expecting()
                try await store.database.application.runAside("DROP DATABASE \(new) WITH (FORCE)")
            }
        }

        @Test func theFilesOfAClusterAreProvedAndRestored() async throws {
            let cluster = try PostgreSQLCluster(settings: ["wal_level = replica", "max_wal_senders = 4"])
            defer { cluster.dispose() }
            try await withStore(rows: 500, more: ", method = \"physical\"", in: cluster) { store in
                try await store.adopt()
                let backup = try await store.backUp("--verify", "restore")
                #expect(backup.verified.string == "restore" && backup.keysScanned.bool == true)
                let target = store.sandbox.path("cluster")
                _ = try await store.sandbox.keyturn(
                    "backup", "restore", "1", "--to", target, "--identity", "id.txt"
                ).expecting()
                #expect(FileManager.default.fileExists(atPath: target + "/PG_VERSION"))
                let drill = try await store.sandbox.keyturn("backup", "drill", "--identity", "id.txt").expecting()
                #expect(drill.standardOutput.contains("passed"))
                // Nothing of what was restored aside is left behind.
                let left = try FileManager.default.contentsOfDirectory(atPath: "/var/tmp")
                #expect(!left.contains { $0.hasPrefix(".keyturn-scratch") })
            }
        }

        @Test(arguments: [
            ("", "providerProgramMissing"), ("echo 'pg_dump (PostgreSQL) 9.6.24'", "providerProgramTooOld"),
            ("[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' || sleep 600", "providerTimedOut"),
            ("[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' || head -c 50000 /dev/urandom", "dataDamaged"),
            ("[ \"$1\" != --version ] || echo 'pg_dump (PostgreSQL) 99.1'", "dataDamaged"),
            (
                "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' || { echo PGDMP; echo 'out of memory' >&2; exit 1; }",
                "providerProgramFailed"
            ),
        ])
        func aProgramThatFailsLeavesNothing(script: String, code: String) async throws {
            try await withStore(rows: 5, more: ", timeout = \"3s\", verify = \"format\"") { store in
                try await store.adopt()
                try FileManager.default.createDirectory(
                    atPath: store.sandbox.path("bin"), withIntermediateDirectories: true)
                if !script.isEmpty { try await store.sandbox.writeProgram("#!/bin/sh\n\(script)\n", to: "bin/pg_dump") }
                store.sandbox.variables["KEYTURN_POSTGRESQL_BIN"] = store.sandbox.path("bin")
                #expect(try await store.code("backup", "create") == code)
                let names = try FileManager.default.contentsOfDirectory(atPath: store.sandbox.path("backups"))
                #expect(names.filter { $0 != ".lock" }.isEmpty)
                #expect(try await store.sandbox.keyturn("backup", "list", "-o", "json").json.result.array.isEmpty)
            }
        }

        @Test func aDumpOfAnotherDatabaseOrCutShortIsRefused() async throws {
            try await withStore(rows: 200) { store in
                try await store.adopt()
                let file = try #require(try await store.backUp().location.string)
                let bytes = try Data(contentsOf: URL(filePath: file))
                try bytes.dropLast(500).write(to: URL(filePath: file))
                for level in ["checksums", "restore"] {
                    let code = try await store.code("backup", "verify", "1", "--level", level, "--identity", "id.txt")
                    #expect(code == "dataDamaged")
                }
                try await withStore(rows: 200) { other in
                    try await other.adopt()
                    let foreign = try #require(try await other.backUp().location.string)
                    for suffix in ["", ".manifest.json", ".root.age"] {
                        let target = store.sandbox.path("backups/foreign.dump.age\(suffix)")
                        try FileManager.default.copyItem(atPath: foreign + suffix, toPath: target)
                    }
                    let identity = other.sandbox.path("id.txt")
                    let place = store.sandbox.path("backups/foreign.dump.age")
                    let code = try await store.code("backup", "import", place, "--identity", identity)
                    #expect(code == "dataForeign")
                }
            }
        }

        @Test func codeOfARoleThatMayDoLittleMayDoNoMoreInTheProof() async throws {
            let mark = "/tmp/keyturn-mark-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: mark) }
            try await withStore(rows: 20) { store in
                try await store.adopt()
                let clerk = "clerk_\(store.database.name)"
                try await store.database.application.runAside(
                    """
                    CREATE EXTENSION postgres_fdw;
                    CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
                    CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watch();
                    COMMENT ON EVENT TRIGGER watcher IS 'only a superuser makes one';
                    CREATE PUBLICATION everything FOR ALL TABLES;
                    CREATE ROLE \(clerk);
                    GRANT CREATE ON SCHEMA public TO \(clerk);
                    SET ROLE \(clerk);
                    CREATE FUNCTION is_good(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                        BEGIN
                            EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch \(mark)''';
                        EXCEPTION WHEN insufficient_privilege THEN RETURN true;
                        END;
                        RETURN true;
                    END $$;
                    CREATE TABLE ledger (id serial PRIMARY KEY, entry text CHECK (is_good(entry)));
                    INSERT INTO ledger (entry) VALUES ('one'), ('two');
                    ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
                    ALTER TABLE ledger FORCE ROW LEVEL SECURITY;
                    RESET ROLE
                    """)
                let backup = try await store.backUp("--verify", "restore")
                #expect(backup.verified.string == "restore" && backup.keysScanned.bool == true)
                #expect(!FileManager.default.fileExists(atPath: mark), "the check ran as a superuser")
                try await store.database.application.runAside("DROP OWNED BY \(clerk); DROP ROLE \(clerk)")
            }
        }

        @Test func aCommandShowsByThePositionThatItsBackupIsNotOlderThanTheRun() async throws {
            let commands = "command = { create = { \"create.sh\" }, verify = { \"/bin/true\" } }"
            try await withStore(rows: 5, more: ", method = \"command\", \(commands)") { store in
                let script = """
                    #!/bin/sh -e
                    printf '{"uri":"x-%s","bytes":9000,"tool":"x","tool_version":"1"%s}' $$ "$(cat "$(dirname "$0")/position")"
                    """
                try await store.sandbox.writeProgram(script, to: "create.sh")
                try await store.adopt()
                try store.configure(keyring: ", backup = \"required\"")
                let rotation = try store.sandbox.start("rotate", "main", "--yes")
                try await store.waitForRun(2, toBe: "waiting")
                for (position, code) in [
                    (", \"position\": \"0/1\"", "dataForeign"), (", \"position\": \"1\"", "dataForeign"),
                    ("", "callerRequestInvalid"), (", \"position\": \"late\"", "callerRequestInvalid"),
                ] {
                    try store.sandbox.write(position, to: "position")
                    #expect(try await store.code("backup", "create", "--run", "2", "--verify", "checksums") == code)
                }
                try store.sandbox.write(", \"position\": \"FFFF/1\"", to: "position")
                try await store.backUp("--run", "2", "--verify", "checksums")
                let output = try await rotation.wait()
                #expect(output.exitCode == 0, "\(output)")
            }
        }

        @Test func aPasswordStandsOnNoCommandLine() async throws {
            try await withStore(rows: 5) { store in
                try await store.adopt()
                let real = try #require(["/usr/lib/postgresql"].compactMap(Self.programs).first)
                let script = """
                    #!/bin/sh
                    [ "$1" = --version ] || tr '\\0' ' ' </proc/$$/cmdline >"\(store.sandbox.path("seen"))"
                    exec \(real)/pg_dump "$@"
                    """
                try FileManager.default.createDirectory(
                    atPath: store.sandbox.path("bin"), withIntermediateDirectories: true)
                try await store.sandbox.writeProgram(script, to: "bin/pg_dump")
                for name in ["pg_restore", "initdb", "postgres", "pg_isready"] {
                    try FileManager.default.createSymbolicLink(
                        atPath: store.sandbox.path("bin/\(name)"), withDestinationPath: "\(real)/\(name)")
                }
                try store.configure(password: "geheim")
                store.sandbox.variables["KEYTURN_POSTGRESQL_BIN"] = store.sandbox.path("bin")
                try await store.backUp("--verify", "checksums")
                let seen = try String(contentsOfFile: store.sandbox.path("seen"), encoding: .utf8)
                #expect(seen.contains("--format=custom") && !seen.contains("geheim"))
            }
        }

        private static func programs(in root: String) -> String? {
            let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
            return versions.sorted().last.map { "\(root)/\($0)/bin" }
        }
    }
}
