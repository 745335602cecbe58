import Foundation
import Testing

/// Values that should not be where they are: each stays byte for byte, is named, and stops nobody else.
struct BadDataTests {
    @Test
    func aWrongKeyIsToldByImportAndPlanAndRetiresNothing() throws {
        let ground = try Ground()
        for name in ["airflow.db"] { try Fixture.copy(name, to: ground) }
        try ground.write(
            """
            database "sqlite:airflow.db"
            keyring "airflow" { core = "fernet" }
            column "variable.val" { keyring = "airflow", key = "id", where = "is_encrypted" }

            """, to: "keyturn.lua")
        try ground.must("init --config keyturn.lua")
        let before = try ground.sql("SELECT * FROM variable", in: "airflow.db")
        let count = try ground.sql("SELECT count(*) FROM variable WHERE is_encrypted", in: "airflow.db")
        let key = Data((0..<32).map { UInt8($0) }).base64EncodedString()
        let imported = try ground.must("keyring import airflow --from-file -", input: key + "\n")
        #expect(imported.errorText.contains("warning: \(count) of \(count) values"), "\(imported.all)")

        let plan = try Envelope(try ground.keyturn("plan airflow -o json"))
        let column = try #require((plan.result["columns"] as? [[String: Any]])?.first)
        #expect("\(column["wouldQuarantine"] ?? "")" == count)
        #expect("\(plan.result["warnings"] ?? "")".contains("do not open and would be quarantined"))

        let rotated = try ground.keyturn("rotate airflow --yes -o json")
        #expect(rotated.status == 1, "\(rotated.all)")
        let run = try Envelope(rotated)
        #expect("\(run.result["quarantineCount"] ?? "")" == count)
        #expect((run.result["summary"] as? [String: Any])?["state"] as? String == "doneWithExceptions")
        #expect(try ground.sql("SELECT * FROM variable", in: "airflow.db") == before)
        let ring = try Envelope(try ground.must("keyring show airflow -o json"))
        let versions = try #require(ring.result["versions"] as? [[String: Any]])
        #expect(versions.count == 2)
        #expect(versions.allSatisfy { $0["retiredAt"] == nil })
        #expect(try ground.keyturn("verify airflow").status == 1)
    }

    @Test
    func damagedAndMovedValuesAreNamedKeptAndHealedOnceTheyAreBack() throws {
        let ground = try Ground()
        try ground.seal(rows: 50)
        let whole = try ground.rows()
        try ground.sql(
            """
            CREATE TABLE kept AS SELECT id, s FROM t;
            UPDATE t SET s = substr(s, 1, 40) WHERE id = 3;
            UPDATE t SET s = substr(s, 1, length(s) - 2) || CASE substr(s, -2, 1) WHEN 'A' THEN 'B' ELSE 'A' END
              || substr(s, -1) WHERE id = 5;
            UPDATE t SET s = (SELECT s FROM kept WHERE id = 7) WHERE id = 8;
            """)
        let damaged = try ground.sql("SELECT id, s FROM t WHERE id IN (3, 5, 8)")
        let rotated = try ground.keyturn("rotate main --yes -o json")
        #expect(rotated.status == 1, "\(rotated.all)")
        let run = try Envelope(rotated)
        let quarantined = (run.result["quarantined"] as? [[String: String]] ?? []).map {
            "\($0["row"] ?? "") \($0["reason"] ?? "")"
        }
        #expect(
            quarantined.sorted() == ["3 dataForeign", "5 dataNotAuthentic", "8 dataContextMismatch"], "\(quarantined)")
        #expect(try ground.sql("SELECT id, s FROM t WHERE id IN (3, 5, 8)") == damaged)
        for id in [1, 2, 4, 6, 7, 50] {
            #expect(try ground.must("open t.s --key \(id) --stored").text == "secret-\(id)\n")
        }
        try ground.refuses("open t.s --key 3 --stored", 1, "dataMalformed", saying: "kr1")
        try ground.refuses("open t.s --key 5 --stored", 1, "dataNotAuthentic", saying: "changed")
        try ground.refuses("open t.s --key 8 --stored", 1, "dataNotAuthentic", saying: "moved")
        #expect(try ground.keyturn("verify").status == 1)

