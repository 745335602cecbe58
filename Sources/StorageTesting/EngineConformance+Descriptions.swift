internal import PluginKit
internal import Storage

extension EngineConformance {
    static var descriptionCases: [ConformanceCase] {
        [
            ConformanceCase("a table's columns and keys are described", columns),
            ConformanceCase("a table without a primary key has none") { fixture in
                try await fixture.run("CREATE TABLE t (a INTEGER, c \(fixture.dialect.textType))")
                let description = try await describe("t", fixture)
                try expectEqual(description.primaryKey, [], "primary key")
                try expectEqual(description.uniqueKeys, [], "unique keys")
            },
            ConformanceCase("what is no table is not described") { fixture in
                try await fixture.makeTable(rows: 1)
                try await fixture.run("CREATE VIEW v AS SELECT * FROM t")
                for name in ["v", "gone", ""] {
                    let found = try await fixture.engine.read { try $0.describe(TableName(name: name)) }
                    try expectEqual(found, nil, name)
                }
                try expectEqual(try await fixture.engine.read { try $0.tables() }.map(\.name), ["t"], "tables")
            },
            ConformanceCase("foreign keys are seen from both sides", foreignKeys),
            ConformanceCase("indexes, expressions and generated columns name what they use", indexes),
            ConformanceCase("triggers on updates are listed, ours are not", triggers),
            ConformanceCase("the rows that a pass reads are counted", rowsToRead),
            ConformanceCase("the rows that a pass reads are estimated in a large table", rowsToReadOfMany),
        ]
    }

    private static func describe(_ name: String, _ fixture: Fixture) async throws -> TableDescription {
        let found = try await fixture.engine.read { try $0.describe(TableName(name: name)) }
        guard let found else { throw ConformanceFailure(description: "\(name) is not described") }
        return found
    }

    @Sendable private static func columns(_ fixture: Fixture) async throws {
        try await fixture.run(
            """
            CREATE TABLE t (a INTEGER NOT NULL, b \(fixture.dialect.textType) NOT NULL UNIQUE, c \(fixture.dialect.blobType),
            d \(fixture.dialect.textType) UNIQUE, e REAL, PRIMARY KEY (e, a))
            """)
        let rows = (1...100).map { "(\($0), 'b\($0)', NULL, NULL, 1)" }.joined(separator: ", ")
        try await fixture.run("INSERT INTO t VALUES \(rows)", "ANALYZE")
        let description = try await describe("t", fixture)
        try expectEqual(description.columns.map(\.name), ["a", "b", "c", "d", "e"], "columns")
        try expectEqual(description.columns.map(\.kind), [.integer, .text, .blob, .text, .other], "kinds")
        try expectEqual(description.columns.prefix(4).map(\.isNullable), [false, false, true, true], "nullable")
        try expectEqual(description.primaryKey, ["e", "a"], "primary key")
        try expectEqual(Set(description.uniqueKeys), [["e", "a"], ["b"]], "unique keys")
        try expectEqual(description.uniqueColumns, ["b", "d"], "unique columns")
        try expectEqual(description.estimatedRows, 100, "rows")
        try expect(description.estimatedBytes > 0, "bytes")
        try expect(description.column("B") != nil && description.column("z") == nil, "columns found by name")
    }

