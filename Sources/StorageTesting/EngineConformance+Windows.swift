internal import PluginKit
internal import Storage

/// A shape of primary key, as a table that has it.
private struct KeyShape: Sendable {
    let name: String
    /// The key columns with their types.
    let columns: @Sendable (ConformanceDialect) -> [(name: String, type: String)]
    /// The key of the n-th row, as literals.
    let literals: @Sendable (Int, ConformanceDialect) -> [String]

    static let all: [KeyShape] = [
        KeyShape(
            name: "integer", columns: { _ in [("id", "BIGINT")] }, literals: { n, _ in ["\(n * 7919 - 400_000)"] }),
        KeyShape(name: "text", columns: { [("id", $0.textType)] }, literals: { n, _ in ["'\(words(n))'"] }),
        KeyShape(
            name: "case-folding text", columns: { [("id", $0.foldedTextType)] },
            literals: { n, _ in [n.isMultiple(of: 2) ? "'\(words(n))'" : "'\(words(n).uppercased())'"] }),
        KeyShape(name: "uuid", columns: { [("id", $0.uuidType)] }, literals: { n, _ in ["'\(uuid(n))'"] }),
        KeyShape(name: "blob", columns: { [("id", $0.blobType)] }, literals: { n, d in [d.blobLiteral(digest(n))] }),
        KeyShape(
            name: "composite", columns: { [("tenant", $0.textType), ("number", "BIGINT"), ("part", $0.blobType)] },
            literals: { n, d in ["'tenant \(n % 7)'", "\(n / 14)", d.blobLiteral([UInt8(n / 7 % 2), 0])] }),
    ]

    private static func words(_ n: Int) -> String { "kéy \(String(n * 7919 % 100_003, radix: 36))-\(n)" }

    private static func digest(_ n: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: UInt64(n))
        return (0..<(1 + n % 9)).map { _ in UInt8.random(in: 0...255, using: &generator) } + [
            UInt8(n >> 8), UInt8(n & 255),
        ]
    }

    private static func uuid(_ n: Int) -> String {
        var generator = SeededGenerator(seed: UInt64(n))
        let digits = (0..<2).map { _ in
            let text = String(generator.next(), radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { range in
            String(digits.dropFirst(range.lowerBound).prefix(range.count))
        }.joined(separator: "-")
    }
}

extension Fixture {
    fileprivate func target(_ shape: KeyShape) -> ColumnTarget {
        ColumnTarget(path: .plain, key: shape.columns(dialect).map(\.name))
    }

    fileprivate func makeTable(_ shape: KeyShape, rows: some Sequence<Int>) async throws {
        let columns = shape.columns(dialect)
        let definitions = columns.map { "\($0.name) \($0.type) NOT NULL" }.joined(separator: ", ")
        let key = columns.map(\.name).joined(separator: ", ")
        try await run("CREATE TABLE t (\(definitions), c \(dialect.textType), PRIMARY KEY (\(key)))")
        try await insert(shape, rows: rows)
    }

    fileprivate func insert(_ shape: KeyShape, rows: some Sequence<Int>) async throws {
        let values = rows.map { "(\(shape.literals($0, dialect).joined(separator: ", ")), 'value \($0)')" }
        let names = shape.columns(dialect).map(\.name).joined(separator: ", ")
        try await run("INSERT INTO t (\(names), c) VALUES \(values.joined(separator: ", "))")
    }
}

extension EngineConformance {
    static var windowCases: [ConformanceCase] {
        KeyShape.all.flatMap { shape in
            [
                ConformanceCase("windows over a \(shape.name) key show each row once, in one order") { fixture in
                    try await showsEachRowOnce(shape, fixture)
                },
                ConformanceCase("windows over a \(shape.name) key miss nothing while rows come and go") { fixture in
                    try await missesNothing(shape, fixture)
                },
                ConformanceCase("a row is read and swapped by its \(shape.name) key") { fixture in
                    try await swapsByKey(shape, fixture)
                },
            ]
        }
    }

    private static func showsEachRowOnce(_ shape: KeyShape, _ fixture: Fixture) async throws {
        try await fixture.makeTable(shape, rows: (1...500).shuffled())
        let request = WindowRequest(target: fixture.target(shape), scope: .all, rowLimit: 37)
        let rows = try await fixture.allRows(request)
        try expectEqual(Set(rows.map(\.key)).count, rows.count, "keys repeat")
        try expectEqual(
            Set(rows.map(\.value)), Set((1...500).map { StoredValue.text("value \($0)") }), "values")
        let whole = try await fixture.window(WindowRequest(target: fixture.target(shape), scope: .all))
        try expect(whole.isLast && whole.rows == rows, "small windows and one large one disagree")
    }

    private static func missesNothing(_ shape: KeyShape, _ fixture: Fixture) async throws {
        try await fixture.makeTable(shape, rows: 1...400)
        let request = WindowRequest(target: fixture.target(shape), scope: .all, rowLimit: 23)
        // The even rows stay; of the others some vanish and new ones come with each window.
        let rows = try await fixture.allRows(request) { window in
            let gone = (1...400).filter { $0 % 2 == 1 && $0 % 17 == window % 17 }.map { "'value \($0)'" }
            try await fixture.run("DELETE FROM t WHERE c IN (\(gone.joined(separator: ", ")))")
            try await fixture.insert(shape, rows: (401 + 10 * window)..<(411 + 10 * window))
        }
        try expectEqual(Set(rows.map(\.key)).count, rows.count, "keys repeat")
        let seen = Set(rows.map(\.value))
        let missed = (1...200).filter { !seen.contains(.text("value \($0 * 2)")) }
        try expect(missed.isEmpty, "rows that stood there all along were missed: \(missed)")
    }

    private static func swapsByKey(_ shape: KeyShape, _ fixture: Fixture) async throws {
        try await fixture.makeTable(shape, rows: 1...50)
        let target = fixture.target(shape)
        let rows = try await fixture.allRows(WindowRequest(target: target, scope: .all))
        let again = try await fixture.engine.read { try $0.readRows(rows.map(\.key), of: target) }
        try expectEqual(again, rows, "reading rows again by their keys")
        let swaps = rows.map { Swap(key: $0.key, old: $0.value, new: .text("new of \($0.key)")) }
        try expect(try await fixture.swap(swaps, in: target).allSatisfy(\.self), "each swap hits")
        let after = try await fixture.allRows(WindowRequest(target: target, scope: .all))
        try expectEqual(after.map(\.value), swaps.map(\.new), "the values after swapping")
        let decoded = rows.compactMap { RowKey(encoded: $0.key.encoded) }
        let found = try await fixture.engine.read { try $0.readRows(decoded, of: target) }
        try expectEqual(found.count, rows.count, "rows found by keys that went through their encoded form")
    }
}
