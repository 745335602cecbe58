import Foundation
import Testing

/// Nothing secret comes out anywhere but where it was asked for.
struct SecrecyTests {
    private static let plaintext = "planted-plaintext-4c1f"

    /// Everything that a person may do, right and wrong, with a planted plaintext in every row.
    private func life(on ground: Ground) throws -> Haystack {
        var seen = Haystack()
        func run(_ line: String, input: String = "") throws { seen.add(line, try ground.keyturn(line, input: input)) }
        try ground.sql(
            """
            CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, b BLOB, n INTEGER);
            WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 40)
            INSERT INTO t (id, s, b) SELECT x, '\(Self.plaintext)', CAST('\(Self.plaintext)' AS BLOB) FROM c;
            """)
        try ground.write(Self.configuration, to: "keyturn.lua")
        try run("init --config keyturn.lua")
        for line in [
            "plan main --adopt", "plan main --adopt -o json", "adopt t.s t.b --yes", "status", "verify -o json",
        ] { try run(line) }
        let text = Data((100..<132).map { UInt8($0) }).base64EncodedString()
        try run("keyring import old --from-file - --form lines", input: "not-a-key-\(Self.plaintext)\n")
        try run("keyring import old --from-file - -o json", input: text + "\n")
        try run("keyring import old --from-file -", input: text + "\n")
        try run("rotate main --yes -o json")
        try ground.sql(
            "UPDATE t SET s = substr(s, 1, length(s) - 3) || 'AAA' WHERE id = 3; UPDATE t SET s = (SELECT s FROM t WHERE id = 5) WHERE id = 4"
        )
        for line in [
            "plan main", "plan main -o json", "rotate main --yes", "verify", "verify -o json", "status -o json", "runs",
            "runs show 2 -o json", "runs show 3", "keyring show main -o json", "keyring list", "keyring export main",
            "keyring export main -o json", "open t.s --key 3 --stored", "open t.s --key 4 --stored -o json",
            "rotate nothing",
            "recover",
        ] { try run(line) }
        try run("seal t.s --key 1", input: Self.plaintext)
        try run("seal t.s", input: Self.plaintext)
        try run("seal t.s --key 1 --base64", input: Self.plaintext)
        try run("open t.s --key 1", input: Self.plaintext)
        return seen
    }

    private static let configuration = """
        database "sqlite:a.db"
        keyring "main" { core = "kr1" }
        keyring "old" { core = "fernet" }
        column "t.s" { keyring = "main", key = "id", context = "row" }
        column "t.b" { keyring = "main", key = "id", context = "column" }

        """

    @Test
    func noCommandAndNoFileHoldsKeysOrPlaintexts() throws {
        let ground = try Ground()
        var seen = try life(on: ground)
        try seen.add(folder: ground.folder.appending(path: "D"), except: ["root.key", "signing.key"])
        let tables = try ground.sql("SELECT name FROM sqlite_master WHERE name LIKE 'keyturn_%' AND type = 'table'")
        #expect(tables.split(separator: "\n").count > 8)
        for table in tables.split(separator: "\n") {
            seen.add(String(table), Data(try ground.sql("SELECT * FROM \(table)").utf8))
        }
        seen.add("database", try ground.read("a.db"))
        seen.add("dump", Data(try ground.sql(".dump keyturn%").utf8))
        if let log = try? ground.read("a.db-wal") { seen.add("log", log) }

        let keys = try ground.must("keyring export main --yes").text.split(separator: "\n")
        #expect(keys.count >= 1)
        var secrets = keys.enumerated().map {
            Secret("key \($0)", bytes: Data(base64Encoded: String($1)) ?? Data($1.utf8))
        }
        secrets += try rootKeys(of: ground)
        secrets.append(Secret("imported key", bytes: Data((100..<132).map { UInt8($0) })))
        // Short texts can stand in a row by chance of none; the plaintext is long enough.
        secrets.append(Secret("plaintext", text: Self.plaintext))
        #expect(secrets.count >= 4)

        // The search finds what is there: each secret in each form, planted beside what was really put out.
        for secret in secrets {
            for form in secret.forms {
                var planted = seen
                planted.add("decoy", Data("before ".utf8) + form.bytes + Data(" after".utf8))
                let hits = planted.hits(of: [secret])
                #expect(hits.contains("\(secret.name) as \(form.name) in decoy"))
            }
        }
        #expect(seen.hits(of: secrets) == [])
    }

