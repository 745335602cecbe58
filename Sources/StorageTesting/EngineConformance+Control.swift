internal import PluginKit
internal import Storage

extension EngineConformance {
    static var controlCases: [ConformanceCase] {
        [
            ConformanceCase(
                "control tables are made, listed apart from the application's, and hold any value", controlTables),
            ConformanceCase("a statement says how many rows it changed", counts),
            ConformanceCase("a query beyond 100 000 rows is refused") { fixture in
                let numbers: SQL = """
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(100_001)) SELECT i FROM n
                    """
                try await expectError(.storeUnexpected, "query") {
                    _ = try await fixture.engine.read { try $0.query(numbers) }
                }
            },
            ConformanceCase("a statement on a table that is not there says so") { fixture in
                try await expectError(.storeObjectMissing, "query") {
                    _ = try await fixture.engine.read { try $0.query("SELECT 1 FROM \(control: "gone")") }
                }
            },
            ConformanceCase("odd names work everywhere", oddNames),
        ]
    }

    @Sendable private static func controlTables(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 1)
        let values: [SQLValue] = [
            .integer(.min), .integer(.max), .integer(0), .text(""), .text("it's \"quoted\" ?1 💧"), .blob([]),
            .blob([0, 0x27, 0xFF]), .null,
        ]
        let found = try await fixture.engine.write { session in
            try session.createControlSchema()
            try session.createControlSchema()
            try session.execute(
                """
                CREATE TABLE \(control: "case") (id \(session.columnType(.integer)) PRIMARY KEY,
                i \(session.columnType(.integer)), t \(session.columnType(.text)), b \(session.columnType(.blob)))
                """)
            return try values.enumerated().map { index, value in
                let column =
                    switch value {
                    case .integer, .real, .null: "i"
                    case .text: "t"
                    case .blob: "b"
                    }
                try session.execute(
                    "INSERT INTO \(control: "case") (id, \(identifier: column)) VALUES (\(index), \(value))")
                return try session.query(
                    "SELECT \(identifier: column) FROM \(control: "case") WHERE id = \(index)")[0].values[0]
            }
        }
        try expectEqual(found, values, "values")
        let (ours, theirs) = try await fixture.engine.read { (try $0.controlTables(), try $0.tables()) }
        try expectEqual(ours, ["case"], "control tables")
        try expectEqual(theirs.map(\.name), ["t"], "tables of the application")
    }

    @Sendable private static func counts(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 5)
        let table = TableName(name: "t")
        let counts = try await fixture.engine.write { session in
            [
                try session.execute("UPDATE \(table: table) SET flag = \(2) WHERE id > \(2)"),
                try session.execute("UPDATE \(table: table) SET flag = \(3) WHERE id > \(9)"),
                try session.execute("DELETE FROM \(table: table) WHERE id = \(1)"),
                try session.execute("CREATE TABLE other (id INTEGER)"),
            ]
        }
        try expectEqual(counts, [3, 0, 1, 0], "rows changed")
    }

    @Sendable private static func oddNames(_ fixture: Fixture) async throws {
        let name = TableName(name: "we\"ird ta.ble; --")
        let path = ColumnPath(table: name, column: "größe 💧")
        let target = ColumnTarget(path: path, key: ["select", "or'der"])
        let quotedTable = "\"we\"\"ird ta.ble; --\""
        try await fixture.run(
            """
            CREATE TABLE \(quotedTable) ("select" INTEGER, "or'der" INTEGER, "größe 💧" \(fixture.dialect.textType),
            PRIMARY KEY ("select", "or'der"))
            """, "INSERT INTO \(quotedTable) VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c')")
        let rows = try await fixture.allRows(WindowRequest(target: target, scope: .all, rowLimit: 1))
        try expectEqual(rows.map(\.value), [.text("a"), .text("b"), .text("c")], "values")
        let swaps = rows.map { Swap(key: $0.key, old: $0.value, new: .text("new")) }
        try expectEqual(try await fixture.swap(swaps, in: target), [true, true, true], "swaps")
        let description = try await fixture.engine.read { try $0.describe(name) }
        try expectEqual(description?.primaryKey, ["select", "or'der"], "primary key")
        try expect(description?.column("größe 💧") != nil, "the column is described")
        try await fixture.makeFences()
        try await fixture.engine.write { try $0.installFence(Fence(columnID: 1, target: target)) }
        try await expectFenced("an update of the odd table") {
            try await fixture.run("UPDATE \(quotedTable) SET \"größe 💧\" = 'plain'")
        }
        try await fixture.engine.write { try $0.checkPredicate("\"größe 💧\" <> 'x''y'", on: name) }
    }
}
