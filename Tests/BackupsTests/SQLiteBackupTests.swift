import Backups
import Foundation
import GRDB
import KeyModel
import Testing
import ToolTesting

extension BackupRuns {
    struct SQLite {
        @Test func eachBackupRoundARotationOpensAloneWithItsOwnKeyring() async throws {
            let archive = try await Archive.adopted(rows: 9000)
            let before = try await archive.backUp("--verify", "restore")
            // The run dies amid the rows; the backup is made of what stands there then.
            let dying = try archive.sandbox.start("rotate", "main", "--yes", dyingAt: "batchCommitted:4")
            #expect(try await dying.wait().signal == SIGKILL)
            let during = try await archive.backUp("--verify", "restore")
            _ = try await archive.sandbox.keyturn("run", "resume", "2").expecting()
            let after = try await archive.backUp("--verify", "restore")
            let keys = try await archive.list().map { $0.keys.array.compactMap(\.string) }
            #expect(keys.map(\.count) == [1, 2, 1] && Set(keys[1]) == Set(keys[0] + keys[2]))
            for (number, backup) in [before, during, after].enumerated() {
                let output = try await archive.openAlone(backup.file, named: "alone\(number)")
                let column = output.json.result.keyrings[0].columns[0]
                #expect(column.rows.integer == 9000 && column.unopenable.integer == 0, "\(output)")
                #expect(output.exitCode == (number == 1 ? 1 : 0), "the one amid the run is not rewritten to its end")
            }
        }

        @Test func isRestoredBesideAndNeverOverTheOneInUse() async throws {
            let archive = try await Archive.adopted()
            let backup = try await archive.backUp()
            _ = try await archive.sandbox.keyturn("rotate", "main", "--yes").expecting()
            try archive.execute("DELETE FROM secret WHERE id > 10")
            for arguments in [["app.db"], ["sqlite:app.db"], [archive.sandbox.path("app.db")]] {
                let code = try await archive.code(
                    "backup", "restore", "1", "--identity", "id.txt", "--to", arguments[0])
                #expect(code == "callerTargetExists")
            }
            let other = try await archive.sandbox.keyturn(
                "backup", "restore", "\(backup.id)", "--identity", "id.txt", "--to", "r.db", "-o", "json"
            ).expecting()
            #expect(other.json.result.opened.integer == 40 && other.json.result.unopenable.integer == 0)
            #expect(try archive.integer("SELECT count(*) FROM secret", on: "r.db") == 40)
            #expect(try await archive.code("backup", "restore", "1", "--to", "new.db") == "keyIdentityMissing")
            #expect(!FileManager.default.fileExists(atPath: archive.sandbox.path("new.db")))
            _ = try await archive.sandbox.keyturn(
                "backup", "restore", "1", "--identity", "id.txt", "--to", "app.db", "--replace", "--yes"
            ).expecting()
            #expect(try await archive.code("rotate", "main", "--yes") == "storeSetBack")
            _ = try await archive.sandbox.keyturn("recover", "--yes").expecting()
            _ = try await archive.sandbox.keyturn("verify").expecting()
        }

