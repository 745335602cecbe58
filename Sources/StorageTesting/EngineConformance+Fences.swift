internal import PluginKit
internal import Storage

extension Fixture {
    /// Makes the control table that fences look into.
    func makeFences() async throws {
        try await engine.write { session in
            try session.createControlSchema()
            try session.execute(
                """
                CREATE TABLE \(control: "fences") (column_id \(session.columnType(.integer)) NOT NULL,
                form \(session.columnType(.text)) NOT NULL, first_at \(session.columnType(.integer)),
                first \(session.columnType(.blob)), second_at \(session.columnType(.integer)),
                second \(session.columnType(.blob)))
                """)
        }
    }

    /// Admits one kind of value to a column.
    func admit(
        _ form: String, _ first: String?, firstAt: Int64? = 1, _ second: [UInt8]? = nil, secondAt: Int64? = nil,
        column: Int64 = 7
    ) async throws {
        let bytes = first.map { [UInt8]($0.utf8) }
        try await engine.write { session in
            _ = try session.execute(
                """
                INSERT INTO \(control: "fences") (column_id, form, first_at, first, second_at, second)
                VALUES (\(column), \(form), \(firstAt), \(bytes), \(secondAt), \(second))
                """)
        }
    }

    /// Makes `t` with two rows, one of which holds a value of the old mark, and a fence that admits `s1.new`.
    fileprivate func makeFence(_ target: ColumnTarget = .plain) async throws {
        try await makeTable(rows: 2)
        try await makeFences()
        try await admit("text", "s1.", [UInt8]("new".utf8), secondAt: 4)
        try await engine.write { try $0.installFence(Fence(columnID: 7, target: target)) }
    }
}

extension EngineConformance {
    static var fenceCases: [ConformanceCase] {
        [
            ConformanceCase("a fence admits its marks, NULL and empty, and refuses all else", admits),
            ConformanceCase("a fence leaves alone what does not change the value", unchanged),
            ConformanceCase("a fence looks at bytes, not at what a collation calls equal", caseSensitive),
            ConformanceCase("a fence is raised by its rows alone", raised),
            ConformanceCase("a fence that admits anything admits anything") { fixture in
                try await fixture.makeFence()
                try await fixture.admit("any", nil, firstAt: nil)
                try await fixture.run("UPDATE t SET c = 'plain'", "INSERT INTO t (id, c) VALUES (9, 'plain')")
            },
            ConformanceCase("a fence heeds the rows of its own column only") { fixture in
                try await fixture.makeFence()
                try await fixture.admit("any", nil, firstAt: nil, column: 8)
                try await expectFenced("plaintext") { try await fixture.run("UPDATE t SET c = 'plain'") }
            },
            ConformanceCase("a fence with a predicate guards the rows that it picks", withPredicate),
            ConformanceCase("a fence on bytes", blobs),
            ConformanceCase("a fence refuses our own swaps too, and is recognised") { fixture in
                try await fixture.makeFence()
                try await expectError(.storeFenceRefused, "swap") {
                    _ = try await fixture.swap([Swap(1, "v1", "s1.old.x")])
                }
                try expectEqual(try await fixture.swap([Swap(1, "v1", "s1.new.x")]), [true], "an admitted swap")
            },
            ConformanceCase("a fence is replaced, and removed, as often as one likes") { fixture in
                try await fixture.makeFence()
                let fence = Fence(columnID: 7, target: .plain)
                try await fixture.engine.write { session in
                    try session.installFence(fence)
                    try session.installFence(fence)
                }
                try await expectFenced("plaintext") { try await fixture.run("UPDATE t SET c = 'plain'") }
                try await fixture.engine.write { session in
                    try session.removeFence(fence)
                    try session.removeFence(fence)
                }
                try await fixture.run("UPDATE t SET c = 'plain'", "INSERT INTO t (id, c) VALUES (9, 'plain')")
            },
        ]
    }

    @Sendable private static func admits(_ fixture: Fixture) async throws {
        try await fixture.makeFence()
        try await fixture.run(
            "UPDATE t SET c = 's1.new.abc' WHERE id = 1", "UPDATE t SET c = NULL WHERE id = 1",
            "UPDATE t SET c = '' WHERE id = 1", "INSERT INTO t (id, c) VALUES (3, 's1.new')",
            "INSERT INTO t (id, c) VALUES (4, NULL)", "INSERT INTO t (id, c) VALUES (5, '')",
            "INSERT INTO t (id) VALUES (6)")
        for value in ["plain", "s1.", "s1.ne", "s1.old.abc", "xs1.new.abc", "s2.new.abc", " s1.new", "s1_new"] {
            try await expectFenced("update to \(value)") {
                try await fixture.run("UPDATE t SET c = '\(value)' WHERE id = 2")
            }
            try await expectFenced("insert of \(value)") {
                try await fixture.run("INSERT INTO t (id, c) VALUES (9, '\(value)')")
            }
        }
        try expectEqual(try await fixture.value(2), .text("v2"), "the row that was to be updated")
        try expectEqual(try await fixture.value(9), nil, "the row that was to be inserted")
    }

