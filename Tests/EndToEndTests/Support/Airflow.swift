import Foundation
import GRDB
import ToolTesting

/// Airflow's database in a sandbox, with the configuration and the commands of its keeper.
struct Airflow {
    let sandbox: Sandbox
    let database: ApplicationDatabase
    let oldKey: String

    /// The configuration; `more` goes into the keyring's declaration.
    static func configuration(_ more: String = "") -> String {
        """
        database "sqlite:airflow.db"
        keyring "airflow" { core = "fernet"\(more) }
        column "connection.password" { keyring = "airflow", key = "id", where = "is_encrypted" }
        column "connection.extra"    { keyring = "airflow", key = "id", where = "is_extra_encrypted" }
        column "variable.val"        { keyring = "airflow", key = "id", where = "is_encrypted" }
        """
    }

    /// Copies the database; makes no instance.
    init(more: String = "") throws {
        sandbox = try Sandbox()
        for file in ["airflow.db", "key.txt", "expected.jsonl"] { try sandbox.copy("airflow/\(file)") }
        try sandbox.write(Self.configuration(more), to: "keyturn.lua")
        database = try ApplicationDatabase(sandbox.path("airflow.db"))
        oldKey = try String(contentsOfFile: sandbox.path("key.txt"), encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// An instance that has taken Airflow's key over.
    static func adopted(more: String = "") async throws -> Airflow {
        let airflow = try Airflow(more: more)
        try await airflow.takeOver()
        return airflow
    }

    /// Makes the instance and imports Airflow's key.
    func takeOver() async throws {
        _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        _ = try await sandbox.keyturn("keyring", "import", "airflow", "--core", "fernet", "--from-file", "key.txt")
            .expecting()
    }

    /// The keys that Airflow would now be given, the one that seals first.
    func exportedKeys() async throws -> [String] {
        let output = try await sandbox.keyturn("keyring", "export", "airflow", "--form", "fernet-list", "--yes")
        return try output.expecting().line.split(separator: ",").map(String.init)
    }

    /// What Python reads with one key.
    func read(with key: String) async throws -> [String: AirflowCell] {
        let members = try await sandbox.python("fernet.py", "read", sandbox.path("airflow.db"), key).json.members
        return members.mapValues { cell in
            AirflowCell(digest: cell.digest.string, timestamp: cell.timestamp.integer, opens: cell.opens.bool)
        }
    }

    /// The digests that the fixture says Airflow reads.
    func expectedDigests() throws -> [String: String?] {
        let text = try String(contentsOfFile: sandbox.path("expected.jsonl"), encoding: .utf8)
        var digests: [String: String?] = [:]
        for line in text.split(separator: "\n").map({ JSONValue(parsing: String($0)) }) {
            guard let table = line.table.string, let id = line.id.integer else { continue }
            for column in table == "variable" ? ["val"] : ["password", "extra"] {
                digests.updateValue(line[column].string, forKey: "\(table).\(column)/\(id)")
            }
        }
        return digests
    }

    /// Every value of the encrypted columns with its flag, as it stands, by column.
    func storedValues() throws -> [[Int64: DatabaseValue]] {
        let columns = [("connection", "password"), ("connection", "extra"), ("variable", "val")]
        return try columns.map { try database.values("SELECT id, \($1) FROM \($0)") }
    }
}

/// What Python reads from one cell.
struct AirflowCell: Hashable {
    /// The SHA-256 of the plaintext; nil where there is none, or it does not open.
    let digest: String?
    /// When the token was made.
    let timestamp: Int?
    /// Whether the token opens; nil where the cell holds none.
    let opens: Bool?
}