    @Test
    func keysComeOutOfExportAloneAndOnlyOnceConfirmed() throws {
        let ground = try Ground()
        try ground.seal(rows: 2)
        let refused = try ground.keyturn("keyring export main")
        #expect(refused.status == 3 && refused.output.isEmpty, "\(refused.all)")
        try ground.refuses("keyring export main --to-file key.txt", 3, "callerNotConfirmed")
        #expect(!FileManager.default.fileExists(atPath: ground.path("key.txt")))
        let printed = try ground.must("keyring export main --yes")
        #expect(printed.errors.isEmpty)
        try ground.must("keyring export main --yes --to-file key.txt")
        #expect(try ground.read("key.txt") == printed.output)
        let mode =
            try FileManager.default.attributesOfItem(atPath: ground.path("key.txt"))[.posixPermissions] as? NSNumber
        #expect(mode?.intValue == 0o600)
        try ground.refuses("keyring export main --yes --to-file key.txt", 1, "callerFile", saying: "key.txt")
    }

    @Test(
        .enabled(if: CoreFiles.comeHere, "this system leaves no core files in the working directory"),
        arguments: [SIGSEGV, SIGABRT, SIGQUIT])
    func aCrashLeavesNoCoreAndSaysNothingSecret(signal: Int32) throws {
        let ground = try Ground()
        try ground.prepare(rows: 3000)
        try ground.sql("UPDATE t SET s = '\(Self.plaintext)'")
        let run = try ground.start(
            ["adopt", "t.s", "--yes", "--rows-per-second", "1000"], under: ["prlimit", "--core=unlimited"])
        try waitForRows(ground, run: 1)
        kill(run.pid, signal)
        let ended = try run.wait()
        #expect(ended.wasKilled && ended.status == 128 + signal, "\(ended.all)")
        let files = try FileManager.default.contentsOfDirectory(atPath: ground.folder.path)
        #expect(!files.contains { $0.hasPrefix("core") }, "\(files)")
        var seen = Haystack()
        seen.add("run", ended)
        let secrets = try rootKeys(of: ground) + [Secret("plaintext", text: Self.plaintext)]
        #expect(seen.hits(of: secrets) == [])
        #expect(ended.errors.count < 2000, "\(ended.errorText.prefix(3000))")
        try ground.must("run resume 1 --quiet")
        try ground.must("verify --quiet")
    }

    @Test(.enabled(if: getuid() == 0, "only root can become someone else to look"))
    func itsMemoryBelongsToRootAndSecretsAreNotInItsWords() throws {
        let ground = try Ground()
        try ground.seal(rows: 3000)
        let key = try ground.must("keyring export main --yes").text.trimmingCharacters(in: .newlines)
        try ground.tool("chown", ["-R", "65534:65534", "."])
        let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        let run = try ground.start(["rotate", "main", "--yes", "--rows-per-second", "1000"], under: asNobody)
        try waitForRows(ground, run: 2)
        let owner =
            try FileManager.default.attributesOfItem(atPath: "/proc/\(run.pid)/mem")[.ownerAccountID] as? NSNumber
        #expect(owner?.intValue == 0, "the process can be looked into by its own user")
        var seen = Haystack()
        for name in ["cmdline", "environ"] {
            seen.add(name, try Data(contentsOf: URL(filePath: "/proc/\(run.pid)/\(name)")))
        }
        kill(run.pid, SIGTERM)
        _ = try run.wait()
        #expect(seen.hits(of: [Secret("key", bytes: Data(base64Encoded: key) ?? Data())]) == [])
    }

    /// The keys in `root.key`: the third word of each line.
    private func rootKeys(of ground: Ground) throws -> [Secret] {
        let text = String(decoding: try ground.read("D/root.key"), as: UTF8.self)
        let words = text.split(separator: "\n").dropFirst().compactMap { line -> String? in
            let fields = line.split(separator: " ")
            return fields.count > 2 ? String(fields[2]) : nil
        }
        guard !words.isEmpty else { throw SetupFailure("root.key holds no key") }
        return words.flatMap {
            [Secret("root key", bytes: Data(base64Encoded: $0) ?? Data($0.utf8)), Secret("root key's text", text: $0)]
        }
    }
}

/// Whether a crash leaves a core file in the working directory here, found out by crashing something.
enum CoreFiles {
    static let comeHere: Bool = {
        guard let ground = try? Ground() else { return false }
        _ = try? ground.tool("prlimit", ["--core=unlimited", "sh", "-c", "kill -SEGV $$"])
        let files = (try? FileManager.default.contentsOfDirectory(atPath: ground.folder.path)) ?? []
        return files.contains { $0.hasPrefix("core") }
    }()
}
