import Foundation
import Testing

/// Disks, files and databases that are not as they must be: one clear error, nothing lost, and a way on.
struct BadPlaceTests {
    @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
    func aFullDiskStopsTheRunAndRoomLetsItGoOn() throws {
        let ground = try Ground()
        let disk = try SmallDisk(at: ground.path("small"), bytes: 24 << 20)
        defer { disk.unmount() }
        try ground.write(Ground.configuration.replacing("a.db", with: "small/a.db"), to: "keyturn.lua")
        try ground.sql(
            """
            CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT);
            WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 8000)
            INSERT INTO t (id, s) SELECT x, 'secret-' || x FROM c;
            """, in: "small/a.db")
        try ground.must("init --config keyturn.lua")
        let plan = try ground.keyturn("plan main --adopt -o json")
        #expect(plan.status == 0 || plan.text.contains(" of disk"), "\(plan.all)")
        let run = try ground.start(["adopt", "t.s", "--yes", "--rows-per-second", "2000", "-o", "json"])
        try waitForRows(ground, run: 1, in: "small/a.db")
        let free = try disk.fill()
        #expect(free < 1 << 20)
        let ended = try run.wait()
        #expect(ended.status == 1, "\(ended.all)")
        #expect(try Envelope(ended).code == "storeFull", "\(ended.all)")
        #expect(try Envelope(ended).hint.contains("Make room"), "\(ended.all)")
        #expect(try ground.sql("SELECT count(*) FROM t", in: "small/a.db") == "8000")
        try disk.makeRoom()
        try ground.must("run resume 1 --quiet")
        try ground.must("verify --quiet")
        #expect(try ground.must("open t.s --stored --key 8000").text == "secret-8000\n")
    }

