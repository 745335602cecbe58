import Foundation
import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

/// Servers that hold their connections and do not answer, and those that only take long.
@Suite(.serialized, .enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLSilenceTests {
    /// No call may take longer, however busy the machine is; one without a limit would never end.
    private static let most = Duration.seconds(90)

    @Test
    func aServerThatStandsStillIsGivenUpAndUsedAgainOnceItGoesOn() async throws {
        try await withEngine(silence: .seconds(1)) { cluster, database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            #expect(try await engine.window().rows.count == 1)
            let clock = ContinuousClock()
            let start = clock.now
            let read = await storageError {
                _ = try await engine.read { session in
                    _ = try session.query("SELECT 1")
                    try cluster.freeze()
                    return try session.query("SELECT c FROM t")
                }
            }
            #expect(read?.code == .storeUnavailable && read?.isTransient == true, "\(String(describing: read))")
            #expect(read?.message.contains("has answered nothing for") == true, "\(String(describing: read))")
            let next = await storageError { _ = try await engine.swap([Swap(1, "v1", "v2")]) }
            #expect(next?.code == .storeUnavailable, "\(String(describing: next))")
            #expect(clock.now - start < Self.most)
            cluster.thaw()
            #expect(try await engine.window().rows.map(\.value) == [.text("v1")])
            #expect(try await engine.swap([Swap(1, "v1", "v2")]) == [true])
        }
    }

    /// More than the socket takes lies unsent: libpq waits until it may write, not only until it may read.
    @Test
    func aServerThatReadsNothingIsGivenUp() async throws {
        try await withEngine(silence: .seconds(1)) { cluster, database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            // What is to be known of the column is asked for now.
            #expect(try await engine.swap([Swap(1, "v1", "v2")]) == [true])
            let error = await storageError {
                _ = try await engine.write { session in
                    _ = try session.query("SELECT 1")
                    try cluster.freeze()
                    return try session.swap([Swap(1, "v2", String(repeating: "x", count: 16 << 20))], in: .plain())
                }
            }
            #expect(error?.code == .storeUnavailable, "\(String(describing: error))")
            cluster.thaw()
            #expect(try await engine.window().rows.map(\.value) == [.text("v2")])
        }
    }

    /// The server goes on and one process of it does not, so that its own limit for statements does not hold either.
    @Test
    func aConnectionWhoseProcessStandsStillIsGivenUpSomeTimeAfterItsLimit() async throws {
        try await withEngine(silence: .milliseconds(500), statement: .seconds(5)) { _, database, engine in
            try database.application.run("CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (1, 'v1')")
            let error = await storageError {
                _ = try await engine.write { session in
                    let process = pid_t(try session.query("SELECT pg_backend_pid()")[0].integer(0))
                    #expect(kill(process, SIGSTOP) == 0)
                    return try session.swap([Swap(1, "v1", "v2")], in: .plain())
                }
            }
            #expect(error?.code == .storeUnavailable, "\(String(describing: error))")
            #expect(try await engine.window().rows.map(\.value) == [.text("v1")])
        }
    }

    @Test
    func whatTakesLongIsNotCutOffWhileTheServerAnswers() async throws {
        try await withEngine(silence: .milliseconds(200)) { _, _, engine in
            let rows = try await engine.read { try $0.query("SELECT 1 FROM pg_sleep(4)") }
            #expect(rows.count == 1)
        }
    }

    /// A server that has no place for another connection says so, and that is an answer.
    @Test
    func aServerThatIsFullIsThere() async throws {
        try await withEngine(settings: ["max_connections = 12"], silence: .milliseconds(200)) { _, database, engine in
            _ = try await engine.read { try $0.query("SELECT 1") }
            var held: [ApplicationConnection] = []
            while let another = try? ApplicationConnection(database.url()) { held.append(another) }
            #expect(throws: ApplicationError.self) { try ApplicationConnection(database.url()) }
            let rows = try await engine.read { try $0.query("SELECT 1 FROM pg_sleep(3)") }
            #expect(rows.count == 1 && !held.isEmpty)
        }
    }

    private func withEngine(
        settings: [String] = [], silence: Duration, statement: Duration = .seconds(600),
        _ body: (PostgreSQLCluster, ScratchPostgreSQL, PostgreSQLEngine) async throws -> Void
    ) async throws {
        let cluster = try PostgreSQLCluster(settings: settings)
        defer { cluster.dispose() }
        try await withScratchPostgreSQL(in: cluster) { database, _ in
            let engine = try await PostgreSQLEngine(
                url: database.url() + " connect_timeout=3", batchLockTimeout: .seconds(10),
                limits: AnswerLimits(silence: silence, probe: .seconds(3), statement: statement))
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(cluster, database, engine))
            } catch { result = .failure(error) }
            cluster.thaw()
            await engine.close()
            try result.get()
        }
    }
}
