internal import PluginKit
internal import Storage

extension EngineConformance {
    static var swapCases: [ConformanceCase] {
        [
            ConformanceCase("a swap writes where the old value stands, and says where it does not", hitsAndMisses),
            ConformanceCase("a swap twice writes once") { fixture in
                try await fixture.makeTable(rows: 1)
                let swap = Swap(1, "v1", "new")
                try expectEqual(try await fixture.swap([swap]), [true], "first")
                try expectEqual(try await fixture.swap([swap]), [false], "second")
            },
            ConformanceCase("a swap misses a value that differs in case, whatever the column's collation", folding),
            ConformanceCase("a swap misses a value that differs in trailing blanks") { fixture in
                try await fixture.makeTable(rows: 1)
                try expectEqual(try await fixture.swap([Swap(1, "v1 ", "new")]), [false], "swap")
            },
            ConformanceCase("a swap from no value and to no value") { fixture in
                try await fixture.makeTable(rows: 2)
                try await fixture.run("UPDATE t SET c = NULL WHERE id = 2")
                let keys = (1...2).map { RowKey([.integer($0)]) }
                let results = try await fixture.swap([
                    Swap(key: keys[0], old: .null, new: .text("x")), Swap(key: keys[1], old: .null, new: .text("x")),
                    Swap(key: keys[0], old: .text("v1"), new: .null),
                ])
                try expectEqual(results, [false, true, true], "results")
                try expectEqual(try await fixture.value(1), .null, "row 1")
                try expectEqual(try await fixture.value(2), .text("x"), "row 2")
            },
            ConformanceCase("a swap misses a row that the predicate no longer picks", predicate),
            ConformanceCase("a swap of a key with too few components is refused") { fixture in
                try await fixture.makeTable(rows: 1)
                try await expectError(.storeUnexpected, "no components") {
                    _ = try await fixture.swap([Swap(key: RowKey([]), old: .text("v1"), new: .text("x"))])
                }
            },
        ]
    }

    @Sendable private static func hitsAndMisses(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 5)
        try await fixture.run("UPDATE t SET c = 'theirs' WHERE id = 2", "DELETE FROM t WHERE id = 4")
        let swaps = (1...5).map { Swap($0, "v\($0)", "new \($0)") }
        try expectEqual(try await fixture.swap(swaps), [true, false, true, false, true], "results")
        try expectEqual(try await fixture.value(1), .text("new 1"), "a row that was as read")
        try expectEqual(try await fixture.value(2), .text("theirs"), "a row that the application changed")
        try expectEqual(try await fixture.value(4), nil, "a row that the application deleted")
    }

    @Sendable private static func folding(_ fixture: Fixture) async throws {
        try await fixture.makeTable(columnType: fixture.dialect.foldedTextType)
        try await fixture.run("INSERT INTO t (id, c, flag) VALUES (1, 'abc', 1)")
        try expectEqual(try await fixture.swap([Swap(1, "ABC", "new")]), [false], "another case")
        try expectEqual(try await fixture.value(1), .text("abc"), "the value")
        try expectEqual(try await fixture.swap([Swap(1, "abc", "new")]), [true], "the same case")
    }

    @Sendable private static func predicate(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 3)
        try await fixture.run(
            "UPDATE t SET flag = 0 WHERE id = 2", "UPDATE t SET flag = NULL WHERE id = 3")
        let target = ColumnTarget.plain(where: "flag = 1 -- sealed")
        let swaps = (1...3).map { Swap($0, "v\($0)", "new") }
        try expectEqual(try await fixture.swap(swaps, in: target), [true, false, false], "results")
    }
}

