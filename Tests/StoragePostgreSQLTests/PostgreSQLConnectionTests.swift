import Dispatch
import PluginKit
import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLConnectionTests {
    @Test
    func aServerThatWasRestartedIsReachedAgain() async throws {
        let cluster = try PostgreSQLCluster()
        defer { cluster.dispose() }
        try await withScratchPostgreSQL(in: cluster) { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            #expect(try await engine.swap([Swap(1, "v1", "v2")]) == [true])
            try cluster.restart()
            #expect(
                try await engine.swap([Swap(1, "v2", "v3")]) == [true], "nothing had been asked of the lost connection")
            try cluster.stop()
            let error = await storageError { _ = try await engine.window() }
            #expect(error?.code == .storeUnavailable && error?.isTransient == true)
            try cluster.start()
            #expect(try await engine.window().rows.map(\.value) == [.text("v3")])
        }
    }

    @Test
    func onlyATransactionThatSaysSoCommitsWithoutWaiting() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            for (isAsynchronous, old, new) in [(false, "v1", "v2"), (true, "v2", "v3"), (false, "v3", "v4")] {
                let setting = try await engine.write { session in
                    if isAsynchronous { session.commitAsynchronously() }
                    #expect(try session.swap([Swap(1, old, new)], in: .plain()) == [true])
                    return try session.query("SELECT current_setting('synchronous_commit')")[0].text(0)
                }
                #expect(setting == (isAsynchronous ? "off" : "on"))
            }
        }
    }

    @Test
    func aConnectionKilledInATransactionFailsThatCallAndNoOther() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            let error = await storageError {
                _ = try await engine.write { [application = database.application] session in
                    _ = try session.swap([Swap(1, "v1", "lost")], in: .plain())
                    let pid = try session.query("SELECT pg_backend_pid()")[0].integer(0)
                    try application.run("SELECT pg_terminate_backend(\(pid), 10000)")
                    return try session.swap([Swap(1, "lost", "lost too")], in: .plain())
                }
            }
            #expect(error?.code == .storeUnavailable && error?.isTransient == true, "\(String(describing: error))")
            #expect(try await engine.swap([Swap(1, "v1", "v2")]) == [true])
        }
    }

    @Test
    func aConnectionKilledBeforeItsCommitSaysThatTheOutcomeIsNotKnown() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            let error = await storageError {
                _ = try await engine.write { [application = database.application] session in
                    _ = try session.swap([Swap(1, "v1", "v2")], in: .plain())
                    let pid = try session.query("SELECT pg_backend_pid()")[0].integer(0)
                    try application.run("SELECT pg_terminate_backend(\(pid), 10000)")
                }
            }
            #expect(error?.isTransient == true && error?.message.contains("not known") == true)
            #expect(try await engine.swap([Swap(1, "v1", "v2")]) == [true], "the repeated call")
        }
    }

    @Test
    func whatAStoppedProcessOfOursLeftLockedIsEndedAndNobodyElseIs() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                "CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1'), (2, 'v1')")
            let stopped = try ApplicationConnection(database.url() + " application_name=keyturn")
            let other = try ApplicationConnection(database.url() + " application_name=shop")
            try stopped.run("BEGIN; UPDATE t SET c = 'late' WHERE id = 1")
            try other.run("BEGIN; UPDATE t SET c = 'shop' WHERE id = 2")
            try await engine.write { try $0.endAbandonedTransactions(idleFor: .seconds(600)) }
            try stopped.run("SELECT 1")
            try await Task.sleep(for: .milliseconds(300))
            try await engine.write { try $0.endAbandonedTransactions(idleFor: .milliseconds(100)) }
            #expect(try await engine.swap([Swap(1, "v1", "v2")]) == [true])
            #expect(throws: ApplicationError.self) { try stopped.run("COMMIT") }
            try other.run("COMMIT")
            #expect(try database.application.run("SELECT c FROM t ORDER BY id") == [["v2"], ["shop"]])
        }
    }

    @Test
    func aLockedRowIsBusyAfterATenthOfASecond() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            try database.application.run("BEGIN; UPDATE t SET c = c")
            let clock = ContinuousClock()
            let start = clock.now
            let error = await storageError { _ = try await engine.swap([Swap(1, "v1", "v2")]) }
            #expect(error?.code == .storeRowLocked)
            #expect(clock.now - start < .seconds(3))
            try database.application.run("COMMIT")
            #expect(try await engine.swap([Swap(1, "v1", "v2")]) == [true])
        }
    }

    @Test
    func theApplicationIsNeverTheVictimOfADeadlockWithABatch() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run(
                "CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v'), (2, 'v')")
            let release = DispatchSemaphore(value: 0)
            let (hasWritten, writing) = AsyncStream.makeStream(of: Void.self)
            try database.application.run("BEGIN; UPDATE t SET c = c WHERE id = 2")
            async let batch: Void = engine.write { session in
                _ = try session.swap([Swap(1, "v", "new")], in: .plain())
                writing.finish()
                release.wait()
                _ = try session.swap([Swap(2, "v", "new")], in: .plain())
            }
            for await _ in hasWritten {}
            async let theirs = database.application.runAside("UPDATE t SET c = 'theirs' WHERE id = 1; COMMIT")
            let other = try ApplicationConnection(database.url())
            let waiting = """
                SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
                """
            while try await other.runAside(waiting) == [["0"]] { await Task.yield() }
            release.signal()
            do {
                try await batch
                Issue.record("the batch went through")
            } catch { #expect((error as? StorageError)?.code == .storeRowLocked) }
            _ = try await theirs
            #expect(try database.application.run("SELECT c FROM t ORDER BY id") == [["theirs"], ["v"]])
        }
    }

    @Test
    func aPreparedTransactionIsWaitedForAndNamed() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            try database.application.run("BEGIN; UPDATE t SET c = 'late'; PREPARE TRANSACTION '\(database.name)'")
            let error = await storageError { try await engine.waitForOlderTransactions(limit: .milliseconds(20)) }
            #expect(error?.code == .storeBusy && error?.message.contains(database.name) == true)
            try database.application.run("COMMIT PREPARED '\(database.name)'")
            try await engine.waitForOlderTransactions(limit: .seconds(20))
        }
    }

    @Test
    func anOldSnapshotIsWaitedForAlthoughItHasWrittenNothing() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            let error = await storageError { try await engine.waitForOlderTransactions(limit: .milliseconds(20)) }
            #expect(error?.code == .storeBusy && error?.hint?.contains("pg_terminate_backend") == true)
            try database.application.run("COMMIT; BEGIN; SELECT 1")
            try await engine.waitForOlderTransactions(limit: .seconds(20))
            try database.application.run("ROLLBACK")
        }
    }

    @Test
    func noMessageHoldsThePassword() async throws {
        let urls = [
            "postgresql://u:planted-secret@/db?host=/nowhere", "host=/nowhere password=planted-secret",
            "postgresql://u:planted-secret@host:bad:port/%%", "nonsense planted-secret",
            "host=/nowhere password='planted-secret",
        ]
        for url in urls {
            let error = await storageError { _ = try await PostgreSQLEngine(url: url) }
            #expect(error?.code == .storeUnavailable)
            #expect(!"\(String(describing: error))".contains("planted-secret"))
        }
    }

    @Test
    func manyCallsShareAFewConnections() async throws {
        try await withScratchPostgreSQL { database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 1...60 {
                    group.addTask { _ = try await engine.write { try $0.execute("UPDATE t SET n = n + 1") } }
                    group.addTask { _ = try await engine.read { try $0.query("SELECT n FROM t") } }
                }
                try await group.waitForAll()
            }
            #expect(try database.application.run("SELECT n FROM t") == [["60"]])
            let ours =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keyturn'"
            #expect(try database.application.run(ours) == [["4"]])
        }
    }
}
