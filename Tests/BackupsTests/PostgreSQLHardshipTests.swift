import Backups
import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension BackupRuns {
    /// Backups of PostgreSQL that go wrong: what is stored, where it is stored, and who makes it.
    @Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
    struct PostgreSQLHardships {
        @Test func aRunWaitsWhileItsDumpIsNotOneOfTheDatabaseAsItStands() async throws {
            try await withStore(rows: 3000, more: ", keep = 2") { store in
                try await store.adopt()
                for _ in 1...2 { try await store.backUp("--verify", "checksums") }
                try await withStore(rows: 3000) { other in
                    try await other.adopt()
                    try await Self.spoilDumps(of: store, other: other.database.name)
                    try store.configure(keyring: ", backup = \"required\"")
                    let rotation = try store.sandbox.start("rotate", "main", "--yes")
                    try await store.waitForRun(2, toBe: "waiting")
                    for (mode, code) in [
                        ("empty", "dataDamaged"), ("truncated", "dataDamaged"), ("altered", "dataDamaged"),
                        ("foreign", "dataForeign"), ("older", "dataForeign"), ("keyless", "dataKeyringMissing"),
                    ] {
                        try store.sandbox.write(mode, to: "mode")
                        for level in ["checksums", "restore"] {
                            let found = try await store.code("backup", "create", "--run", "2", "--verify", level)
                            #expect(found == code, "\(mode) by \(level)")
                        }
                    }
                    #expect(try await store.prune().removed.array.isEmpty)
                    let keys = try await store.database.application.runAside(
                        "SELECT count(*) FROM keyturn.key_versions")
                    #expect(keys.first?.first == "1", "no key was made")
                    let state = try await store.database.application.runAside(
                        "SELECT state FROM keyturn.runs WHERE id = 2")
                    #expect(state.first?.first == "waiting" && rotation.isRunning)
                    #expect(try await store.list().compactMap(\.id.integer) == [2, 1])
                    try store.sandbox.write("none", to: "mode")
                    try await store.backUp("--run", "2", "--verify", "checksums")
                    let output = try await rotation.wait()
                    #expect(output.exitCode == 0, "\(output)")
                }
            }
        }

        /// Puts a program in the place of `pg_dump` that does as the file `mode` says, and keeps a dump of now as an old one.
        private static func spoilDumps(of store: Store, other: String) async throws {
            let real = try Self.programs(besides: ["pg_dump"], in: store)
            let folder = store.sandbox.folder.path
            let script = """
                #!/bin/sh
                real="\(real)/pg_dump"
                [ "$1" = --version ] && exec "$real" --version
                cd "\(folder)"
                case $(cat mode) in
                empty) exit 0 ;;
                truncated) "$real" "$@" >whole && head -c -2000 whole ;;
                altered) "$real" "$@" >whole && size=$(stat -c %s whole) && head -c $((size / 2)) whole &&
                    printf 'KEYTURN!' && tail -c +$((size / 2 + 9)) whole ;;
                foreign) PGDATABASE=\(other) exec "$real" "$@" ;;
                older) cat older ;;
                keyless) exec "$real" --exclude-schema=keyturn "$@" ;;
                *) exec "$real" "$@" ;;
                esac

                """
            try await store.sandbox.writeProgram(script, to: "bin/pg_dump")
            _ = try await store.sandbox.run(
                "\(real)/pg_dump", "--format=custom", "--file=\(store.sandbox.path("older"))",
                "--dbname=\(store.url(store.database.name))"
            ).expecting()
            store.sandbox.variables["KEYTURN_POSTGRESQL_BIN"] = store.sandbox.path("bin")
        }

        /// Makes a folder of links to the server's programs, some left out, and returns where the real ones are.
        private static func programs(besides left: Set<String>, in store: Store) throws -> String {
            let real = URL(filePath: try PostgreSQLCluster.program("pg_dump")).deletingLastPathComponent().path
            let bin = store.sandbox.path("bin")
            try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
            for name in try FileManager.default.contentsOfDirectory(atPath: real) where !left.contains(name) {
                try FileManager.default.createSymbolicLink(
                    atPath: "\(bin)/\(name)", withDestinationPath: "\(real)/\(name)")
            }
            return real
        }

        @Test(arguments: [
            ("", "providerProgramMissing"),
            (
                "[ \"$1\" = --version ] && echo 'pg_basebackup (PostgreSQL) 9.6.24' || exec REAL \"$@\"",
                "providerProgramTooOld"
            ),
            ("[ \"$1\" = --version ] && exec REAL --version; sleep 600", "providerTimedOut"),
            ("[ \"$1\" = --version ] && exec REAL --version; head -c 50000 /dev/urandom", "dataDamaged"),
            ("[ \"$1\" = --version ] && exec REAL --version; exit 0", "dataDamaged"),
            ("[ \"$1\" = --version ] && exec REAL --version; REAL \"$@\" | head -c 3000000", "dataDamaged"),
            ("[ \"$1\" = --version ] && exec REAL --version; echo 'no room' >&2; exit 1", "providerProgramFailed"),
        ])
        func aProgramThatCopiesAClusterAndFailsLeavesNothing(script: String, code: String) async throws {
            // Those that stand still are ended soon; the others have all the time that a busy machine takes.
            let timeout = code == "providerTimedOut" ? "3s" : "120s"
            let more = ", method = \"physical\", timeout = \"\(timeout)\", verify = \"checksums\""
            try await withStore(rows: 5, more: more) { store in
                try await store.adopt()
                let real = try Self.programs(besides: ["pg_basebackup"], in: store)
                if !script.isEmpty {
                    let text = script.replacingOccurrences(of: "REAL", with: "\(real)/pg_basebackup")
                    try await store.sandbox.writeProgram("#!/bin/sh\n\(text)\n", to: "bin/pg_basebackup")
                }
                store.sandbox.variables["KEYTURN_POSTGRESQL_BIN"] = store.sandbox.path("bin")
                #expect(try await store.code("backup", "create") == code)
                #expect(store.files().isEmpty)
                #expect(try await store.list().isEmpty)
            }
        }

        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aFullOrReadOnlyFolderIsToldAndLeavesNothing() async throws {
            try await withStore(rows: 5000, more: ", rate = \"400kB\", verify = \"checksums\"") { store in
                try await store.adopt()
                try await store.database.application.runAside(
                    """
                    UPDATE secret SET note =
                        (SELECT string_agg(md5(random()::text || secret.id || n), '') FROM generate_series(1, 20) n)
                    """)
                let folder = store.sandbox.path("backups")
                do {
                    let disk = try SmallDisk(at: folder, bytes: 1 << 20)
                    defer { disk.unmount() }
                    #expect(try await store.code("backup", "create") == "storeFull")
                    #expect(store.files().isEmpty)
                }
                do {
                    let disk = try SmallDisk(at: folder, bytes: 1 << 20, isReadOnly: true)
                    defer { disk.unmount() }
                    #expect(try await store.code("backup", "create") == "storeUnavailable")
                }
                let disk = try SmallDisk(at: folder, bytes: 64 << 20)
                defer { disk.unmount() }
                let running = try store.sandbox.start("backup", "create", "-o", "json")
                while store.files().isEmpty, running.isRunning { try await Task.sleep(for: .milliseconds(20)) }
                // Someone else takes the room that was there.
                try disk.fill()
                let output = try await running.wait()
                #expect(output.json.error.code.string == "storeFull", "\(output)")
                #expect(store.files() == ["filler"])
                #expect(try await store.list().isEmpty)
            }
        }

        @Test(arguments: BackupPoint.allCases)
        func aDaemonThatIsKilledListsNothingThatCannotBeRestored(point: BackupPoint) async throws {
            try await withStore(rows: 20, more: ", keep = 2") { store in
                try await store.adopt()
                let isPruning = [.backupDoomed, .backupRemoved].contains(point)
                for _ in 1...(isPruning ? 3 : 1) { try await store.backUp("--verify", "checksums") }
                let daemon = try await store.sandbox.serve(dyingAt: point.rawValue)
                let level = point == .rootKeyOpened ? "restore" : "checksums"
                let arguments = isPruning ? ["backup", "prune", "--yes"] : ["backup", "create", "--verify", level]
                let client = try await store.sandbox.start(arguments: arguments).wait()
                #expect(client.exitCode != 0, "\(client)")
                #expect(try await daemon.wait().signal == SIGKILL)
                let listed = try await store.list()
                #expect(listed.count == (isPruning ? 2 : point == .backupListed ? 2 : 1), "\(point)")
                let left = store.files().filter { $0.hasSuffix(".partial") || $0.hasPrefix(".keyturn-scratch") }
                #expect(left.isEmpty, "\(left)")
                // The last level restores each of them aside and opens every value.
                for entry in listed {
                    let id = try #require(entry.id.integer)
                    #expect(try await store.code("backup", "verify", "\(id)", "--identity", "id.txt") == nil, "\(id)")
                }
                let next = try await store.sandbox.serve()
                try await store.backUp("--verify", "checksums")
                _ = try await store.prune()
                next.signal(SIGTERM)
                _ = try await next.wait()
                #expect(try await store.list().count == 2)
            }
        }
    }
}