    @Test(.enabled(if: SmallDisk.canBeMounted, "mounting a tmpfs is not allowed here"))
    func aReadOnlyDatabaseOpensAndRefusesTheRest() throws {
        let ground = try Ground()
        let disk = try SmallDisk(at: ground.path("small"), bytes: 32 << 20)
        defer { disk.unmount() }
        try ground.write(Ground.configuration.replacing("a.db", with: "small/a.db"), to: "keyturn.lua")
        try ground.sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, 'secret-1')", in: "small/a.db")
        try ground.must("init --config keyturn.lua")
        try ground.must("adopt t.s --yes --quiet")
        let before = try Data(contentsOf: ground.folder.appending(path: "small/a.db"))
        try disk.forbidWriting()
        #expect(try ground.must("open t.s --stored --key 1").text == "secret-1\n")
        try ground.must("verify")
        try ground.refuses("rotate main --yes", 2, "storeAuditUnavailable", saying: "may only be read")
        try ground.refuses("seal t.s --key 1", 2, "storeReadOnly", input: "x")
        #expect(try Data(contentsOf: ground.folder.appending(path: "small/a.db")) == before)
    }

    @Test
    func aSecondRunWhileOneIsOpenIsRefusedAndNamesIt() throws {
        let ground = try Ground()
        try ground.seal(rows: 8000)
        let first = try ground.start(["rotate", "main", "--yes", "--rows-per-second", "1500"])
        try waitForRows(ground, run: 2)
        let second = try ground.keyturn("rotate main --yes -o json")
        #expect(second.status == 3 || second.status == 2, "\(second.all)")
        #expect(["callerRunOpen", "storeLeaseHeld"].contains(try Envelope(second).code ?? ""), "\(second.all)")
        #expect(try ground.keyturn("status --no-count").text.contains("run 2: rotate"))
        try ground.must("run cancel 2 --yes")
        let ended = try first.wait()
        #expect(ended.status == 1, "\(ended.all)")
        #expect(ended.text.contains("cancelled"), "\(ended.all)")
        try ground.must("rotate main --yes --quiet")
        try ground.must("verify --quiet")
    }

    @Test
    func anOlderCopyOnlyOpensUntilItIsAccepted() throws {
        let ground = try Ground()
        try ground.seal(rows: 10)
        try ground.sql("VACUUM INTO 'old.db'")
        try ground.must("rotate main --yes --quiet")
        try ground.tool("sh", ["-c", "rm -f a.db a.db-wal a.db-shm && mv old.db a.db"])
        let status = try ground.keyturn("status")
        #expect(status.status == 1)
        #expect(status.text.contains("problem:") && status.text.contains("keyturn recover"), "\(status.all)")
        let before = try ground.rows()
        try ground.refuses("rotate main --yes", 3, "storeSetBack", saying: "recover")
        try ground.refuses("adopt t.s --yes", 3, "storeSetBack", saying: "recover")
        try ground.refuses("seal t.s --key 1", 3, "storeSetBack", saying: "recover", input: "x")
        #expect(try ground.must("open t.s --stored --key 4").text == "secret-4\n")
        try ground.refuses("recover", 3, "callerNotConfirmed", saying: "--yes")
        #expect(try ground.rows() == before)
        try ground.must("recover --yes")
        try ground.must("rotate main --yes --quiet")
        try ground.must("verify")
        #expect(try ground.must("open t.s --stored --key 4").text == "secret-4\n")
    }

    @Test
    func anotherInstancesDatabaseIsRefusedAndLeftAlone() throws {
        let (ground, other) = (try Ground(), try Ground())
        try ground.seal(rows: 5)
        try other.seal(rows: 5)
        try ground.tool("cp", [other.path("a.db"), ground.path("a.db")])
        let before = try ground.read("a.db")
        try ground.refuses("rotate main --yes", 3, "storeSetBack")
        try ground.refuses("recover --yes", 3, "storeSetBack", saying: "belongs to instance")
        try ground.refuses("open t.s --stored --key 1", 3, "storeSetBack", saying: "belongs to instance")
        try ground.refuses("status", 3, "storeSetBack", saying: "belongs to instance")
        try ground.write(Ground.configuration + "keyring \"more\" { core = \"kr1\" }\n", to: "keyturn.lua")
        try ground.refuses("keyring list", 3, "storeSetBack", saying: "belongs to instance")
        #expect(try ground.read("a.db") == before)
    }

    @Test
    func aLostRootKeyStopsEverythingAndItsEscrowBringsItBack() throws {
        let ground = try Ground()
        try ground.seal(rows: 5)
        try ground.tool("age-keygen", ["-o", "identity.txt"])
        let recipient = try ground.tool("age-keygen", ["-y", "identity.txt"]).trimmingCharacters(in: .newlines)
        try ground.must("root export --recipient \(recipient) --to root.age --yes")
        #expect(try !ground.read("root.age").contains(ground.read("D/root.key").suffix(20)))
        let before = try ground.rows()
        try ground.tool("mv", ["D/root.key", "kept.key"])
        for line in ["rotate main --yes", "open t.s --stored --key 1", "verify", "status"] {
            let ended = try ground.keyturn(line + " -o json")
            #expect(ended.status == 2, "\(line): \(ended.all)")
            let error = try Envelope(ended)
            #expect(error.message.contains("root.key"), "\(ended.all)")
            #expect(error.hint.contains("root restore"), "\(ended.all)")
        }
        try ground.must("root restore --from root.age --identity identity.txt")
        #expect(try ground.read("D/root.key") == ground.read("kept.key"))
        #expect(try ground.rows() == before)
        #expect(try ground.must("open t.s --stored --key 1").text == "secret-1\n")
        try ground.refuses("root restore --from root.age --identity identity.txt", 1, "callerFileExists")
    }

    @Test
    func aForeignRootKeyIsRefusedByItsFingerprint() throws {
        let (ground, other) = (try Ground(), try Ground())
        try ground.seal(rows: 5)
        try other.seal(rows: 1)
        let before = try ground.rows()
        try ground.tool("cp", [other.path("D/root.key"), ground.path("D/root.key")])
        for line in ["rotate main --yes", "open t.s --stored --key 1"] {
            let ended = try ground.keyturn(line + " -o json")
            #expect(ended.status == 2, "\(line): \(ended.all)")
            #expect(try Envelope(ended).message.contains("root"), "\(ended.all)")
        }
        #expect(try ground.rows() == before)
    }

    @Test
    func aRootKeyThatOthersCanReadIsRefused() throws {
        let ground = try Ground()
        try ground.seal(rows: 2)
        try ground.tool("chmod", ["644", "D/root.key"])
        let ended = try ground.keyturn("open t.s --stored --key 1 -o json")
        #expect(ended.status != 0)
        #expect(try Envelope(ended).hint.contains("chmod 600"), "\(ended.all)")
        try ground.tool("chmod", ["600", "D/root.key"])
        try ground.must("open t.s --stored --key 1")
    }

    @Test
    func aTornJournalLineIsPassedOverAndAMissingJournalIsExplained() throws {
        let ground = try Ground()
        try ground.seal(rows: 2)
        let journal = try ground.read("D/journal")
        try (journal + Data("{\"epoch\":9,\"ins".utf8)).write(to: ground.folder.appending(path: "D/journal"))
        try ground.must("rotate main --yes --quiet")
        #expect(try ground.must("status").text.contains("nothing needs anyone"))
        try ground.tool("rm", ["D/journal"])
        let ended = try ground.keyturn("rotate main --yes -o json")
        #expect(ended.status != 0)
        let error = try Envelope(ended)
        #expect(error.message.contains("journal") && error.hint.contains("keyturn recover"), "\(ended.all)")
        try ground.must("recover --yes")
        try ground.must("rotate main --yes --quiet")
        #expect(try ground.must("status").text.contains("nothing needs anyone"))
    }

    @Test
    func configurationErrorsNameFileLineAndRemedy() throws {
        let ground = try Ground()
        try ground.seal(rows: 2)
        let file = ground.path("keyturn.lua")
        for (text, words) in [
            ("databse \"sqlite:a.db\"\n", ["keyturn.lua:1", "databse", "database"]),
            (Ground.configuration.replacing("context", with: "contxt"), ["keyturn.lua:3", "contxt", "context"]),
            (
                Ground.configuration.replacing("\"main\", key", with: "\"mian\", key"),
                ["keyturn.lua:3", "mian", "main"]
            ),
            (Ground.configuration.replacing("kr1", with: "kr2"), ["keyturn.lua:2", "kr2", "kr1"]),
            (Ground.configuration + "while true do end\n", ["keyturn.lua"]),
            (Ground.configuration + "x = = 1\n", ["keyturn.lua:4"]),
        ] {
            try ground.write(text, to: "keyturn.lua")
            let ended = try ground.keyturn("plan main -o json")
            #expect([1, 4].contains(ended.status), "\(ended.all)")
            let error = try Envelope(ended)
            for word in words {
                #expect((error.message + error.hint).contains(word), "\(text): \(ended.all)")
            }
        }
        try ground.write(Ground.configuration.replacing("kr1", with: "fernet"), to: "keyturn.lua")
        let changed = try Envelope(try ground.keyturn("plan main -o json"))
        #expect(changed.isOK == false && changed.message.contains("core"), "\(changed.value)")
        try ground.tool("mv", [file, file + ".kept"])
        let gone = try ground.keyturn("plan main -o json")
        #expect(gone.status != 0)
        #expect(try Envelope(gone).message.contains("keyturn.lua"), "\(gone.all)")
    }

    @Test
    func whereThereIsNoInstanceTheCommandSaysHowToMakeOne() throws {
        let ground = try Ground()
        try ground.refuses("status", 1, "callerNotFound", saying: "there is no instance", "keyturn init")
        let none = try ground.keyturn("status -o json", environment: ["KEYTURN_INSTANCE": ""])
        #expect(none.status == 64)
        #expect(try Envelope(none).code == "callerInstanceMissing")
        try ground.write("database \"sqlite:none.db\"\n", to: "keyturn.lua")
        let missing = try ground.keyturn("init --config keyturn.lua -o json")
        #expect(missing.status == 2, "\(missing.all)")
        try ground.refuses("init --config gone.lua", 1, "callerFileUnreadable", saying: "gone.lua")
        #expect(!FileManager.default.fileExists(atPath: ground.path("D/root.key")))
        #expect(!FileManager.default.fileExists(atPath: ground.path("none.db")))
    }
}