    @Sendable private static func unchanged(_ fixture: Fixture) async throws {
        try await fixture.makeFence()
        try await fixture.run(
            "UPDATE t SET flag = 5", "UPDATE t SET c = c", "UPDATE t SET c = 'v1', flag = 6 WHERE id = 1",
            "DELETE FROM t WHERE id = 2")
        try await expectFenced("one changed row among unchanged ones") {
            try await fixture.run("UPDATE t SET c = 'v2'")
        }
    }

    @Sendable private static func caseSensitive(_ fixture: Fixture) async throws {
        try await fixture.makeTable(columnType: fixture.dialect.foldedTextType)
        try await fixture.run("INSERT INTO t (id, c) VALUES (1, 'plain')")
        try await fixture.makeFences()
        try await fixture.admit("text", "s1.")
        try await fixture.engine.write { try $0.installFence(Fence(columnID: 7, target: .plain)) }
        for value in ["S1.new", "PLAIN"] {
            try await expectFenced("update to \(value)") { try await fixture.run("UPDATE t SET c = '\(value)'") }
        }
        try await fixture.run("UPDATE t SET c = 's1.new'")
    }

    @Sendable private static func raised(_ fixture: Fixture) async throws {
        try await fixture.makeFence()
        try await fixture.run("UPDATE t SET c = 's1.new.1' WHERE id = 1")
        try await fixture.engine.write { session in
            _ = try session.execute("UPDATE \(control: "fences") SET second = \([UInt8]("nxt".utf8))")
        }
        try await expectFenced("a value of the version before") {
            try await fixture.run("UPDATE t SET c = 's1.new.2' WHERE id = 1")
        }
        try await fixture.run("UPDATE t SET c = 's1.nxt.1' WHERE id = 1")
        try await fixture.engine.write { session in _ = try session.execute("DELETE FROM \(control: "fences")") }
        try await expectFenced("anything, once nothing is admitted") {
            try await fixture.run("UPDATE t SET c = 's1.nxt.2' WHERE id = 1")
        }
    }

    @Sendable private static func withPredicate(_ fixture: Fixture) async throws {
        try await fixture.makeFence(.plain(where: "flag = 1 -- sealed"))
        try await fixture.run(
            "UPDATE t SET c = 'plain', flag = 0 WHERE id = 1", "INSERT INTO t (id, c, flag) VALUES (3, 'plain', 0)",
            "INSERT INTO t (id, c) VALUES (4, 'plain')", "UPDATE t SET c = 's1.new.x' WHERE id = 2",
            "INSERT INTO t (id, c, flag) VALUES (5, 's1.new.x', 1), (6, NULL, 1)")
        try await expectFenced("update within the predicate") {
            try await fixture.run("UPDATE t SET c = 'plain' WHERE id = 2")
        }
        try await expectFenced("update that steps into the predicate") {
            try await fixture.run("UPDATE t SET c = 'other', flag = 1 WHERE id = 3")
        }
        try await expectFenced("insert within the predicate") {
            try await fixture.run("INSERT INTO t (id, c, flag) VALUES (7, 'plain', 1)")
        }
        try expectEqual(try await fixture.value(2), .text("s1.new.x"), "the row that was to be updated")
        try expectEqual(try await fixture.value(7), nil, "the row that was to be inserted")
    }

    @Sendable private static func blobs(_ fixture: Fixture) async throws {
        try await fixture.makeTable(columnType: fixture.dialect.blobType)
        try await fixture.makeFences()
        try await fixture.admit("blob", "\u{1}\u{0}", [0xFF, 0x00], secondAt: 5)
        try await fixture.engine.write { try $0.installFence(Fence(columnID: 7, target: .plain)) }
        let literal = fixture.dialect.blobLiteral
        try await fixture.run(
            "INSERT INTO t (id, c) VALUES (1, \(literal([1, 0, 9, 9, 0xFF, 0, 7])))",
            "INSERT INTO t (id, c) VALUES (2, \(literal([])))",
            "UPDATE t SET c = \(literal([1, 0, 0, 0, 0xFF, 0])) WHERE id = 2")
        let refused: [[UInt8]] = [[1], [1, 0, 9, 9, 0xFF], [1, 0, 9, 9, 0xFF, 1], [0, 1, 9, 9, 0xFF, 0], [0]]
        for value in refused {
            try await expectFenced("update to \(value)") {
                try await fixture.run("UPDATE t SET c = \(literal(value)) WHERE id = 1")
            }
        }
    }
}
