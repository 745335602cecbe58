import Foundation
import Testing

/// Tables that a run must not, or cannot, rewrite: told before anything is touched.
struct BadSchemaTests {
    /// A table, and the word that the refusal must hold.
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let table: String
        var options = "key = \"id\""
        let word: String
    }

    static let cases = [
        Case(testDescription: "no primary key", table: "CREATE TABLE u (v TEXT)", options: "", word: "no primary key"),
        Case(
            testDescription: "a key that is not unique", table: "CREATE TABLE u (id INTEGER, v TEXT)",
            word: "no unique key"),
        Case(
            testDescription: "part of the key", table: "CREATE TABLE u (id INTEGER, v TEXT, PRIMARY KEY (id, v))",
            options: "", word: "part of the key"),
        Case(
            testDescription: "a foreign key",
            table:
                "CREATE TABLE p (v TEXT PRIMARY KEY); CREATE TABLE u (id INTEGER PRIMARY KEY, v TEXT REFERENCES p (v))",
            word: "foreign key"),
        Case(
            testDescription: "unique", table: "CREATE TABLE u (id INTEGER PRIMARY KEY, v TEXT UNIQUE)",
            word: "unique index"),
        Case(
            testDescription: "generated",
            table: "CREATE TABLE u (id INTEGER PRIMARY KEY, w TEXT, v TEXT AS (w || 'x') STORED)",
            word: "computed by the database"),
        Case(
            testDescription: "generated from",
            table: "CREATE TABLE u (id INTEGER PRIMARY KEY, v TEXT, w TEXT AS (v || 'x') STORED)",
            word: "computed from"),
        Case(
            testDescription: "an expression index",
            table: "CREATE TABLE u (id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX i ON u (lower(v))",
            word: "computed from"),
        Case(testDescription: "numbers", table: "CREATE TABLE u (id INTEGER PRIMARY KEY, v INTEGER)", word: "INTEGER"),
        Case(
            testDescription: "a key that is not there", table: "CREATE TABLE u (pk INTEGER PRIMARY KEY, v TEXT)",
            word: "\"id\""),
    ]

    @Test(arguments: cases)
    func whatCannotBeRewrittenIsRefusedBeforehand(_ entry: Case) throws {
        let ground = try Ground()
        try ground.sql(entry.table)
        let options = ["keyring = \"main\"", entry.options].filter { !$0.isEmpty }.joined(separator: ", ")
        try ground.write(
            """
            database "sqlite:a.db"
            keyring "main" { core = "kr1" }
            column "u.v" { \(options) }

            """, to: "keyturn.lua")
        let made = try ground.keyturn("init --config keyturn.lua -o json")
        guard made.status == 0 else {
            #expect(try Envelope(made).message.contains(entry.word), "\(made.all)")
            return
        }
        let plan = try ground.keyturn("plan main --adopt -o json")
        #expect(plan.status == 3, "\(plan.all)")
        #expect(
            "\(try Envelope(plan).result["refusals"] ?? "")".contains(entry.word.replacing("\"", with: "\\\""))
                || plan.text.contains(entry.word.replacing("\"", with: "\\\"")), "\(plan.all)")
        try ground.refuses("adopt u.v --yes", 3, "callerPolicyForbids")
        #expect(try Envelope(try ground.must("runs -o json")).value["result"] as? [String] == [])
    }

    @Test(arguments: [
        (Ground.configuration, "storeFenceRefused"), (Ground.fernet, "storeValueAltered"),
    ])
    func aTriggerThatAltersValuesStopsTheRunAndNothingOfItStays(configuration: String, code: String) throws {
        let ground = try Ground()
        try ground.prepare(rows: 30, configuration: configuration)
        try ground.sql(
            "CREATE TRIGGER shout AFTER UPDATE OF s ON t BEGIN UPDATE t SET s = upper(NEW.s) WHERE id = NEW.id; END")
        let before = try ground.rows()
        let plan = try ground.must("plan main --adopt -o json")
        #expect(plan.text.contains("shout"))
        try ground.refuses("adopt t.s --yes", 1, code, saying: "t.s", "trigger")
        #expect(try ground.rows() == before)
        let status = try ground.keyturn("status")
        #expect(status.status == 1)
        #expect(status.text.contains("problem: run 1 stopped in reencrypt"), "\(status.all)")
        #expect(status.text.contains("keyturn run resume 1"), "\(status.all)")
        try ground.sql("DROP TRIGGER shout")
        try ground.must("run resume 1 --quiet")
        try ground.must("verify")
    }

    @Test
    func aTriggerThatRefusesStopsTheRunAndIsNamed() throws {
        let ground = try Ground()
        try ground.prepare(rows: 30)
        try ground.sql(
            "CREATE TRIGGER never BEFORE UPDATE OF s ON t WHEN NEW.id = 17 BEGIN SELECT RAISE(ABORT, 'row 17 is frozen'); END"
        )
        let before = try ground.rows()
        try ground.refuses("adopt t.s --yes", 1, "storeRowRefused", saying: "row 17 is frozen")
        #expect(try ground.rows() == before)
        try ground.sql("DROP TRIGGER never")
        try ground.must("run resume 1 --quiet")
        try ground.must("verify")
    }

    @Test
    func aColumnThatVanishesStopsTheRunAndItGoesOnOnceItIsBack() throws {
        let ground = try Ground()
        try ground.seal(rows: 8000)
        let run = try ground.start(["rotate", "main", "--yes", "--rows-per-second", "1500"])
        try waitForRows(ground, run: 2)
        try ground.sql("ALTER TABLE t RENAME COLUMN s TO gone")
        let ended = try run.wait()
        #expect(ended.status == 1, "\(ended.all)")
        #expect(ended.errorText.contains("\"s\"") || ended.errorText.contains("t.s"), "\(ended.all)")
        #expect(ended.errorText.contains("run resume 2"), "\(ended.all)")
        try ground.refuses("run resume 2", 3, "callerPlanStale", saying: "no column \"s\"", "Put the column back")
        try ground.sql("ALTER TABLE t RENAME COLUMN gone TO s")
        try ground.must("run resume 2 --quiet")
        try ground.must("verify --quiet")
        #expect(try ground.must("open t.s --stored --key 7999").text == "secret-7999\n")
    }

    @Test
    func aRenamedColumnIsFollowedWithWasAndARemovedOneIsNoted() throws {
        let ground = try Ground()
        try ground.seal(rows: 10)
        try ground.sql("ALTER TABLE t RENAME COLUMN s TO password")
        let plan = try ground.keyturn("plan main")
        #expect(plan.status == 3)
        #expect(plan.text.contains("declare its new name with was = \"t.s\""), "\(plan.all)")
        try ground.write(
            Ground.configuration.replacing("\"t.s\" {", with: "\"t.password\" { was = \"t.s\","), to: "keyturn.lua")
        try ground.must("rotate main --yes --quiet")
        #expect(try ground.must("open t.password --stored --key 4").text == "secret-4\n")
        try ground.write("database \"sqlite:a.db\"\nkeyring \"main\" { core = \"kr1\" }\n", to: "keyturn.lua")
        try ground.must("keyring list")
        let status = try ground.keyturn("status")
        #expect(status.text.contains("column \"t.password\" is no longer declared"), "\(status.all)")
    }
}

/// Waits until a run has rewritten some rows.
func waitForRows(_ ground: Ground, run: Int, in database: String = "a.db") throws {
    for _ in 0..<600 {
        let seen = try ground.sql(
            """
            SELECT (SELECT count(*) FROM keyturn_run_progress WHERE run_id = \(run))
              + (SELECT count(*) FROM keyturn_run_windows WHERE run_id = \(run))
            """, in: database)
        if seen != "0" { return }
        usleep(20_000)
    }
    throw SetupFailure("run \(run) rewrote nothing in time")
}