/// A file system in memory of a few megabytes.
private struct SmallDisk {
    let path: String

    static let canBeMounted: Bool = {
        let place = FileManager.default.temporaryDirectory.appending(path: "keyturn-mount-\(UUID().uuidString)").path
        guard let disk = try? SmallDisk(at: place, bytes: 1 << 16) else { return false }
        disk.unmount()
        return true
    }()

    init(at path: String, bytes: Int) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
            try FileManager.default.removeItem(atPath: path)
            throw SetupFailure("mount: \(String(cString: strerror(errno)))")
        }
    }

    /// Takes up all room that is left, and says how many bytes still are.
    func fill() throws -> Int {
        let file = open(path + "/ballast", O_WRONLY | O_CREAT, 0o600)
        defer { close(file) }
        let block = [UInt8](repeating: 1, count: 4096)
        while write(file, block, block.count) == block.count {}
        var facts = statvfs()
        statvfs(path, &facts)
        return Int(facts.f_bavail * facts.f_frsize)
    }

    func makeRoom() throws { try FileManager.default.removeItem(atPath: path + "/ballast") }

    func forbidWriting() throws {
        guard mount("tmpfs", path, "tmpfs", UInt(MS_REMOUNT | MS_RDONLY), nil) == 0 else {
            throw SetupFailure("remount: \(String(cString: strerror(errno)))")
        }
    }

    func unmount() {
        umount2(path, Int32(MNT_DETACH))
        rmdir(path)
    }
}