extension EngineConformance {
    static var swapEffectCases: [ConformanceCase] {
        [
            ConformanceCase(
                "sealing a plaintext writes its assignments, although the predicate does not hold yet", assignments),
            ConformanceCase("an altering trigger is noticed and leaves nothing behind", altering),
            ConformanceCase("a trigger's refusal names the table and the trigger's words", refusing),
            ConformanceCase("a constraint's refusal rolls the transaction back") { fixture in
                try await fixture.run(
                    "CREATE TABLE t (id INTEGER PRIMARY KEY, c \(fixture.dialect.textType) CHECK (c <> 'bad'), flag INTEGER)",
                    "INSERT INTO t (id, c) VALUES (1, 'v1'), (2, 'v2')")
                try await expectError(.storeRowRefused, "swap") {
                    _ = try await fixture.swap([Swap(1, "v1", "good"), Swap(2, "v2", "bad")])
                }
                try expectEqual(try await fixture.value(1), .text("v1"), "the row before the refused one")
            },
            ConformanceCase("no message holds a value") { fixture in
                try await fixture.makeTable(rows: 1)
                try await fixture.run(fixture.dialect.alteringTrigger("t", "c"))
                let target = ColumnTarget(path: .plain, key: ["id"], readsBack: true)
                do {
                    _ = try await fixture.swap([Swap(1, "v1", "planted-secret")], in: target)
                } catch let error as StorageError {
                    let text = "\(error) \(error.hint ?? "") \(error.cause.map { "\($0)" } ?? "")"
                    return try expect(!text.contains("planted-secret") && !text.contains("v1"), text)
                }
                throw ConformanceFailure(description: "nothing was thrown")
            },
        ]
    }

    @Sendable private static func assignments(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 2)
        try await fixture.run(
            "UPDATE t SET flag = 0", "ALTER TABLE t ADD COLUMN \"sealed by\" \(fixture.dialect.textType)")
        let target = ColumnTarget(
            path: .plain, key: ["id"], predicate: "flag = 1",
            assignments: [
                ColumnTarget.Assignment(column: "flag", value: .integer(1)),
                ColumnTarget.Assignment(column: "sealed by", value: .text("keyturn")),
            ])
        let results = try await fixture.swap(
            [Swap(1, "v1", "new", setsAssignments: true), Swap(2, "v2", "new"), Swap(1, "new", "newer")], in: target)
        try expectEqual(results, [true, false, true], "results")
        let found = try await fixture.engine.read {
            try $0.query("SELECT flag, \(identifier: "sealed by") FROM \(table: TableName(name: "t")) ORDER BY id").map(
                \.values)
        }
        try expectEqual(
            found, [[.integer(1), .text("keyturn")], [.integer(0), .null]], "the columns beside the value")
        let narrow = ColumnTarget(
            path: .plain, key: ["id"], predicate: "flag = 1 AND id > 2", assignments: target.assignments)
        try await expectError(.storeValueAltered, "a row that its assignments do not bring into the predicate") {
            _ = try await fixture.swap([Swap(2, "v2", "lost", setsAssignments: true)], in: narrow)
        }
        try expectEqual(try await fixture.value(2), .text("v2"), "the value after the rollback")
    }

    @Sendable private static func altering(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 2)
        let target = ColumnTarget(path: .plain, key: ["id"], readsBack: true)
        try expectEqual(try await fixture.swap([Swap(2, "v2", "two")], in: target), [true], "without a trigger")
        try await fixture.run(fixture.dialect.alteringTrigger("t", "c"))
        try await expectError(.storeValueAltered, "reading back") {
            _ = try await fixture.swap([Swap(1, "v1", "new")], in: target)
        }
        try expectEqual(try await fixture.value(1), .text("v1"), "the value after the rollback")
        try expectEqual(try await fixture.swap([Swap(1, "v1", "new")]), [true], "not reading back")
        try expectEqual(try await fixture.value(1), .text("new!"), "the value that the trigger made")
    }

    @Sendable private static func refusing(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 1)
        try await fixture.run(fixture.dialect.refusingTrigger("t", "not on a Sunday"))
        do {
            _ = try await fixture.swap([Swap(1, "v1", "new")])
        } catch let error as StorageError {
            try expectEqual(error.code, .storeRowRefused, "code")
            try expect(error.message.contains("t.c"), "the message names the column: \(error.message)")
            return try expect(error.message.contains("not on a Sunday"), "the message quotes: \(error.message)")
        }
        throw ConformanceFailure(description: "the refusal went unnoticed")
    }
}
