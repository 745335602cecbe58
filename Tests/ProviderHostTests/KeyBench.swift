internal import Foundation
internal import GRDB
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// An instance with values and keys, and a place that plugins may be executed from.
struct KeyBench {
    let sandbox: Sandbox
    let scratch: HostScratch

    init() throws {
        sandbox = try Sandbox()
        scratch = try HostScratch()
    }

    func declare(_ provider: String, _ declaration: String) throws {
        try sandbox.write(
            """
            database "sqlite:app.db"
            \(declaration)
            keyring "main" { core = "kr1", backup = "optional", provider = "\(provider)" }
            column "secret.value" { keyring = "main", key = "id", plaintext = "seal" }
            """, to: "keyturn.lua")
    }

    /// An instance with some values and three versions of its key under the built-in provider.
    func begin() async throws {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        try await database.write { database in
            try database.execute(sql: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value BLOB)")
            for number in 1...20 {
                try database.execute(
                    sql: "INSERT INTO secret (value) VALUES (CAST(? AS BLOB))", arguments: ["value \(number)"])
            }
        }
        try database.close()
        try declare("local", "")
        _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        _ = try await sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
        for _ in 0..<2 { _ = try await sandbox.keyturn("rotate", "main", "--yes").expecting() }
    }

    /// Who wraps what: provider and its key, once each.
    func wraps() throws -> Set<String> {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        return try database.read { database in
            Set(try String.fetchAll(database, sql: "SELECT provider || ' ' || provider_key_id FROM keyturn_wraps"))
        }
    }

    /// Changes the instance's database beside Keyturn.
    func execute(_ sql: String) throws {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        try database.write { try $0.execute(sql: sql) }
        try database.close()
    }

    func readsBack() async throws {
        let output = try await sandbox.keyturn("verify", "main").expecting()
        #expect(output.standardOutput.contains("20"), "\(output.standardOutput)")
    }

    /// The run that stands open; nil where there is none.
    func openRun() throws -> Int64? {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        return try database.read { database in
            try Int64.fetchOne(
                database,
                sql: "SELECT id FROM keyturn_runs WHERE state IN ('open', 'paused', 'waiting', 'needsOperator')")
        }
    }

    /// Whether the database says that no run is open.
    var isIdle: Bool {
        do { return try openRun() == nil } catch { return false }
    }

    /// Registers the example plugin, and declares a provider "safe" by it.
    func registerExample() async throws -> String {
        let file = try scratch.example()
        _ = try await sandbox.keyturn("plugin", "register", "example", file.path, "--yes").expecting()
        let keys = try scratch.directory("keys")
        return
            "provider \"safe\" { kind = \"plugin\", plugin = \"example\", directory = \"\(keys)\", deadline = \"60s\" }"
    }

    func serve(_ options: String...) async throws -> RunningProgram {
        let daemon = try sandbox.start(arguments: ["serve", "--log-format", "json"] + options)
        let listens = await Sample.eventually(within: .seconds(60)) { daemon.errorSoFar.contains("\"listening\"") }
        #expect(listens, "\(daemon.errorSoFar)")
        return daemon
    }

    func end(_ daemon: RunningProgram) async throws {
        daemon.signal(SIGTERM)
        _ = try await daemon.wait().expecting()
    }
}