        // The fence takes values under the active key only, so the application seals them anew.
        for id in [3, 5, 8] {
            let sealed = try ground.must("seal t.s --key \(id)", input: "secret-\(id)\n").text
            try ground.sql("UPDATE t SET s = '\(sealed.dropLast())' WHERE id = \(id)")
        }
        let again = try ground.must("rotate main --yes -o json")
        #expect(try Envelope(again).result["quarantineCount"] as? Int == 0)
        try ground.must("verify")
        #expect(try ground.rows() != whole)
        #expect(try ground.must("open t.s --key 5 --stored").text == "secret-5\n")
    }

    @Test(arguments: [("refuse", 1, 1), ("keep", 0, 1), ("seal", 0, 0)])
    func thePolicyDecidesOnPlaintextAmongSealedValues(policy: String, status: Int32, left: Int) throws {
        let ground = try Ground()
        try ground.seal(rows: 10, configuration: Ground.fernet)
        try ground.sql("INSERT INTO t (id, s) VALUES (99, 'in clear')")
        try ground.write(
            Ground.fernet.replacing("key = \"id\"", with: "key = \"id\", plaintext = \"\(policy)\""), to: "keyturn.lua")
        let rotated = try ground.keyturn("rotate main --yes -o json")
        #expect(rotated.status == status, "\(rotated.all)")
        #expect(try ground.sql("SELECT count(*) FROM t WHERE s = 'in clear'") == "\(left)")
        #expect(try ground.sql("SELECT count(*) FROM t WHERE s LIKE 'gAAAA%'") == "\(11 - left)")
        if policy == "seal" { #expect(try ground.must("open t.s --stored --key 99").text == "in clear\n") }
        #expect(try ground.keyturn("verify").status == status)
    }

    @Test
    func aFenceTellsTheApplicationWhyItRefusesPlaintext() throws {
        let ground = try Ground()
        try ground.seal(rows: 3)
        #expect { try ground.sql("UPDATE t SET s = 'in clear' WHERE id = 1") } throws: {
            "\($0)".contains("keyturn")
        }
        try ground.must("verify")
    }

    @Test(arguments: ["kr1", "fernet"])
    func nothingEmptyAndVeryLongValuesGoThrough(core: String) throws {
        let ground = try Ground()
        let configuration = core == "kr1" ? Ground.configuration : Ground.fernet
        try ground.prepare(rows: 5, configuration: configuration)
        try ground.sql(
            """
            UPDATE t SET s = NULL WHERE id = 1;
            UPDATE t SET s = '' WHERE id = 2;
            UPDATE t SET s = replace(hex(zeroblob(524288)), '0', 'x') WHERE id = 3;
            """)
        try ground.must("adopt t.s --yes --quiet")
        try ground.must("rotate main --yes --quiet")
        #expect(try ground.sql("SELECT quote(s) FROM t WHERE id < 3") == "NULL\n''")
        #expect(try ground.must("open t.s --stored --key 1").text == "null\n")
        #expect(try ground.must("open t.s --stored --key 3").text == String(repeating: "x", count: 1 << 20) + "\n")
        try ground.must("verify")
    }

    @Test
    func numbersAmongBytesStayAndTextThatIsNoneIsSealedAsItIs() throws {
        let ground = try Ground()
        try ground.prepare(
            rows: 3,
            configuration: """
                database "sqlite:a.db"
                keyring "main" { core = "kr1" }
                column "t.s" { keyring = "main", key = "id", context = "row" }
                column "t.b" { keyring = "main", key = "id", context = "column" }

                """)
        try ground.sql(
            """
            UPDATE t SET s = CAST(x'FF41FE' AS TEXT) WHERE id = 2;
            UPDATE t SET b = x'00FF' WHERE id = 1;
            UPDATE t SET b = 4711 WHERE id = 2;
            """)
        let adopted = try ground.keyturn("adopt t.s t.b --yes -o json")
        #expect(adopted.status == 1, "\(adopted.all)")
        let quarantined = try Envelope(adopted).result["quarantined"] as? [[String: String]] ?? []
        #expect(quarantined.map { "\($0["column"] ?? "") \($0["row"] ?? "")" } == ["t.b 2"], "\(quarantined)")
        #expect(try ground.sql("SELECT typeof(b) || b FROM t WHERE id = 2") == "integer4711")
        #expect(try ground.sql("SELECT typeof(b) FROM t WHERE id = 1") == "blob")
        let opened = try Envelope(try ground.must("open t.s --stored --key 2 -o json"))
        #expect(opened.result["value"] as? String == Data([0xFF, 0x41, 0xFE]).base64EncodedString())
        #expect(opened.result["encoding"] as? String == "base64")
        #expect(try ground.must("open t.b --stored --key 1 --base64").text == "AP8=\n")
    }

    @Test
    func whatIsTypedOrPipedWronglyIsRefusedInOneLine() throws {
        let ground = try Ground()
        try ground.seal(rows: 2)
        let rows = try ground.rows()
        try ground.refuses("seal t.s", 1, "callerRequestInvalid", saying: "id", "--key", input: "x")
        try ground.refuses("seal t.s --key 1 --key 2", 1, "callerRequestInvalid", saying: "id", input: "x")
        try ground.refuses("seal t.s --key one", 1, "callerRequestInvalid", saying: "\"one\"", input: "x")
        try ground.refuses("seal t.s --key 1 --base64", 64, "callerUsage", saying: "base64", input: "%%")
        try ground.refuses("open t.s --key 1", 1, "dataMalformed", input: "nonsense")
        try ground.refuses("open t.s --key 77 --stored", 1, "callerNotFound", saying: "77")
        try ground.refuses("open t.z --key 1 --stored", 1, "callerNotFound", saying: "Did you mean \"t.s\"?")
        try ground.refuses("rotate mian --yes", 1, "callerNotFound", saying: "Did you mean \"main\"?")
        try ground.refuses("verify mian", 1, "callerNotFound", saying: "Did you mean \"main\"?")
        try ground.refuses("runs show 9", 1, "callerNotFound", saying: "run 9")
        try ground.refuses("run pause 1", 1, "callerRunState", saying: "run 1")
        try ground.refuses("keyring import main --from-file gone.txt", 1, "callerFile", saying: "gone.txt")
        try ground.refuses(
            "keyring import main --from-file -", 1, "callerRequestInvalid", saying: "keys already", input: "AAAA")
        let large = try ground.start(["seal", "t.s", "--key", "1", "-o", "json"], input: Data(count: (64 << 20) + 1))
            .wait()
        #expect(large.status == 1)
        #expect(try Envelope(large).code == "callerFile")
        #expect(try ground.rows() == rows)
    }
}

/// Files that belong to the tests.
enum Fixture {
    static let folder = Built.package.appending(path: "Tests/Fixtures")

    /// Copies a file of the Airflow fixture to a ground.
    static func copy(_ name: String, to ground: Ground) throws {
        try Data(contentsOf: folder.appending(path: "airflow/\(name)")).write(to: ground.folder.appending(path: name))
    }
}
