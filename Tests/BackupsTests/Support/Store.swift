import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

/// A table of secrets in a database of PostgreSQL, with an instance, a folder of backups, and a key of age.
struct Store {
    let sandbox: Sandbox
    let database: ScratchPostgreSQL
    let keyring: String
    let more: String
    let recipient: String

    func url(_ name: String, password: String? = nil) -> String {
        let user = password.map { "postgres:\($0)" } ?? "postgres"
        return "postgresql://\(user)@/\(name)?host=\(database.cluster.directory)"
    }

    /// Writes the configuration.
    func configure(
        database name: String? = nil, password: String? = nil, keyring other: String? = nil, at address: String? = nil,
        in file: String = "keyturn.lua"
    ) throws {
        try sandbox.write(
            """
            database "\(address ?? url(name ?? database.name, password: password))"
            keyring "main" { core = "kr1"\(other ?? keyring) }
            column "secret.value" { keyring = "main", context = "row" }
            backup { directory = "backups", recipient = "\(recipient)", external_backup_retention = "none"\(more) }
            """, to: file)
    }

    /// Makes the instance and seals the secrets, with the backup before it where one is demanded.
    func adopt() async throws {
        _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        let adoption = try sandbox.start("adopt", "secret.value", "--yes")
        if keyring.contains("required") {
            try await waitForRun(1, toBe: "waiting")
            try await backUp("--run", "1", "--verify", "checksums")
        }
        _ = try await adoption.wait().expecting()
        if keyring.contains("required") { try await backUp("--run", "1", "--verify", "checksums") }
    }

    /// Makes a backup and returns what is said of it.
    @discardableResult
    func backUp(_ arguments: String...) async throws -> JSONValue {
        try await sandbox.start(arguments: ["backup", "create", "-o", "json"] + arguments).wait().expecting().json
            .result
    }

    /// What the catalogue lists, newest first.
    func list() async throws -> [JSONValue] {
        try await sandbox.keyturn("backup", "list", "-o", "json").expecting().json.result.array
    }

    /// The files in the folder of backups, the lock left out.
    func files() -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: sandbox.path("backups"))) ?? []
        return names.filter { $0 != ".lock" }.sorted()
    }

    /// Opens a database by a node made of nothing but the root key beside a backup, and counts what is in it.
    func openAlone(at address: String, rootOf backup: JSONValue, named name: String) async throws -> JSONValue {
        let file = try #require(backup.location.string)
        let root = sandbox.path("\(name).root.key")
        _ = try await sandbox.run("age", "-d", "-i", "id.txt", "-o", root, file + ".root.age").expecting()
        chmod(root, 0o600)
        try configure(at: address, in: "\(name).lua")
        let instance = sandbox.path(name)
        _ = try await sandbox.keyturn(
            "init", "--join", "--root-key", root, "--config", "\(name).lua", "--instance", instance
        ).expecting()
        let output = try await sandbox.keyturn("verify", "--instance", instance, "-o", "json")
        #expect([0, 1].contains(output.exitCode), "\(output)")
        return output.json.result.keyrings[0].columns[0]
    }

    func prune() async throws -> JSONValue {
        try await sandbox.keyturn("backup", "prune", "--yes", "-o", "json").expecting().json.result
    }

    /// The stable code of the error that a command ends with; nil where it ends well.
    func code(_ arguments: String...) async throws -> String? {
        let output = try await sandbox.start(arguments: arguments + ["-o", "json"]).wait()
        return output.exitCode == 0 ? nil : output.json.error.code.string ?? "\(output)"
    }

    /// Waits until a run has come to a state.
    func waitForRun(_ id: Int, toBe state: String) async throws {
        try await database.application.waitFor(
            "SELECT EXISTS (SELECT FROM keyturn.runs WHERE id = \(id) AND state = '\(state)')")
    }
}

extension ApplicationConnection {
    /// Waits until a query says true.
    ///
    /// - Throws: ``EndToEndError`` after two minutes.
    func waitFor(_ query: String) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while try await runAside(query).first?.first != "t" {
            guard ContinuousClock.now < deadline else { throw EndToEndError("waited in vain: \(query)") }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}

/// Makes a store, and throws it away.
func withStore(
    rows: Int, keyring: String = "", more: String = "", in cluster: PostgreSQLCluster? = nil,
    _ body: (Store) async throws -> Void
) async throws {
    let database = try await ScratchPostgreSQL(in: cluster)
    let result: Result<Void, any Error>
    do {
        let sandbox = try Sandbox()
        _ = try await sandbox.run("age-keygen", "-o", "id.txt").expecting()
        let recipient = try await sandbox.run("age-keygen", "-y", "id.txt").expecting().line
        let store = Store(
            sandbox: sandbox, database: database, keyring: keyring, more: more, recipient: recipient)
        try await database.application.runAside(
            """
            CREATE TABLE secret (id bigint PRIMARY KEY, value text, note citext);
            INSERT INTO secret SELECT i, 'secret ' || i FROM generate_series(1, \(rows)) i
            """)
        try store.configure()
        try await body(store)
        result = .success(())
    } catch { result = .failure(error) }
    await database.dispose()
    try result.get()
}