        @Test(arguments: ["empty", "truncated", "altered", "gone", "another's", "another's with its manifest"])
        func whatIsNotTheBackupIsRefused(damage: String) async throws {
            let archive = try await Archive.adopted(more: ", keep = 2")
            let backup = try await archive.backUp("--verify", "restore")
            for _ in 1...2 { try await archive.backUp("--verify", "restore") }
            let url = URL(filePath: backup.file)
            var bytes = try Data(contentsOf: url)
            var expected = "dataDamaged"
            switch damage {
            case "empty": bytes = Data()
            case "truncated": bytes.removeLast(1000)
            case "altered": bytes[bytes.count / 2] ^= 1
            case "gone":
                try FileManager.default.removeItem(at: url)
                expected = "callerNotFound"
            default:
                let other = try await Archive.adopted()
                let foreign = try await other.backUp()
                bytes = try Data(contentsOf: URL(filePath: foreign.file))
                if damage != "another's" {
                    let place = archive.sandbox.path("backups/foreign.db.age")
                    for suffix in ["", ".manifest.json", ".root.age"] {
                        try FileManager.default.copyItem(atPath: foreign.file + suffix, toPath: place + suffix)
                    }
                    let identity = other.sandbox.path("id.txt")
                    let code = try await archive.code("backup", "import", place, "--identity", identity)
                    #expect(code == "dataForeign")
                    return
                }
            }
            if damage != "gone" { try bytes.write(to: url) }
            for level in ["format", "checksums", "restore"] {
                let code = try await archive.code(
                    "backup", "verify", "\(backup.id)", "--level", level, "--identity", "id.txt")
                #expect(code == expected, "\(level)")
            }
            #expect(
                try await archive.code("backup", "restore", "1", "--identity", "id.txt", "--to", "r.db") == expected)
            #expect(!FileManager.default.fileExists(atPath: archive.sandbox.path("r.db")))
            let drill = try await archive.sandbox.keyturn("backup", "drill", "1", "--identity", "id.txt").expecting(1)
            #expect(drill.standardOutput.contains("failed"))
            let first = try await archive.list().last
            #expect(first?.verified.string == "claimed" && first?.keys.array.count == 1, "its key stays needed")
            let pruned = try await archive.sandbox.keyturn("backup", "prune", "--yes", "-o", "json").expecting()
            #expect(pruned.json.result.removed.array.isEmpty, "\(pruned)")
            #expect(try await archive.list().count == 3)
        }

