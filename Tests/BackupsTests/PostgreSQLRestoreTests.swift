import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension BackupRuns {
    /// Backups of PostgreSQL that are restored, and opened by an instance made of nothing but them.
    @Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
    struct PostgreSQLRestores {
        @Test func eachDumpRoundARotationOpensAloneWithItsOwnKeyring() async throws {
            try await withStore(rows: 3000) { store in
                try await store.adopt()
                let before = try await store.backUp("--verify", "checksums")
                // The run dies amid the rows; the dump is made of what stands there then.
                let dying = try store.sandbox.start("rotate", "main", "--yes", dyingAt: "batchCommitted:4")
                #expect(try await dying.wait().signal == SIGKILL)
                let during = try await store.backUp("--verify", "checksums")
                _ = try await store.sandbox.keyturn("run", "resume", "2").expecting()
                let after = try await store.backUp("--verify", "checksums")
                for (number, backup) in [before, during, after].enumerated() {
                    let column = try await Self.openAlone(backup, of: store, named: "alone\(number)")
                    #expect(column.rows.integer == 3000 && column.unopenable.integer == 0, "\(number)")
                    let old = column.old.members.values.compactMap(\.integer).reduce(0, +)
                    #expect((old > 0) == (number == 1), "only the one amid the run is not rewritten to its end")
                }
            }
        }

        /// Restores a dump by PostgreSQL's own programs, beside the database that it was made of.
        private static func openAlone(_ backup: JSONValue, of store: Store, named name: String) async throws
            -> JSONValue
        {
            let file = try #require(backup.location.string)
            let dump = store.sandbox.path("\(name).dump")
            _ = try await store.sandbox.run("age", "-d", "-i", "id.txt", "-o", dump, file).expecting()
            let database = "\(store.database.name)_\(name)"
            try await store.database.application.runAside("CREATE DATABASE \(database)")
            _ = try await store.sandbox.run(
                try PostgreSQLCluster.program("pg_restore"), "--exit-on-error", "--dbname=\(store.url(database))", dump
            ).expecting()
            let column = try await store.openAlone(at: store.url(database), rootOf: backup, named: name)
            try await store.database.application.runAside("DROP DATABASE \(database) WITH (FORCE)")
            return column
        }

        @Test func theFilesOfAClusterStartAsIsSaidAndKeyturnGoesOn() async throws {
            let cluster = try PostgreSQLCluster(
                settings: [
                    "wal_level = replica", "max_wal_senders = 4", "archive_mode = on", "archive_command = 'true'",
                ])
            defer { cluster.dispose() }
            try await withStore(rows: 500, more: ", method = \"physical\"", in: cluster) { store in
                try await store.adopt()
                let before = try await store.backUp("--verify", "checksums")
                _ = try await store.sandbox.keyturn("rotate", "main", "--yes").expecting()
                let after = try await store.backUp("--verify", "checksums")
                _ = try await store.sandbox.keyturn("rotate", "main", "--yes").expecting()
                for (number, backup) in [before, after].enumerated() {
                    try await Self.withStarted(backup, of: store) { address in
                        let column = try await store.openAlone(at: address, rootOf: backup, named: "alone\(number)")
                        #expect(column.rows.integer == 500 && column.active.integer == 500, "\(number)")
                        // The same instance goes on with it, by the steps that are named.
                        try store.configure(at: address)
                        _ = try await store.sandbox.keyturn("recover", "--yes").expecting()
                        let verified = try await store.sandbox.keyturn("verify", "-o", "json").expecting()
                        #expect(verified.json.result.isClean.bool == true, "\(verified)")
                        _ = try await store.sandbox.keyturn("rotate", "main", "--yes").expecting()
                        _ = try await store.sandbox.keyturn("verify").expecting()
                    }
                    try store.configure()
                    _ = try await store.sandbox.keyturn("recover", "--yes").expecting()
                }
                _ = try await store.sandbox.keyturn("verify").expecting()
            }
        }

        /// Restores the files of a cluster and starts a server on them, by the very command that the restore hands out.
        private static func withStarted(
            _ backup: JSONValue, of store: Store, _ body: (_ address: String) async throws -> Void
        ) async throws {
            let folder = "/tmp/keyturn-r-\(UUID().uuidString.prefix(8).lowercased())"
            let restored = try await store.sandbox.keyturn(
                "backup", "restore", "\(try #require(backup.id.integer))", "--to", folder, "--identity", "id.txt", "-o",
                "json"
            ).expecting().json.result
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let (start, address) = (try #require(restored.start.string), try #require(restored.database.string))
            let next = restored.next.array.compactMap(\.string)
            #expect(next.first?.hasSuffix(start) == true && next.count == 4 && next[1].contains(address), "\(next)")
            #expect(next[2].hasSuffix("keyturn recover") && next[3].hasSuffix("keyturn verify"), "\(next)")
            // What the settings were is kept, and not in force.
            #expect(FileManager.default.fileExists(atPath: folder + "/postgresql.conf.origin"))
            _ = try await store.sandbox.run("/bin/sh", "-c", start).expecting()
            let result: Result<Void, any Error>
            do {
                let application = try ApplicationConnection(address)
                for (name, value) in [("archive_mode", "off"), ("listen_addresses", "")] {
                    #expect(try await application.runAside("SHOW \(name)").first?.first == value)
                }
                try await body(address)
                result = .success(())
            } catch { result = .failure(error) }
            let stop = start.dropLast("start".count) + "--mode=immediate stop"
            _ = try await store.sandbox.run("/bin/sh", "-c", String(stop)).expecting()
            try result.get()
        }

        @Test func aFolderThatWillNotDoIsLeftAsItIs() async throws {
            try await withStore(rows: 5, more: ", method = \"physical\"") { store in
                try await store.adopt()
                try await store.backUp("--verify", "checksums")
                let long = "/tmp/keyturn-\(String(repeating: "x", count: 90))"
                #expect(
                    try await store.code("backup", "restore", "1", "--to", long, "--identity", "id.txt")
                        == "callerRequestInvalid")
                #expect(!FileManager.default.fileExists(atPath: long))
                try FileManager.default.createDirectory(
                    atPath: store.sandbox.path("used"), withIntermediateDirectories: true)
                try store.sandbox.write("mine", to: "used/file")
                let code = try await store.code(
                    "backup", "restore", "1", "--to", store.sandbox.path("used"), "--identity", "id.txt")
                #expect(code == "callerTargetExists")
                #expect(try String(contentsOfFile: store.sandbox.path("used/file"), encoding: .utf8) == "mine")
                // What fails on its way leaves nothing: the key that is given does not open it.
                _ = try await store.sandbox.run("age-keygen", "-o", "other.txt").expecting()
                let folder = "/tmp/keyturn-r-\(UUID().uuidString.prefix(8).lowercased())"
                #expect(
                    try await store.code("backup", "restore", "1", "--to", folder, "--identity", "other.txt")
                        == "keyIdentityMissing")
                #expect(!FileManager.default.fileExists(atPath: folder))
            }
        }
    }
}
