import CloudTesting
import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

/// Two daemons on one PostgreSQL database, under one key.
@Suite(
    .serialized,
    .enabled(
        if: LocalCloud.isInstalled(.strict) && PostgreSQLCluster.isAvailable, "boto3 or PostgreSQL is not installed"))
struct SharedCountTests {
    @Test func twoDaemonsAddUpWhatTheyAsked() async throws {
        let database = try await ScratchPostgreSQL()
        let result: Result<Void, any Error>
        do { result = .success(try await work(on: database)) } catch { result = .failure(error) }
        await database.dispose()
        try result.get()
    }

    private func work(on database: ScratchPostgreSQL) async throws {
        try await database.application.runAside("CREATE TABLE secret (id int PRIMARY KEY, value bytea)")
        try await database.application.runAside("INSERT INTO secret SELECT i, '\\x01' FROM generate_series(1, 20) i")
        let url = "postgresql://postgres@/\(database.name)?host=\(database.cluster.directory)"
        let bench = try await BYOKBench(.strict, on: url)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        let node = bench.sandbox.path("E")
        _ = try await bench.sandbox.keyturn(
            "init", "--join", "--root-key", bench.sandbox.path("D/root.key"), "--config", "keyturn.lua", "--instance",
            node
        ).expecting()
        _ = try bench.cloud.takeLog()
        let before = try await unwraps(database)
        let daemons = [
            try bench.sandbox.start("serve", "--log-format", "json"),
            try bench.sandbox.start("serve", "--log-format", "json", "--instance", node),
        ]
        for daemon in daemons { try await daemon.listens() }
        let open = ["open", "secret.value", "--key", "1", "--stored"]
        for place in [bench.sandbox.path("D"), node] {
            _ = try await bench.sandbox.start(arguments: open + ["--instance", place]).wait().expecting()
        }
        for daemon in daemons { daemon.signal(SIGTERM) }
        for daemon in daemons { _ = try await daemon.wait() }
        let asked = try bench.cloud.takeLog().filter { $0.action == "Decrypt" }.count
        let added = try await unwraps(database) - before
        #expect(added >= 2 && (0...2).contains(asked - added), "added \(added), asked \(asked)")
        // Each knows of the other's.
        let shown = try await bench.sandbox.keyturn("byok", "status", "-o", "json", "--instance", node).expecting()
        #expect((shown.json.result.providers[0].in_all.calls.integer ?? 0) > before + added, "\(shown)")
    }

    private func unwraps(_ database: ScratchPostgreSQL) async throws -> Int {
        let rows = try await database.application.runAside(
            "SELECT sum(unwraps)::text FROM keyturn.provider_calls WHERE provider = 'customer'")
        return Int((rows.first?.first ?? nil) ?? "") ?? 0
    }
}
