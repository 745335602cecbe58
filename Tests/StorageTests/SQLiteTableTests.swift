import Foundation
import PluginKit
import Storage
import Testing

@testable import StorageSQLite

/// What only SQLite has: tables without rowid, strict tables, columns without a type, UTF-16.
struct SQLiteTableTests {
    @Test(arguments: [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT) STRICT",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT) WITHOUT ROWID",
        "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, c)",
        "CREATE TABLE t (id TEXT PRIMARY KEY, c TEXT) STRICT, WITHOUT ROWID", "CREATE TABLE t (id PRIMARY KEY, c)",
        "CREATE TABLE t (id NUMERIC UNIQUE COLLATE NOCASE, c BLOB)",
        "CREATE TABLE t (id TEXT COLLATE NOCASE, c TEXT); CREATE UNIQUE INDEX i ON t (id COLLATE BINARY DESC)",
    ])
    func anyKindOfTableIsReadAndWritten(schema: String) async throws {
        try await withScratch { scratch, engine in
            try scratch.run(schema)
            for id in 1...30 { try scratch.run("INSERT INTO t VALUES (\(id), 'v\(id)')") }
            let rows = try await allRows(engine, rowLimit: 7)
            #expect(Set(rows.map(\.value)) == Set((1...30).map { .text(Array("v\($0)".utf8)) }))
            #expect(rows.count == 30)
            let swaps = rows.map { Swap(key: $0.key, old: $0.value, new: .text([0x78])) }
            #expect(try await engine.write { try $0.swap(swaps, in: plain) } == swaps.map { _ in true })
        }
    }

    @Test(arguments: ["UTF-8", "UTF-16le", "UTF-16be"])
    func textIsTheSameInAnyEncoding(encoding: String) async throws {
        try await withScratch(encoding: encoding) { scratch, engine in
            #expect(try scratch.text("PRAGMA encoding") == encoding)
            try scratch.run("CREATE TABLE t (id TEXT PRIMARY KEY, c TEXT)")
            try scratch.run("INSERT INTO t VALUES ('é💧', 'größe 💧'), ('b', ''), ('c', 'plain')")
            let rows = try await allRows(engine, rowLimit: 1)
            #expect(
                Dictionary(uniqueKeysWithValues: rows.map { ($0.key, $0.value) }) == [
                    RowKey([.text(Array("é💧".utf8))]): .text(Array("größe 💧".utf8)),
                    RowKey([.text([0x62])]): .text([]), RowKey([.text([0x63])]): .text(Array("plain".utf8)),
                ])
            let swaps = rows.map { Swap(key: $0.key, old: $0.value, new: .text(Array("neu💧".utf8))) }
            #expect(try await engine.write { try $0.swap(swaps, in: plain) } == [true, true, true])
            #expect(try scratch.text("SELECT group_concat(DISTINCT c) FROM t") == "neu💧")
        }
    }

    @Test(arguments: ["UTF-8", "UTF-16le", "UTF-16be"])
    func aFenceReadsMarksInAnyEncoding(encoding: String) async throws {
        try await withScratch(encoding: encoding) { scratch, engine in
            try scratch.run("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT); INSERT INTO t VALUES (1, 'v1')")
            try scratch.run("CREATE TABLE keyturn_fences (column_id, form, first_at, first, second_at, second)")
            try scratch.run("INSERT INTO keyturn_fences VALUES (1, 'text', 1, x'6B72312E', 5, x'3161')")
            try await engine.write { try $0.installFence(Fence(columnID: 1, target: plain)) }
            for value in ["'kr1.1'", "'kr1.1b'", "'plain'", "'KR1.1a'", "x'6B72312E3161'", "5", "1.5"] {
                #expect(throws: (any Error).self) { try scratch.run("UPDATE t SET c = \(value)") }
            }
            for value in ["'kr1.1a💧'", "NULL", "''", "x''", "'kr1.1a'"] { try scratch.run("UPDATE t SET c = \(value)") }
        }
    }

    @Test
    func numbersInAColumnAreNotTakenForText() async throws {
        try await withScratch { scratch, engine in
            try scratch.run(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, c); INSERT INTO t VALUES (1, 5), (2, 1.5), (3, '5')")
            let rows = try await allRows(engine)
            #expect(rows.map(\.value) == [.other("5"), .other("1.5"), .text([0x35])])
            let key = rows.map(\.key)
            let results = try await engine.write { session in
                try session.swap(
                    [
                        Swap(key: key[0], old: .text([0x35]), new: .text([0x78])),
                        Swap(key: key[2], old: .blob([0x35]), new: .text([0x78])),
                        Swap(key: key[2], old: .other("5"), new: .text([0x78])),
                        Swap(key: key[0], old: .other("5"), new: .text([0x78])),
                    ], in: plain)
            }
            #expect(results == [false, false, false, true])
            await #expect {
                try await engine.write {
                    try $0.swap([Swap(key: key[2], old: .text([0x35]), new: .other("1"))], in: plain)
                }
            } throws: { ($0 as? StorageError)?.code == .storeUnexpected }
        }
    }

    @Test(arguments: ["1.5", "NULL"])
    func aKeyThatCannotNameARowIsAnError(key: String) async throws {
        try await withScratch { scratch, engine in
            try scratch.run("CREATE TABLE t (id REAL PRIMARY KEY, c TEXT); INSERT INTO t VALUES (\(key), 'a')")
            await #expect { try await allRows(engine) } throws: { error in
                let error = error as? StorageError
                return error?.code == .storeUnexpected && error?.message.contains("t.c") == true && error?.hint != nil
            }
        }
    }

    @Test
    func triggersMayHoldStringsInDoubleQuotes() async throws {
        try await withScratch { scratch, engine in
            try scratch.run("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT); INSERT INTO t VALUES (1, 'a')")
            try scratch.run("CREATE TABLE log (what TEXT)")
            try scratch.run("CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (\"changed\"); END")
            let swap = Swap(key: RowKey([.integer(1)]), old: .text([0x61]), new: .text([0x62]))
            let target = ColumnTarget(path: plain.path, key: ["id"], predicate: "\"id\" = 1")
            #expect(try await engine.write { try $0.swap([swap], in: target) } == [true])
            #expect(try scratch.text("SELECT what FROM log") == "changed")
        }
    }

    @Test
    func aFenceHoldsAgainstConflictClausesAndUpserts() async throws {
        try await withScratch { scratch, engine in
            try scratch.run("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT); INSERT INTO t VALUES (1, 'v1')")
            try scratch.run("CREATE TABLE keyturn_fences (column_id, form, first_at, first, second_at, second)")
            try await engine.write { try $0.installFence(Fence(columnID: 1, target: plain)) }
            for statement in [
                "INSERT OR IGNORE INTO t VALUES (2, 'x')", "INSERT OR REPLACE INTO t VALUES (1, 'x')",
                "REPLACE INTO t VALUES (1, 'x')", "UPDATE OR IGNORE t SET c = 'x'", "UPDATE OR REPLACE t SET c = 'x'",
                "INSERT INTO t VALUES (1, 'y') ON CONFLICT (id) DO UPDATE SET c = 'x'",
                "INSERT INTO t VALUES (1, NULL) ON CONFLICT (id) DO UPDATE SET c = 'x'",
                "PRAGMA recursive_triggers = ON; UPDATE t SET c = 'x'",
                "PRAGMA defer_foreign_keys = ON; UPDATE t SET c = 5",
            ] {
                #expect(throws: (any Error).self, "\(statement)") { try scratch.run(statement) }
            }
            #expect(try scratch.text("SELECT group_concat(id || c) FROM t") == "1v1")
        }
    }

    @Test(arguments: [
        ("INTEGER PRIMARY KEY", ""), ("TEXT PRIMARY KEY", ""), ("TEXT PRIMARY KEY COLLATE NOCASE", " WITHOUT ROWID"),
    ])
    func aWindowNeverSortsOrScansTheTable(key: String, suffix: String) async throws {
        try await withScratch { scratch, engine in
            try scratch.run("CREATE TABLE t (id \(key), c TEXT, flag INTEGER)\(suffix); CREATE INDEX i ON t (flag)")
            try scratch.run(
                """
                INSERT INTO t SELECT i, 'v' || i, i = 7 FROM (WITH RECURSIVE n(i) AS
                (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n); ANALYZE
                """)
            let target = ColumnTarget(path: plain.path, key: ["id"], predicate: "flag = 0")
            let first = try await engine.read {
                try $0.readWindow(WindowRequest(target: target, scope: .matching, rowLimit: 9))
            }
            let after = try #require(first.rows.last?.key)
            let request = WindowRequest(target: target, scope: .matching, after: after, through: after)
            let plan = try await engine.read { session in
                let session = try #require(session as? SQLiteSession)
                let text = session.windowText(for: request, try session.shape(of: target))
                return try session.query("EXPLAIN QUERY PLAN \(raw: text)").map { try $0.text(3) }
            }
            #expect(plan.count == 1 && plan[0].hasPrefix("SEARCH t USING"), "\(plan)")
        }
    }

    private func allRows(_ engine: any StorageEngine, rowLimit: Int = 100) async throws -> [StoredRow] {
        var request = WindowRequest(target: plain, scope: .all, rowLimit: rowLimit)
        var rows: [StoredRow] = []
        while true {
            let bounded = request
            let window = try await engine.read { try $0.readWindow(bounded) }
            rows += window.rows
            if window.isLast { return rows }
            request.after = window.rows.last?.key
        }
    }
}