    @Sendable private static func rowsToRead(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 50)
        try await fixture.run("UPDATE t SET c = NULL WHERE id <= 10", "UPDATE t SET flag = NULL WHERE id > 45")
        for (predicate, scope, expected) in [
            (nil, .matching, 40), ("flag = 1", .matching, 35), ("flag = 1", .all, 40), ("id > 100", .matching, 0),
        ] as [(String?, RowScope, Int64)] {
            let target = ColumnTarget(path: .plain, key: ["id"], predicate: predicate)
            let rows = try await fixture.engine.read { try $0.estimatedRows(of: target, scope: scope) }
            try expectEqual(rows, expected, "\(predicate ?? "all") \(scope)")
        }
        try await expectError(.storeObjectMissing, "a column that is gone") {
            let gone = ColumnTarget(path: ColumnPath(table: TableName(name: "t"), column: "gone"), key: ["id"])
            _ = try await fixture.engine.read { try $0.estimatedRows(of: gone, scope: .all) }
        }
    }

    @Sendable private static func rowsToReadOfMany(_ fixture: Fixture) async throws {
        try await fixture.makeTable()
        // A fifth is flagged, and half has a value: 80,000 rows of a thousand bytes.
        let text = String(repeating: "x", count: 1000)
        try await fixture.run(
            """
            INSERT INTO t (id, c, flag) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 160000)
            SELECT i, CASE WHEN i % 2 = 0 THEN '\(text)' END, CASE WHEN i % 5 = 0 THEN 1 END FROM n
            """, "ANALYZE")
        for (predicate, scope, expected) in [
            (nil, .matching, 80_000), ("flag = 1", .matching, 16_000), ("flag = 1", .all, 80_000),
        ] as [(String?, RowScope, Int64)] {
            let target = ColumnTarget(path: .plain, key: ["id"], predicate: predicate)
            let rows = try await fixture.engine.read { try $0.estimatedRows(of: target, scope: scope) }
            try expect(
                rows > expected * 3 / 4 && rows < expected * 5 / 4,
                "\(rows) instead of about \(expected): \(predicate ?? "all") \(scope)")
        }
    }

    @Sendable private static func foreignKeys(_ fixture: Fixture) async throws {
        try await fixture.run(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, name \(fixture.dialect.textType) UNIQUE, x INTEGER)",
            """
            CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent,
            parent_name \(fixture.dialect.textType) REFERENCES parent (name), y INTEGER)
            """)
        try expectEqual(try await describe("parent", fixture).foreignKeyColumns, ["id", "name"], "referred to")
        try expectEqual(
            try await describe("child", fixture).foreignKeyColumns, ["parent_id", "parent_name"], "referring")
    }

    @Sendable private static func indexes(_ fixture: Fixture) async throws {
        let text = fixture.dialect.textType
        try await fixture.run(
            """
            CREATE TABLE t (id INTEGER PRIMARY KEY, a \(text), b \(text), c \(text), d \(text), e \(text), f \(text),
            g \(text) GENERATED ALWAYS AS (coalesce(f, '')) STORED)
            """,
            "CREATE INDEX a_index ON t (a)", "CREATE UNIQUE INDEX b_index ON t (b)",
            "CREATE INDEX c_index ON t (lower(c))", "CREATE INDEX d_index ON t (id) WHERE d IS NOT NULL")
        let description = try await describe("t", fixture)
        try expect(description.indexedColumns.isSuperset(of: ["a", "b", "c", "d"]), "\(description.indexedColumns)")
        try expect(description.indexedColumns.isDisjoint(with: ["e", "f", "g"]), "\(description.indexedColumns)")
        try expectEqual(description.uniqueColumns, ["b"], "unique columns")
        try expectEqual(description.computedFromColumns, ["c", "d", "f"], "computed from")
        try expectEqual(description.column("g")?.isGenerated, true, "g is generated")
        try expectEqual(description.column("f")?.isGenerated, false, "f is not")
    }

    @Sendable private static func triggers(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 1)
        try await fixture.makeFences()
        try await fixture.engine.write { try $0.installFence(Fence(columnID: 1, target: .plain)) }
        try expectEqual(try await describe("t", fixture).triggers, [], "triggers beside our own")
        try await fixture.run(fixture.dialect.refusingTrigger("t", "no updates"))
        let found = try await describe("t", fixture).triggers
        try expectEqual(found.count, 1, "triggers")
        try expect(found[0].definition.lowercased().contains("update"), found[0].definition)
    }
}
