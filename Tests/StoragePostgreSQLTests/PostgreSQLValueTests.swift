import PluginKit
import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLValueTests {
    @Test
    func aLockedRowIsPassedOverAtOnceWhereAsked() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 5) AS i
                """)
            try database.application.run("BEGIN; UPDATE t SET c = 'theirs' WHERE id IN (2, 4)")
            let swaps = (1...6).map { Swap($0, "v\($0)", "new") }
            let begun = ContinuousClock.now
            let hits = try await engine.write { try $0.swap(swaps, in: .plain(), .skipped) }
            #expect(ContinuousClock.now - begun < .seconds(5))
            #expect(hits == [true, false, true, false, true, false])
            try database.application.run("COMMIT")
            let rows = try database.application.run("SELECT c FROM t ORDER BY id")
            #expect(rows == [["new"], ["theirs"], ["new"], ["theirs"], ["new"]])
            #expect(
                try await engine.write { try $0.swap(swaps, in: .plain(), .skipped) } == [
                    false, false, false, false, false, false,
                ])
        }
    }

    @Test
    func rowsThatAPolicyHidesAreAnErrorAndNotSilence() async throws {
        try await withScratchPostgreSQL { database, _ in
            try database.application.run(
                """
                CREATE ROLE \(database.name)_limited LOGIN;
                CREATE TABLE t (id int PRIMARY KEY, c text, owner text);
                INSERT INTO t VALUES (1, 'mine', 'me'), (2, 'theirs', 'them');
                ALTER TABLE t ENABLE ROW LEVEL SECURITY;
                CREATE POLICY mine ON t USING (owner = 'me');
                GRANT ALL ON t TO \(database.name)_limited
                """)
            let engine = try await PostgreSQLEngine(url: database.url(user: "\(database.name)_limited"))
            let reading = await storageError { _ = try await engine.window() }
            #expect(reading?.code == .storeUnexpected && reading?.message.contains("row-level security") == true)
            let writing = await storageError { _ = try await engine.swap([Swap(2, "theirs", "new")]) }
            #expect(writing?.message.contains("row-level security") == true)
            let counting = await storageError { _ = try await engine.read { try $0.query("SELECT count(*) FROM t") } }
            #expect(counting != nil)
            await engine.close()
            try database.application.run("DROP OWNED BY \(database.name)_limited; DROP ROLE \(database.name)_limited")
        }
    }

    @Test
    func whatATypeCallsEqualIsNotTheSameValue() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE TABLE t (id int PRIMARY KEY, c jsonb);
                INSERT INTO t VALUES (1, '{"a":1}');
                """)
            #expect(try await engine.window().rows.first?.value == .text(#"{"a": 1}"#))
            #expect(try await engine.swap([Swap(1, #"{"a":1}"#, #"{"a": 2}"#)]) == [false])
            #expect(try await engine.swap([Swap(1, #"{"a": 1}"#, #"{"a": 2}"#)]) == [true])
            let altered = await storageError { _ = try await engine.swap([Swap(1, #"{"a": 2}"#, #"{"a":3}"#)]) }
            #expect(altered?.code == .storeValueAltered)
            #expect(try await engine.window().rows.first?.value == .text(#"{"a": 2}"#))
            let malformed = await storageError { _ = try await engine.swap([Swap(1, #"{"a": 2}"#, "planted")]) }
            #expect(malformed?.code == .storeRowRefused && malformed?.message.contains("planted") == false)
        }
    }

    @Test(arguments: ["json", "varchar(12)", "citext", "d_text", "d_json", "text COLLATE \"C\"", "xml"])
    func valuesOfTextualTypesAreSwapped(type: String) async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE DOMAIN d_text AS varchar(20) CHECK (value <> '"bad"');
                CREATE DOMAIN d_json AS jsonb;
                CREATE TABLE t (id int PRIMARY KEY, c \(type)); INSERT INTO t VALUES (1, '"old"')
                """)
            #expect(try await engine.window().rows.first?.value == .text(#""old""#))
            #expect(try await engine.swap([Swap(1, #""Old""#, #""new""#)]) == [false])
            #expect(try await engine.swap([Swap(1, #""old""#, #""new""#)]) == [true])
            #expect(try database.application.run("SELECT c::text FROM t") == [[#""new""#]])
            guard type.hasPrefix("d_text") || type.hasPrefix("varchar") else { return }
            let values = [String(repeating: "x", count: 21)] + (type == "d_text" ? [#""bad""#] : [])
            for value in values {
                let refused = await storageError { _ = try await engine.swap([Swap(1, #""new""#, value)]) }
                #expect(refused?.code == .storeRowRefused, "\(String(describing: refused))")
            }
            let description = try await engine.read { try $0.describe(TableName(name: "t")) }
            #expect(description?.column("c")?.maximumLength == (type == "d_text" ? 20 : 12))
        }
    }

    @Test
    func aBlankPaddedValueIsReadWithoutItsPadding() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE TABLE t (id char(8) PRIMARY KEY, c char(8)); INSERT INTO t VALUES ('a', 'old'), ('b ', 'x')
                """)
            let rows = try await engine.window().rows
            #expect(rows.map(\.value) == [.text("old"), .text("x")])
            let swaps = rows.map { Swap(key: $0.key, old: $0.value, new: .text("new")) }
            #expect(try await engine.swap(swaps) == [true, true])
        }
    }

    @Test
    func constantsTakeTheTypeOfTheirColumn() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE TABLE t (id smallint PRIMARY KEY, c text, sealed boolean, level numeric, at date, raw bytea);
                INSERT INTO t VALUES (1, 'plain', false)
                """)
            let target = ColumnTarget.plain(
                where: "sealed",
                assignments: [
                    .init(column: "sealed", value: .integer(1)), .init(column: "level", value: .real(1.5)),
                    .init(column: "at", value: .text("2024-02-29")), .init(column: "raw", value: .blob([0, 255])),
                ])
            #expect(try await engine.swap([Swap(1, "plain", "new", setsAssignments: true)], in: target) == [true])
            #expect(
                try database.application.run("SELECT sealed, level, at, raw FROM t")
                    == [["t", "1.5", "2024-02-29", "\\x00ff"]])
        }
    }

    @Test(arguments: [
        "numeric", "date", "text COLLATE folding", "jsonb",
    ])
    func keysThatCannotNameARowAreRefused(type: String) async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                CREATE TABLE t (id \(type) PRIMARY KEY, c text)
                """)
            #expect(await storageError { _ = try await engine.window() }?.code == .storeUnexpected)
        }
    }

    @Test(arguments: ["d_int", "varchar(20)", "d_name", "int", "text COLLATE \"en-x-icu\""])
    func oddKeysShowEachRowOnce(type: String) async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE DOMAIN d_int AS int; CREATE DOMAIN d_name AS citext;
                CREATE TABLE t (part int, id \(type), c text, PRIMARY KEY (part, id));
                INSERT INTO t SELECT i % 3, i::text::\(type.split(separator: " ")[0]), 'v' || i FROM generate_series(1, 300) AS i
                """)
            var request = WindowRequest(target: .plain(key: ["part", "id"]), scope: .all, rowLimit: 29)
            var rows: [StoredRow] = []
            while true {
                let window = try await engine.read { [request] in try $0.readWindow(request) }
                rows += window.rows
                if window.isLast { break }
                request.after = rows.last?.key
            }
            #expect(Set(rows.map(\.key)).count == 300 && rows.count == 300)
            request.after = rows[100].key
            request.through = rows[200].key
            request.rowLimit = 1000
            let part = try await engine.read { [request] in try $0.readWindow(request) }
            #expect(part.rows == Array(rows[101...200]))
            let swaps = rows.map { Swap(key: $0.key, old: $0.value, new: .text("new")) }
            #expect(try await engine.swap(swaps, in: request.target).allSatisfy(\.self))
        }
    }

    @Test
    func partitionsAreWrittenAndGuardedThroughTheirTable() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE TABLE t (id int, region text, c text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
                CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu');
                CREATE TABLE t_us PARTITION OF t FOR VALUES IN ('us');
                INSERT INTO t SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, 'v' || i FROM generate_series(1, 40) AS i
                """)
            let target = ColumnTarget.plain(key: ["region", "id"])
            let rows = try await engine.window(target).rows
            #expect(rows.count == 40)
            let swaps = rows.map { Swap(key: $0.key, old: $0.value, new: .text("s1.x")) }
            #expect(try await engine.swap(swaps, in: target).allSatisfy(\.self))
            #expect(try await engine.read { try $0.tables() }.map(\.name) == ["t"])
            let description = try await engine.read { try $0.describe(TableName(name: "t")) }
            #expect(description?.estimatedRows == 40 && description?.foreignKeyColumns == ["region"])
            try await engine.installFence(target)
            try database.application.run("CREATE TABLE t_cn PARTITION OF t FOR VALUES IN ('cn')")
            for partition in ["t", "t_eu", "t_cn"] {
                let insertion =
                    "INSERT INTO \(partition) VALUES (99, '\(partition.hasSuffix("cn") ? "cn" : "eu")', 'plain')"
                for role in ["origin", "replica"] {
                    let said = await refusal {
                        try await database.application.runAside("SET session_replication_role = \(role); \(insertion)")
                    }
                    #expect(said?.contains("keyturn: ") == true, "\(insertion) as \(role)")
                }
            }
        }
    }

    @Test
    func tablesOutsideThePathAndInOddSchemasAreFound() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE SCHEMA "Odd ""schema"; CREATE TABLE "Odd ""schema".t (id int PRIMARY KEY, c text);
                INSERT INTO "Odd ""schema".t VALUES (1, 'v1')
                """)
            let table = TableName(schema: "Odd \"schema", name: "t")
            let target = ColumnTarget(path: ColumnPath(table: table, column: "c"), key: ["id"], predicate: "t.id > 0")
            #expect(try await engine.swap([Swap(1, "v1", "v2")], in: target) == [true])
            #expect(try await engine.read { try $0.tables() } == [table])
            let gone = TableName(name: String(repeating: "t", count: 64))
            #expect(try await engine.read { try $0.describe(gone) } == nil)
        }
    }

    @Test
    func aTableThatChangesBetweenTwoCallsIsLookedAtAnew() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            #expect(try await engine.window().rows.first?.value == .text("v1"))
            try database.application.run(
                "ALTER TABLE t ALTER COLUMN c TYPE bytea USING convert_to(c, 'UTF8'), ALTER COLUMN id TYPE bigint")
            for _ in 1...3 { #expect(try await engine.window().rows.first?.value == .blob([UInt8]("v1".utf8))) }
            try database.application.run("ALTER TABLE t DROP CONSTRAINT t_pkey")
            #expect(await storageError { _ = try await engine.window() }?.code == .storeUnexpected)
        }
    }
}
