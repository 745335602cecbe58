import Foundation
import PostgreSQLTesting
import ToolTesting

/// An instance of Keyturn in a folder of its own, on a database of its own.
struct ServerInstance {
    let sandbox: Sandbox
    let database: ScratchPostgreSQL
    /// The application's connection.
    let application: ApplicationConnection

    /// The same with a new connection of the application's, after the server was away.
    func reconnected() throws -> ServerInstance {
        ServerInstance(sandbox: sandbox, database: database, application: try connect())
    }

    /// Writes the configuration, whose database is this one; makes no instance.
    func configure(_ configuration: String, user: String = "postgres", url: String? = nil) throws {
        let url = url ?? "postgresql://\(user)@/\(database.name)?host=\(database.cluster.directory)"
        try sandbox.write("database \"\(url)\"\n\(configuration)\n", to: "keyturn.lua")
    }

    /// Makes an instance of what is configured.
    func initialise() async throws { _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting() }

    /// A further connection of the application's.
    func connect(user: String = "postgres") throws -> ApplicationConnection {
        try ApplicationConnection(database.url(user: user))
    }

    /// Reads one text.
    func text(_ sql: String) async throws -> String? { try await application.runAside(sql).first?.first ?? nil }

    /// Reads rows of two columns, the first of them the key.
    func values(_ sql: String) async throws -> [String: String] {
        let rows = try await application.runAside(sql)
        return Dictionary(uniqueKeysWithValues: rows.compactMap { row in row[0].map { ($0, row[1] ?? "") } })
    }

    /// Waits until something is true.
    ///
    /// - Throws: ``EndToEndError`` after `limit`.
    func waitFor(_ condition: String, limit: Duration = .seconds(60)) async throws {
        let deadline = ContinuousClock.now + limit
        while try await text("SELECT (\(condition))::text") != "true" {
            guard ContinuousClock.now < deadline else { throw EndToEndError("waited \(limit) in vain: \(condition)") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Waits until a run has written something.
    func waitForRows(of run: Int) async throws {
        try await waitFor(
            """
            EXISTS (SELECT FROM keyturn.run_windows WHERE run_id = \(run) AND rows_written > 0)
            OR EXISTS (SELECT FROM keyturn.run_progress WHERE run_id = \(run) AND rows_written > 0)
            """)
    }

    /// The newest run that is open; nil where there is none.
    func openRun() async throws -> Int? {
        let runs = try await sandbox.keyturn("runs", "-o", "json").expecting().json.result.array
        return runs.first { ["open", "paused", "waiting", "needsOperator"].contains($0.state.string) }?.run.integer
    }

    /// The steps of a run, one a line.
    func history(of run: Int) async throws -> String {
        try await text("SELECT string_agg(what, ' | ' ORDER BY number) FROM keyturn.run_steps WHERE run_id = \(run)")
            ?? ""
    }
}

/// Makes a folder and a database, and throws both away.
func withServerInstance(
    in cluster: PostgreSQLCluster? = nil, _ body: (ServerInstance) async throws -> Void
) async throws {
    let database = try await ScratchPostgreSQL(in: cluster)
    let result: Result<Void, any Error>
    do {
        try await body(ServerInstance(sandbox: try Sandbox(), database: database, application: database.application))
        result = .success(())
    } catch { result = .failure(error) }
    await database.dispose()
    try result.get()
}
