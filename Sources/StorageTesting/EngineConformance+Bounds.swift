internal import PluginKit
internal import Storage

extension EngineConformance {
    static var boundCases: [ConformanceCase] {
        [
            ConformanceCase("a window begins after a key and ends with one, included", boundsHold),
            ConformanceCase("a window that ends exactly with the table is the last one", exactEnds),
            ConformanceCase("a window stops at its byte limit but shows a row at least", byteLimit),
            ConformanceCase("an empty table is one empty last window") { fixture in
                try await fixture.makeTable()
                let window = try await fixture.window(WindowRequest(target: .plain, scope: .all))
                try expect(window.rows.isEmpty && window.isLast, "\(window)")
            },
            ConformanceCase("a predicate picks rows, or is told of each", scopes),
            ConformanceCase("rows without a value are passed over only where asked", nulls),
            ConformanceCase("rows that are gone are left out when read again") { fixture in
                try await fixture.makeTable(rows: 3)
                let keys = [3, 99, 1].map { RowKey([.integer($0)]) }
                let rows = try await fixture.engine.read { try $0.readRows(keys, of: .plain) }
                try expectEqual(rows.map(\.key), [keys[0], keys[2]], "keys")
            },
            ConformanceCase("a key that no unique index covers is refused", notUnique),
            ConformanceCase("a row with NULL in its key is an error, never passed over", nullKey),
            ConformanceCase("a vanished table or column is named") { fixture in
                try await fixture.makeTable(rows: 1)
                let paths = [("gone", "c"), ("t", "gone")].map {
                    ColumnPath(table: TableName(name: $0.0), column: $0.1)
                }
                for path in paths {
                    let request = WindowRequest(target: ColumnTarget(path: path, key: ["id"]), scope: .all)
                    try await expectError(.storeObjectMissing, "\(path)") { _ = try await fixture.window(request) }
                }
                let gone = ColumnTarget.plain(where: "\"gone\" = 1")
                try await expectError(.storeObjectMissing, "a name in the predicate") {
                    _ = try await fixture.swap([Swap(1, "v1", "new")], in: gone)
                }
            },
        ]
    }

    @Sendable private static func boundsHold(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 20)
        let window = try await fixture.window(
            WindowRequest(
                target: .plain, scope: .all, after: RowKey([.integer(5)]), through: RowKey([.integer(12)])))
        try expectEqual(window.rows.map(\.key), (6...12).map { RowKey([.integer($0)]) }, "keys")
        try expect(window.isLast, "nothing follows within the bounds")
    }

    @Sendable private static func exactEnds(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 10)
        for (limit, isLast) in [(9, false), (10, true), (11, true)] {
            let window = try await fixture.window(WindowRequest(target: .plain, scope: .all, rowLimit: limit))
            try expectEqual(window.isLast, isLast, "a window of \(limit) over 10 rows is the last")
            try expectEqual(window.rows.count, min(limit, 10), "rows")
        }
    }

    @Sendable private static func byteLimit(_ fixture: Fixture) async throws {
        try await fixture.makeTable()
        let value = String(repeating: "x", count: 1000)
        let rows = (1...10).map { "(\($0), '\(value)')" }.joined(separator: ", ")
        try await fixture.run("INSERT INTO t (id, c) VALUES \(rows)")
        for (limit, count) in [(1, 1), (2500, 3), (1_000_000, 10)] {
            let request = WindowRequest(target: .plain, scope: .all, byteLimit: limit)
            let window = try await fixture.window(request)
            try expectEqual(window.rows.count, count, "rows within \(limit) bytes")
            try expectEqual(try await fixture.allRows(request).count, 10, "rows in all")
        }
    }

    @Sendable private static func scopes(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 6)
        try await fixture.run(
            "UPDATE t SET flag = 0 WHERE id IN (2, 4)", "UPDATE t SET flag = NULL WHERE id = 5")
        for predicate in ["flag = 1", "flag = 1 -- sealed", "flag = 1 /* ) */", "t.flag = 1", "flag = 1 OR 1 = 0"] {
            let target = ColumnTarget.plain(where: predicate)
            let matching = try await fixture.allRows(WindowRequest(target: target, scope: .matching, rowLimit: 2))
            try expectEqual(matching.map(\.key), [1, 3, 6].map { RowKey([.integer($0)]) }, predicate)
            try expect(matching.allSatisfy(\.isMatching), "each row of the scope matches: \(predicate)")
            let all = try await fixture.allRows(WindowRequest(target: target, scope: .all, rowLimit: 2))
            try expectEqual(all.map(\.isMatching), [true, false, true, false, false, true], predicate)
        }
    }

    @Sendable private static func nulls(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 4)
        try await fixture.run("UPDATE t SET c = NULL WHERE id = 2", "UPDATE t SET c = '' WHERE id = 3")
        let without = try await fixture.allRows(WindowRequest(target: .plain, scope: .all))
        try expectEqual(without.map(\.value), [.text("v1"), .text(""), .text("v4")], "values without NULL")
        let with = try await fixture.allRows(WindowRequest(target: .plain, scope: .all, skipsNull: false))
        try expectEqual(with.map(\.value), [.text("v1"), .null, .text(""), .text("v4")], "values with NULL")
    }

    @Sendable private static func notUnique(_ fixture: Fixture) async throws {
        try await fixture.run(
            "CREATE TABLE t (a INTEGER, b INTEGER, c \(fixture.dialect.textType))",
            "CREATE INDEX plain ON t (a)", "CREATE UNIQUE INDEX partial ON t (a) WHERE b = 1",
            "INSERT INTO t VALUES (1, 1, 'x'), (1, 2, 'x')")
        let target = ColumnTarget(path: .plain, key: ["a"])
        try await expectError(.storeUnexpected, "reading") {
            _ = try await fixture.window(WindowRequest(target: target, scope: .all))
        }
        try await expectError(.storeUnexpected, "swapping") {
            let swap = Swap(key: RowKey([.integer(1)]), old: .text("x"), new: .text("y"))
            _ = try await fixture.swap([swap], in: target)
        }
        try await fixture.run("CREATE UNIQUE INDEX both_columns ON t (b, a)")
        let both = ColumnTarget(path: .plain, key: ["a", "b"])
        let rows = try await fixture.allRows(WindowRequest(target: both, scope: .all, rowLimit: 1))
        try expectEqual(
            Set(rows.map(\.key)), [RowKey([.integer(1), .integer(1)]), RowKey([.integer(1), .integer(2)])], "keys")
    }

    @Sendable private static func nullKey(_ fixture: Fixture) async throws {
        try await fixture.run(
            "CREATE TABLE t (id INTEGER UNIQUE, c \(fixture.dialect.textType))",
            "INSERT INTO t VALUES (1, 'a'), (NULL, 'b'), (2, 'c')")
        try await expectError(.storeUnexpected, "reading") {
            _ = try await fixture.allRows(WindowRequest(target: .plain, scope: .all, rowLimit: 1))
        }
    }
}