        @Test(arguments: ["verify", "drill"])
        func oneThatFailsItsProofStandsInForNoOther(way: String) async throws {
            let archive = try await Archive.adopted(more: ", keep = 2")
            for _ in 1...2 { try await archive.backUp("--verify", "restore") }
            let newest = try await archive.backUp("--verify", "restore")
            let whole = try Data(contentsOf: URL(filePath: newest.file))
            var bytes = whole
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(filePath: newest.file))
            let arguments = ["backup", way, "3", "--identity", "id.txt"]
            #expect(try await archive.sandbox.start(arguments: arguments).wait().exitCode == 1)
            #expect(try await archive.list().map(\.verified.string) == ["claimed", "restore", "restore"])
            let pruned = try await archive.sandbox.keyturn("backup", "prune", "--yes", "-o", "json").expecting()
            #expect(pruned.json.result.removed.array.isEmpty, "\(pruned)")
            #expect(pruned.json.result.reasons.array.first?.string?.hasPrefix("backup 3 failed its proof") == true)
            #expect(try await archive.list().compactMap { $0.id.integer } == [3, 2, 1])
            // What it was proved with can have been at fault: a proof that succeeds makes up for it.
            try whole.write(to: URL(filePath: newest.file))
            #expect(try await archive.code("backup", "verify", "3", "--identity", "id.txt") == nil)
            _ = try await archive.sandbox.keyturn("backup", "prune", "--yes").expecting()
            #expect(try await archive.list().compactMap { $0.id.integer } == [3, 2])
        }

        @Test func aNumberIsNeverGivenTwice() async throws {
            let archive = try await Archive.adopted()
            for _ in 1...3 { try await archive.backUp() }
            _ = try await archive.sandbox.keyturn("backup", "remove", "3", "--yes").expecting()
            #expect(try await archive.backUp().id == 4)
        }

        @Test func aManifestIsNotBelievedWhereItSpeaksOfKeysOrSizes() async throws {
            let archive = try await Archive.adopted()
            let made = try await archive.backUp("--verify", "checksums")
            let place = archive.sandbox.path("backups/taken.db.age")
            try FileManager.default.copyItem(atPath: made.file, toPath: place)
            let text = try String(contentsOfFile: made.file + ".manifest.json", encoding: .utf8)
            let emptied = text.replacing(/"(keyIDs|wrappedKeyIDs|wrappers)" : \[[^\]]*\]/) { "\"\($0.1)\" : []" }
                .replacing("\"keyIDsScanned\" : false", with: "\"keyIDsScanned\" : true")
            #expect(emptied != text)
            try emptied.write(toFile: place + ".manifest.json", atomically: true, encoding: .utf8)
            #expect(try await archive.code("backup", "import", place, "--identity", "id.txt") == nil)
            let list = try await archive.list()
            let keys = list.map { $0.keys.array.compactMap(\.string) }
            #expect(keys.count == 2 && keys[0] == keys[1] && keys[0].count == 1, "\(keys)")
            #expect(list[0].keysScanned.bool == true, "its values were opened, whatever the manifest says")
            let other = archive.sandbox.path("backups/huge.db.age")
            try FileManager.default.copyItem(atPath: made.file, toPath: other)
            try text.replacing(/"bytes" : \d+/, with: "\"bytes\" : \(Int64.max)")
                .write(toFile: other + ".manifest.json", atomically: true, encoding: .utf8)
            #expect(try await archive.code("backup", "import", other, "--identity", "id.txt") == "dataDamaged")
        }

        @Test func replacingIsSafeForThoseWhoHaveTheDatabaseOpen() async throws {
            let archive = try await Archive.adopted()
            let backup = try await archive.backUp()
            try archive.execute("CREATE TABLE later (id INTEGER PRIMARY KEY); INSERT INTO later VALUES (1)")
            var configuration = Configuration()
            configuration.allowsUnsafeTransactions = true
            configuration.busyMode = .timeout(20)
            let old = try DatabaseQueue(path: archive.sandbox.path("app.db"), configuration: configuration)
            let arguments = [
                "backup", "restore", "\(backup.id)", "--identity", "id.txt", "--to", "app.db", "--replace", "--yes",
            ]
            // While somebody writes not even the intent can be recorded, so nothing is done.
            try old.inDatabase { try $0.execute(sql: "BEGIN IMMEDIATE; INSERT INTO later VALUES (2)") }
            let refused = try await archive.sandbox.start(arguments: arguments + ["-o", "json"]).wait()
            #expect(refused.json.error.code.string == "storeAuditUnavailable", "\(refused)")
            try old.inDatabase { try $0.execute(sql: "COMMIT") }
            #expect(try archive.integer("SELECT count(*) FROM later") == 2)
            // Whoever reads keeps what it sees, and finds the restored database afterwards.
            try old.inDatabase { database in
                try database.execute(sql: "BEGIN")
                _ = try Int.fetchOne(database, sql: "SELECT count(*) FROM later")
            }
            _ = try await archive.sandbox.start(arguments: arguments).wait().expecting()
            #expect(try old.inDatabase { try Int.fetchOne($0, sql: "SELECT count(*) FROM later") } == 2)
            try old.inDatabase { try $0.execute(sql: "COMMIT") }
            #expect(
                try old.inDatabase {
                    try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_schema WHERE name = 'later'")
                } == 0)
            // What others write meanwhile is not taken away by its closing.
            let young = try DatabaseQueue(path: archive.sandbox.path("app.db"), configuration: configuration)
            try young.inDatabase { try $0.execute(sql: "UPDATE secret SET note = 'young' WHERE id = 1") }
            try old.close()
            #expect(try archive.integer("SELECT count(*) FROM secret WHERE note = 'young'") == 1)
            try young.close()
            #expect(try archive.integer("SELECT count(*) FROM secret WHERE note = 'young'") == 1)
            _ = try await archive.sandbox.keyturn("recover", "--yes").expecting()
            _ = try await archive.sandbox.keyturn("verify").expecting()
        }

        @Test func aDaemonGoesOnWithTheDatabaseThatItHasReplaced() async throws {
            let archive = try await Archive.adopted()
            let daemon = try await archive.sandbox.serve()
            let backup = try await archive.backUp()
            _ = try await archive.sandbox.keyturn("rotate", "main", "--yes").expecting()
            try archive.execute("DELETE FROM secret WHERE id > 10")
            _ = try await archive.sandbox.keyturn(
                "backup", "restore", "\(backup.id)", "--identity", archive.sandbox.path("id.txt"), "--to",
                archive.sandbox.path("app.db"), "--replace", "--yes"
            ).expecting()
            #expect(try archive.integer("SELECT count(*) FROM secret") == 40)
            #expect(try await archive.code("rotate", "main", "--yes") == "storeSetBack")
            _ = try await archive.sandbox.keyturn("recover", "--yes").expecting()
            _ = try await archive.sandbox.keyturn("rotate", "main", "--yes").expecting()
            _ = try await archive.sandbox.keyturn("verify").expecting()
            #expect(daemon.isRunning, "\(daemon.errorSoFar)")
            daemon.signal(SIGTERM)
            _ = try await daemon.wait()
            _ = try await archive.sandbox.keyturn("verify").expecting()
        }

        @Test func aBackupWaitsForWhoeverHoldsTheFolderAndTellsThatItDid() async throws {
            let archive = try await Archive.adopted()
            try await archive.backUp()
            let lock = try #require(fopen(archive.sandbox.path("backups/.lock"), "r+"))
            #expect(flock(fileno(lock), LOCK_EX | LOCK_NB) == 0)
            let running = try archive.sandbox.start("backup", "create", "-o", "json")
            try await Task.sleep(for: .seconds(2))
            #expect(running.isRunning, "\(running.errorSoFar)")
            flock(fileno(lock), LOCK_UN)
            let output = try await running.wait()
            #expect(output.exitCode == 0, "\(output)")
            #expect(flock(fileno(lock), LOCK_EX | LOCK_NB) == 0)
            let late = try await archive.code("backup", "create")
            #expect(late == "callerPolicyForbids")
            fclose(lock)
        }

        @Test func keysAreErasedOnlyWhereNoBackupIsMadeButReadWhileOneIs() async throws {
            let archive = try await Archive.adopted(more: ", destruction_delay = \"1s\"")
            _ = try await archive.sandbox.keyturn("rotate", "main", "--yes").expecting()
            try await archive.backUp("--verify", "restore")
            _ = try await archive.sandbox.keyturn("keyring", "destroy", "main", "--reason", "superseded").expecting()
            try await Task.sleep(for: .seconds(1.1))
            let lock = try #require(fopen(archive.sandbox.path("backups/.lock"), "r+"))
            #expect(flock(fileno(lock), LOCK_EX | LOCK_NB) == 0)
            let refused = try await archive.sandbox.keyturn("keyring", "erase", "1", "--yes", "-o", "json")
            #expect(refused.json.error.code.string == "callerPolicyForbids", "\(refused)")
            #expect(refused.json.error.message.string?.contains("makes or removes backups") == true, "\(refused)")
            #expect(try archive.integer("SELECT count(*) FROM keyturn_wraps") == 2)
            // A condition that does not hold is told without waiting for the folder, so the values were read before.
            try archive.execute("CREATE TABLE other (id INTEGER PRIMARY KEY, stray TEXT)")
            try archive.execute(
                "INSERT INTO other SELECT 1, 'kr1.01020304' || substr(value, 13) FROM secret WHERE id = 1")
            let unknown = try await archive.sandbox.keyturn("keyring", "erase", "1", "--yes", "-o", "json")
            #expect(unknown.json.error.message.string?.contains("unknown ciphertext") == true, "\(unknown)")
            try archive.execute("DROP TABLE other")
            fclose(lock)
            _ = try await archive.sandbox.keyturn("keyring", "erase", "1", "--yes").expecting()
            #expect(try archive.integer("SELECT count(*) FROM keyturn_wraps") == 1)
        }

        @Test func aProgramThatDecryptsHasItsTimeAndCanBeStopped() async throws {
            let archive = try await Archive.adopted()
            try await archive.backUp("--verify", "checksums")
            try FileManager.default.createDirectory(
                atPath: archive.sandbox.path("bin"), withIntermediateDirectories: true)
            // It decrypts as often as there are files `good`, then stands still: first the beginning is read, then all of it.
            let script = """
                #!/bin/sh
                cd "\(archive.sandbox.folder.path)"
                if rmdir good 2>/dev/null; then exec age "$@"; fi
                : >asked
                exec sleep 600

                """
            try await archive.sandbox.writeProgram(script, to: "bin/age")
            let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
            archive.sandbox.variables["PATH"] = archive.sandbox.path("bin") + ":" + path
            func verify(_ level: String) throws -> RunningProgram {
                try? FileManager.default.removeItem(atPath: archive.sandbox.path("asked"))
                if level == "checksums" { mkdir(archive.sandbox.path("good"), 0o700) }
                let identity = archive.sandbox.path("id.txt")
                return try archive.sandbox.start(
                    "backup", "verify", "1", "--level", level, "--identity", identity, "-o", "json")
            }
            for level in ["format", "checksums"] {
                try archive.configure()
                let running = try verify(level)
                while !FileManager.default.fileExists(atPath: archive.sandbox.path("asked")), running.isRunning {
                    try await Task.sleep(for: .milliseconds(20))
                }
                running.signal(SIGINT)
                let output = try await running.wait(limit: .seconds(60))
                #expect(output.exitCode == 130, "\(output)")
                try archive.configure(more: ", timeout = \"5s\"")
                let late = try await verify(level).wait()
                #expect(late.json.error.code.string == "providerTimedOut", "\(late)")
            }
            #expect(try await archive.list().first?.verified.string == "checksums", "nothing is known against it")
        }

        @Test(arguments: [
            ("exec sleep 600", "providerTimedOut"), ("echo nothing of the kind", "dataDamaged"),
            ("exit 0", "dataDamaged"),
            ("head -c 1000000 /dev/urandom", "dataDamaged"),
            ("echo 'out of memory' >&2; exit 1", "providerProgramFailed"),
            ("exec REAL \"$@\" | head -c 20000", "dataDamaged"),
        ])
        func aProgramThatEncryptsAndFailsLeavesNothing(script: String, code: String) async throws {
            let timeout = code == "providerTimedOut" ? "3s" : "120s"
            let archive = try await Archive.adopted(more: ", timeout = \"\(timeout)\"")
            let real = try await archive.sandbox.run("/bin/sh", "-c", "command -v age").expecting().line
            try FileManager.default.createDirectory(
                atPath: archive.sandbox.path("bin"), withIntermediateDirectories: true)
            let text = script.replacingOccurrences(of: "REAL", with: real)
            try await archive.sandbox.writeProgram(
                "#!/bin/sh\n[ \"$1\" = -e ] || exec \(real) \"$@\"\n\(text)\n", to: "bin/age")
            let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
            archive.sandbox.variables["PATH"] = archive.sandbox.path("bin") + ":" + path
            #expect(try await archive.code("backup", "create", "--verify", "checksums") == code)
            #expect(archive.files().isEmpty)
            #expect(try await archive.list().isEmpty)
        }

        @Test func byDefaultExactlyTheKeysThatValuesLieUnderAreListed() async throws {
            let archive = try await Archive.adopted()
            _ = try await archive.sandbox.keyturn("rotate", "main", "--yes").expecting()
            try await archive.backUp("--verify", "restore")
            try await archive.backUp()
            let list = try await archive.list()
            #expect(list.map(\.verified.string) == ["checksums", "restore"])
            #expect(list.allSatisfy { $0.keysScanned.bool == true && $0.wrappedKeys.array.count == 2 })
            let keys = list.map { $0.keys.array.compactMap(\.string) }
            #expect(keys[0].count == 1 && keys[0] == keys[1])
            // A table that cannot be looked through may hold anything.
            try archive.execute("CREATE TABLE bag (what TEXT)")
            try await archive.backUp("--verify", "checksums")
            let broad = try #require(try await archive.list().first)
            #expect(broad.keysScanned.bool == false && broad.keys.array.count == 2, "\(broad)")
        }

        @Test func prunesNeverBelowTwoThatCanBeUsed() async throws {
            let archive = try await Archive.adopted(more: ", keep = 2")
            for _ in 1...4 { try await archive.backUp() }
            let files = try await archive.list().compactMap { $0.location.string }
            // The newest is cut short: it keeps none of the others from being needed.
            try Data().write(to: URL(filePath: files[0]))
            _ = try await archive.sandbox.keyturn("backup", "pin", "1").expecting()
            _ = try await archive.sandbox.keyturn("backup", "prune", "--yes").expecting()
            let left = try await archive.list()
            #expect(left.compactMap { $0.id.integer } == [4, 3, 2, 1])
            _ = try await archive.sandbox.keyturn("backup", "unpin", "1").expecting()
            _ = try await archive.sandbox.keyturn("backup", "prune", "--yes").expecting()
            #expect(try await archive.list().compactMap { $0.id.integer } == [4, 3, 2])
            #expect(archive.files().filter { $0.hasSuffix(".db.age") }.count == 3)
        }

        @Test(arguments: BackupPoint.allCases.map(\.rawValue))
        func aKillAtAnyInstantListsNothingThatCannotBeRestored(point: String) async throws {
            let archive = try await Archive.adopted(more: ", keep = 2")
            for _ in 1...3 { try await archive.backUp() }
            let before = Self.sharedMemory()
            let isPruning = ["backupDoomed", "backupRemoved"].contains(point)
            let arguments = isPruning ? ["backup", "prune", "--yes"] : ["backup", "create", "--verify", "restore"]
            let killed = try await archive.sandbox.start(arguments: arguments, dyingAt: point).wait()
            #expect(killed.signal == SIGKILL, "\(killed)")
            // Nothing in the clear is left: no root key at all, and no copy once anybody has looked at the catalogue.
            let shared = Self.sharedMemory().subtracting(before)
            #expect(shared.isEmpty, "\(shared)")
            _ = try await archive.list()
            let left = archive.files().filter { $0.hasSuffix(".partial") || $0.hasPrefix(".keyturn-scratch") }
            #expect(left.isEmpty, "\(left)")
            for entry in try await archive.list() {
                let id = try #require(entry.id.integer)
                let code = try await archive.code("backup", "verify", "\(id)", "--identity", "id.txt")
                #expect(code == nil, "backup \(id)")
            }
            try await archive.backUp()
            _ = try await archive.sandbox.keyturn("backup", "prune", "--yes").expecting()
            let listed = try await archive.list().compactMap { $0.location.string }
            let names = archive.files()
            #expect(!names.contains { $0.hasSuffix(".partial") || $0.hasPrefix(".keyturn-scratch") }, "\(names)")
            // One that died between its manifest and the catalogue is whole, and waits to be taken in.
            let unlisted = names.filter {
                $0.hasSuffix(".db.age") && !listed.contains(archive.sandbox.path("backups/\($0)"))
            }
            #expect(unlisted.count == (point == "manifestPlaced" ? 1 : 0), "\(names)")
            for name in unlisted {
                let file = archive.sandbox.path("backups/\(name)")
                #expect(try await archive.code("backup", "import", file, "--identity", "id.txt") == nil)
            }
        }

        @Test func aDaemonThatStartsRemovesTheCopiesInTheClearThatAKillHasLeft() async throws {
            let archive = try await Archive.adopted()
            try await archive.backUp()
            let left = ["keyturn-20260101T000000000Z-sqlite.db.age.copy.partial", ".keyturn-scratch-0123abcd"]
            try archive.sandbox.write("in the clear", to: "backups/\(left[0])")
            mkdir(archive.sandbox.path("backups/\(left[1])"), 0o700)
            try archive.sandbox.write("in the clear", to: "backups/\(left[1])/restored.db")
            let daemon = try archive.sandbox.start("serve")
            let deadline = ContinuousClock.now + .seconds(60)
            while !Set(left).isDisjoint(with: archive.files()), daemon.isRunning, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(Set(left).isDisjoint(with: archive.files()), "\(archive.files()) \(daemon.errorSoFar)")
            daemon.signal(SIGTERM)
            _ = try await daemon.wait()
        }

        @Test(.enabled(if: geteuid() == 0, "only root can give folders away"))
        func whatOthersPutThereIsNotCleared() async throws {
            let archive = try await Archive.adopted()
            try await archive.backUp()
            let aside = archive.sandbox.path("aside")
            mkdir(aside, 0o700)
            try archive.sandbox.write("mine", to: "aside/file")
            let link = archive.sandbox.path("backups/.keyturn-scratch-0000000a")
            symlink(aside, link)
            let foreign = archive.sandbox.path("backups/.keyturn-scratch-0000000b")
            mkdir(foreign, 0o777)
            chown(foreign, 65534, 65534)
            try await archive.backUp()
            #expect(Set(archive.files()).isSuperset(of: [".keyturn-scratch-0000000a", ".keyturn-scratch-0000000b"]))
            #expect(try FileManager.default.contentsOfDirectory(atPath: aside) == ["file"])
            #expect(try FileManager.default.contentsOfDirectory(atPath: foreign).isEmpty)
        }

        /// What of ours has a name in the memory that processes share.
        private static func sharedMemory() -> Set<String> {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "/dev/shm")) ?? []
            return Set(names.filter { $0.hasPrefix("keyturn-") })
        }

        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aFullOrReadOnlyDiskIsToldAndLeavesNothing() async throws {
            let archive = try await Archive.adopted(rows: 300, more: ", rate = \"400kB\"", padding: 4000)
            let folder = archive.sandbox.path("backups")
            do {
                let disk = try SmallDisk(at: folder, bytes: 1 << 20)
                defer { disk.unmount() }
                #expect(try await archive.code("backup", "create") == "storeFull")
                #expect(archive.files().isEmpty)
            }
            do {
                let disk = try SmallDisk(at: folder, bytes: 1 << 20, isReadOnly: true)
                defer { disk.unmount() }
                #expect(try await archive.code("backup", "create") == "storeUnavailable")
            }
            let disk = try SmallDisk(at: folder, bytes: 8 << 20)
            defer { disk.unmount() }
            let running = try archive.sandbox.start("backup", "create", "-o", "json")
            while archive.files().isEmpty, running.isRunning { try await Task.sleep(for: .milliseconds(20)) }
            // Someone else takes the room that was there.
            try disk.fill()
            let output = try await running.wait()
            #expect(output.json.error.code.string == "storeFull", "\(output)")
            #expect(archive.files() == ["filler"])
            #expect(try await archive.list().isEmpty)
        }

        @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
        func aRunWhoseBackupDoesNotFitIsRefusedBeforeItBegins() async throws {
            let archive = try await Archive.adopted(rows: 300, padding: 4000)
            try archive.configure(keyring: ", backup = \"required\"")
            let disk = try SmallDisk(at: archive.sandbox.path("backups"), bytes: 1 << 20)
            defer { disk.unmount() }
            let plan = try await archive.sandbox.keyturn("plan", "main", "-o", "json")
            let refusals = plan.json.result.refusals.array.compactMap(\.string)
            #expect(refusals.contains { $0.hasPrefix("the backup before the run does not fit: ") }, "\(plan)")
            let refused = try await archive.sandbox.keyturn("rotate", "main", "--yes", "-o", "json")
            #expect(refused.exitCode != 0 && refused.json.error.message.string?.contains("does not fit") == true)
            #expect(try archive.integer("SELECT count(*) FROM keyturn_runs") == 1, "no run was begun")
            // An emergency is not held back.
            _ = try await archive.sandbox.keyturn("rotate", "main", "--emergency", "--yes").expecting()
        }

        @Test func aFolderThatIsNoneIsTold() async throws {
            let archive = try await Archive.adopted()
            try archive.sandbox.write("", to: "backups")
            #expect(try await archive.code("backup", "create") == "storeUnavailable")
            #expect(try await archive.list().isEmpty)
        }

        @Test func keepsToTheRateThatIsDeclaredAndStopsAtOnce() async throws {
            let archive = try await Archive.adopted(rows: 300, more: ", rate = \"100kB\"", padding: 4000)
            let running = try archive.sandbox.start("backup", "create", "-o", "json")
            while archive.files().isEmpty, running.isRunning { try await Task.sleep(for: .milliseconds(20)) }
            running.signal(SIGINT)
            let output = try await running.wait(limit: .seconds(30))
            #expect(output.exitCode == 130, "\(output)")
            #expect(archive.files().isEmpty)
            #expect(try await archive.list().isEmpty)
        }

        @Test func withoutARecipientNothingIsProvedThroughTheInstanceItself() async throws {
            let archive = try await Archive.adopted()
            let text = try String(contentsOfFile: archive.sandbox.path("keyturn.lua"), encoding: .utf8)
            let plain = text.replacing(/recipient = "[^"]*"/, with: "recipient = \"none\"")
            try archive.sandbox.write(plain, to: "keyturn.lua")
            #expect(try await archive.code("backup", "create", "--verify", "restore") == "keyIdentityMissing")
            try await archive.backUp("--verify", "checksums")
            _ = try await archive.sandbox.run("age-keygen", "-o", "escrow.txt").expecting()
            let recipient = try await archive.sandbox.run("age-keygen", "-y", "escrow.txt").expecting().line
            _ = try await archive.sandbox.keyturn(
                "root", "export", "--recipient", recipient, "--to", "root.age", "--yes"
            )
            .expecting()
            let declared = plain.replacingOccurrences(
                of: "recipient = \"none\"",
                with: "recipient = \"none\", escrow = \"root.age\", identity = \"escrow.txt\"")
            try archive.sandbox.write(declared, to: "keyturn.lua")
            try await archive.backUp("--verify", "restore")
        }
    }
}
