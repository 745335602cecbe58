import PluginKit
import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLFenceTests {
    @Test
    func aRoleWithoutRightsOnOurSchemaIsCheckedAndNotHindered() async throws {
        try await withScratchPostgreSQL { database, engine in
            let role = "\(database.name)_app"
            try database.application.run(
                """
                CREATE TABLE t (id int PRIMARY KEY, c text, note text); INSERT INTO t VALUES (1, 'v1');
                CREATE ROLE \(role) LOGIN; GRANT ALL ON t TO \(role);
                ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC
                """)
            try await engine.installFence()
            let application = try ApplicationConnection(database.url(user: role))
            try await application.runAside("UPDATE t SET c = 's1.new', note = 'x'; INSERT INTO t VALUES (2, 's1.new')")
            let said = await refusal { try await application.runAside("UPDATE t SET c = 'plain'") }
            #expect(said?.contains("keyturn: ") == true, "\(said ?? "nothing")")
            let peeking = await refusal { try await application.runAside("SELECT * FROM keyturn.fences") }
            #expect(peeking?.contains("permission denied") == true)
            try database.application.run("DROP OWNED BY \(role)")
            try database.application.run("DROP ROLE \(role)")
        }
    }

    @Test
    func fencesThatAreMadeAtOnceDoNotCollide() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text)")
            for number in 1...6 { try database.application.run("CREATE TABLE t\(number) (id int PRIMARY KEY, c text)") }
            try await engine.installFence()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...6 {
                    let path = ColumnPath(table: TableName(name: "t\(number)"), column: "c")
                    let fence = Fence(columnID: Int64(number), target: ColumnTarget(path: path, key: ["id"]))
                    group.addTask {
                        let other = try await PostgreSQLEngine(url: database.url())
                        for _ in 0..<3 { try await other.write { try $0.installFence(fence) } }
                        await other.close()
                    }
                }
                try await group.waitForAll()
            }
            let fences = try await database.application.runAside(
                "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'keyturn_fence_%'")
            #expect(fences == [["14"]])
        }
    }

    @Test
    func noTriggerAltersAValueBehindTheFence() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE TABLE t (id int PRIMARY KEY, c text, note text); INSERT INTO t VALUES (1, 's1.old');
                CREATE FUNCTION leaks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.c := 'plain'; RETURN NEW; END $$;
                CREATE TRIGGER "~zz" BEFORE UPDATE OF note ON t FOR EACH ROW EXECUTE FUNCTION leaks()
                """)
            try await engine.installFence()
            let said = await refusal { try await database.application.runAside("UPDATE t SET note = 'x'") }
            #expect(said?.contains("keyturn: ") == true, "\(said ?? "nothing")")
        }
    }

    @Test
    func aRenamedColumnStaysGuarded() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                "CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 's1.a')")
            try await engine.installFence()
            try database.application.run("ALTER TABLE t RENAME COLUMN c TO other; ALTER TABLE t RENAME TO renamed")
            try database.application.run("UPDATE renamed SET other = 's1.b'")
            let said = await refusal { try await database.application.runAside("UPDATE renamed SET other = 'plain'") }
            #expect(said?.contains("keyturn: ") == true)
            try await engine.write { try $0.removeFence(Fence(columnID: 7, target: .plain())) }
            try database.application.run("UPDATE renamed SET other = 'plain'")
        }
    }

    @Test
    func aPredicateMayUseNamesThatAFunctionWouldTakeForItsOwn() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                """
                CREATE TABLE t (id int PRIMARY KEY, c text, found boolean); INSERT INTO t VALUES (1, 'v1', false)
                """)
            try await engine.installFence(.plain(where: "found AND id IN (SELECT id FROM t) -- it's"))
            try database.application.run("UPDATE t SET c = 'plain'")
            let said = await refusal { try await database.application.runAside("UPDATE t SET c = 'p', found = true") }
            #expect(said?.contains("keyturn: ") == true, "\(said ?? "nothing")")
        }
    }

    @Test
    func aFenceWaitsForTheTableOnlyBrieflyEachTime() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text)")
            try database.application.run("BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE")
            async let installing: Void = engine.installFence()
            let other = try ApplicationConnection(database.url())
            let waiting = """
                SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'
                    AND datname = current_database()
                """
            while try await other.runAside(waiting) == [["0"]] { await Task.yield() }
            // Behind a lock that is waited for, this would wait too, were it not for the pauses.
            try await other.runAside("INSERT INTO t VALUES (1, 's1.x')")
            try database.application.run("COMMIT")
            try await installing
            #expect(await refusal { try await other.runAside("UPDATE t SET c = 'plain'") } != nil)
        }
    }
}
