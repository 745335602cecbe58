import Foundation
import GRDB
import Testing
import ToolTesting

/// The tests that drive the built executable, one after the other, since what they start wants the processors to itself.
@Suite(.serialized) enum BackupRuns {}

/// A small database of secrets with an instance, a folder of backups, and a key of age that opens them.
struct Archive {
    let sandbox: Sandbox
    let rows: Int
    private let recipient: String

    /// Makes the database, seals it, and declares backups; `more` goes into the declaration.
    static func adopted(rows: Int = 40, keyring: String = "", more: String = "", padding: Int = 0) async throws
        -> Archive
    {
        let archive = try await Archive(rows: rows, keyring: keyring, more: more, padding: padding)
        _ = try await archive.sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        _ = try await archive.sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
        return archive
    }

    init(rows: Int, keyring: String, more: String, padding: Int) async throws {
        sandbox = try Sandbox()
        self.rows = rows
        _ = try await sandbox.run("age-keygen", "-o", "id.txt").expecting()
        recipient = try await sandbox.run("age-keygen", "-y", "id.txt").expecting().line
        try configure(keyring: keyring, more: more)
        let padding = String(repeating: "x", count: padding)
        try execute(
            """
            PRAGMA journal_mode = WAL;
            CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT, note TEXT);
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows))
            INSERT INTO secret SELECT i, 'secret ' || i, '\(padding)' FROM n;
            """)
    }

    /// Writes the configuration anew.
    func configure(keyring: String = "", more: String = "") throws {
        try sandbox.write(
            """
            database "sqlite:app.db"
            keyring "main" { core = "kr1"\(keyring) }
            column "secret.value" { keyring = "main", context = "row" }
            backup { directory = "backups", recipient = "\(recipient)", external_backup_retention = "none"\(more) }
            """, to: "keyturn.lua")
    }

    /// Runs SQL as the application.
    func execute(_ sql: String, on file: String = "app.db") throws {
        var configuration = Configuration()
        configuration.busyMode = .timeout(20)
        let queue = try DatabaseQueue(path: sandbox.path(file), configuration: configuration)
        try queue.writeWithoutTransaction { try $0.execute(sql: sql) }
        try queue.close()
    }

    /// Reads one number.
    func integer(_ sql: String, on file: String = "app.db") throws -> Int? {
        let queue = try DatabaseQueue(path: sandbox.path(file))
        defer { try? queue.close() }
        return try queue.read { try Int.fetchOne($0, sql: sql) }
    }

    /// Makes a backup and returns its number and its file.
    @discardableResult
    func backUp(_ arguments: String...) async throws -> (id: Int, file: String) {
        let output = try await sandbox.start(arguments: ["backup", "create", "-o", "json"] + arguments).wait()
            .expecting()
        let result = output.json.result
        return (try #require(result.id.integer), try #require(result.location.string))
    }

    /// What the catalogue lists, newest first.
    func list() async throws -> [JSONValue] {
        try await sandbox.keyturn("backup", "list", "-o", "json").expecting().json.result.array
    }

    /// The stable code of the error that a command ends with; nil where it ends well.
    func code(_ arguments: String...) async throws -> String? {
        let output = try await sandbox.start(arguments: arguments + ["-o", "json"]).wait()
        return output.exitCode == 0 ? nil : output.json.error.code.string ?? "\(output)"
    }

    /// The files in the folder of backups, the lock left out.
    func files() -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: sandbox.path("backups"))) ?? []
        return names.filter { $0 != ".lock" }.sorted()
    }

    /// Opens a backup in an instance of its own, made of nothing but its two files and the key of age.
    func openAlone(_ file: String, named name: String) async throws -> ProgramOutput {
        let folder = sandbox.path(name)
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        for (source, target) in [(file, "app.db"), (file + ".root.age", "root.key")] {
            _ = try await sandbox.run("age", "-d", "-i", "id.txt", "-o", "\(folder)/\(target)", source).expecting()
            chmod("\(folder)/\(target)", 0o600)
        }
        try FileManager.default.copyItem(atPath: sandbox.path("D/signing.key"), toPath: "\(folder)/signing.key")
        let configuration = try String(contentsOfFile: sandbox.path("keyturn.lua"), encoding: .utf8)
        try configuration.write(toFile: "\(folder)/keyturn.lua", atomically: true, encoding: .utf8)
        let described = try String(contentsOfFile: sandbox.path("D/instance.json"), encoding: .utf8)
        try described.replacingOccurrences(of: sandbox.path("keyturn.lua"), with: "\(folder)/keyturn.lua")
            .replacingOccurrences(
                of: sandbox.path("keyturn.lua").replacingOccurrences(of: "/", with: "\\/"),
                with: "\(folder)/keyturn.lua"
            )
            .write(toFile: "\(folder)/instance.json", atomically: true, encoding: .utf8)
        _ = try await sandbox.keyturn("recover", "--yes", "--instance", folder).expecting()
        return try await sandbox.keyturn("verify", "--instance", folder, "-o", "json")
    }
}
