import PluginKit
import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

/// Batches are sent together with what they take for granted; here it is otherwise.
@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLBatchTests {
    private static let table =
        "CREATE TABLE t (id int PRIMARY KEY, c text, note text); INSERT INTO t VALUES (1, 's1.a')"
    private static let value = "SELECT c FROM t WHERE id = 1"

    @Test
    func marksThatChangedBetweenBatchesAreHeeded() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(Self.table)
            try await engine.installFence()
            #expect(try await engine.swap([Swap(1, "s1.a", "s1.b")]) == [true])
            #expect(try await engine.swap([Swap(1, "s1.b", "s1.c")]) == [true])
            try database.application.run("UPDATE keyturn.fences SET first = 's2.'")
            let error = await storageError { _ = try await engine.swap([Swap(1, "s1.c", "s1.d")]) }
            #expect(error?.code == .storeFenceRefused)
            #expect(try database.application.run(Self.value) == [["s1.c"]])
            #expect(try await engine.swap([Swap(1, "s1.c", "s2.d")]) == [true])
        }
    }

    @Test(arguments: [
        "ALTER TABLE t ALTER id TYPE bigint", "ALTER TABLE t ALTER c TYPE varchar(100)",
        "ALTER TABLE t RENAME c TO d; ALTER TABLE t ADD c text; UPDATE t SET c = d",
        "ALTER TABLE t RENAME TO u; CREATE TABLE t AS TABLE u; ALTER TABLE t ADD PRIMARY KEY (id)",
    ])
    func aTableThatChangedBetweenBatchesIsLookedAtAnew(change: String) async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(Self.table)
            #expect(try await engine.swap([Swap(1, "s1.a", "s1.b")]) == [true])
            try database.application.run(change)
            #expect(try await engine.swap([Swap(1, "s1.b", "s1.c"), Swap(2, "s1.b", "s1.c")]) == [true, false])
            #expect(try await engine.swap([Swap(1, "s1.a", "s1.d")]) == [false])
            #expect(try database.application.run(Self.value) == [["s1.c"]])
        }
    }

    @Test
    func aColumnThatWentBetweenBatchesIsNamed() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(Self.table)
            #expect(try await engine.swap([Swap(1, "s1.a", "s1.b")]) == [true])
            try database.application.run("ALTER TABLE t DROP c")
            let error = await storageError { _ = try await engine.swap([Swap(1, "s1.b", "s1.c")]) }
            #expect(error?.code == .storeObjectMissing)
            #expect(error?.message.contains("no column \"c\"") == true, "\(error?.message ?? "nothing")")
        }
    }

    @Test
    func whatWasPostponedCommitsOrFailsWithTheRest() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(Self.table)
            for divisor in ["0", "1"] {
                let error = await storageError {
                    try await engine.write { session in
                        _ = try session.swap([Swap(1, "s1.a", "s1.b")], in: .plain(), .awaited)
                        try session.postpone(SQL(stringLiteral: "UPDATE t SET note = (1 / \(divisor))::text"))
                    }
                }
                #expect((error == nil) == (divisor == "1"), "\(error?.message ?? "nothing")")
                let row = try database.application.run("SELECT c, coalesce(note, 'none') FROM t")
                #expect(row == [divisor == "1" ? ["s1.b", "1"] : ["s1.a", "none"]])
            }
        }
    }

    @Test
    func thePassOfAFenceServesNoOtherRole() async throws {
        try await withScratchPostgreSQL { database, engine in
            let role = "\(database.name)_app"
            try database.application.run("\(Self.table); CREATE ROLE \(role) LOGIN; GRANT ALL ON t TO \(role)")
            try await engine.installFence()
            let pass = try database.application.run(
                """
                SELECT substring(pg_get_triggerdef(oid) FROM 'keyturn-pass-[0-9a-f-]+') FROM pg_trigger
                WHERE tgname LIKE 'keyturn_fence_%_update'
                """)[0][0]
            let copied = "SET keyturn.pass = '\(pass ?? "")'; UPDATE t SET c = 'plain'"
            let application = try ApplicationConnection(database.url(user: role))
            let said = await refusal { try await application.runAside(copied) }
            #expect(said?.contains("keyturn: ") == true, "\(said ?? "nothing")")
            // Nor in a function that runs as the one who made it.
            try database.application.run(
                """
                CREATE FUNCTION writes() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ UPDATE t SET c = 'plain' $$
                """)
            let indirectly = await refusal {
                try await application.runAside("SET keyturn.pass = '\(pass ?? "")'; SELECT writes()")
            }
            #expect(indirectly?.contains("keyturn: ") == true, "\(indirectly ?? "nothing")")
            // The one who made it is let through, or a batch of ours would not be.
            let owner = try ApplicationConnection(database.url())
            try await owner.runAside(copied)
            try owner.run("DROP OWNED BY \(role)")
            try owner.run("DROP ROLE \(role)")
        }
    }
}
