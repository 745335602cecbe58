import CloudTesting
import Foundation
import GRDB
import Testing
import ToolTesting

/// An instance with values under the built-in key, and a service from which a key is to be brought.
struct BYOKBench {
    let cloud: LocalCloud
    let sandbox: Sandbox
    private let programs: String
    private let database: String

    /// How many rows there are.
    static let rows = 20

    /// Makes both; the rows are made in a file, unless a server's database has them already.
    init(_ kind: LocalCloud.Kind, rows: Int = rows, on server: String? = nil) async throws {
        cloud = try LocalCloud(kind)
        database = server ?? "sqlite:app.db"
        sandbox = try Sandbox()
        programs = sandbox.path("plugins")
        let made = try await sandbox.run("/usr/bin/install", "-d", "-m", "700", programs)
        _ = try made.expecting()
        sandbox.variables = try environment()
        if server == nil { try await fill(rows: rows) }
        try await begin()
    }

    private func environment() throws -> [String: String] {
        guard cloud.kind != .bao else { return [:] }
        return [
            "AWS_ACCESS_KEY_ID": try cloud.fact("access_key_id"),
            "AWS_SECRET_ACCESS_KEY": try cloud.fact("secret_access_key"), "AWS_ENDPOINT_URL": cloud.proxied,
        ]
    }

    private func fill(rows: Int) async throws {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        try await database.write { database in
            try database.execute(sql: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value BLOB)")
            for number in 1...rows {
                try database.execute(
                    sql: "INSERT INTO secret (value) VALUES (CAST(? AS BLOB))", arguments: ["value \(number)"])
            }
        }
        try database.close()
    }

    /// The values of one column, all under the built-in key.
    private func begin() async throws {
        try declare(provider: "local", "")
        _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        _ = try await sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
    }

    /// Writes keyturn.lua with the keyring under a provider.
    func declare(provider: String, _ declaration: String) throws {
        try sandbox.write(
            """
            database "\(database)"
            \(declaration)
            keyring "main" { core = "kr1", backup = "optional", provider = "\(provider)" }
            keyring "log" { core = "kr1", backup = "optional" }
            column "secret.value" { keyring = "main", key = "id", plaintext = "seal" }
            """, to: "keyturn.lua")
    }

    /// The declaration of the customer's provider.
    func customer(_ changes: [String: String] = [:], ttl: String = "1h") throws -> String {
        let words = [
            "key": try cloud.fact("key"), "role": try cloud.fact("role"), "cache_ttl": ttl,
            "environment": "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL", "deadline": "20s",
        ].merging(changes) { $1 }
        let list = words.sorted { $0.key < $1.key }.map { "\($0.key) = \"\($0.value)\"" }.joined(separator: ", ")
        return "provider \"customer\" { kind = \"plugin\", plugin = \"aws-kms\", \(list) }"
    }

    /// Registers a plugin that was built with the tests.
    func register(_ name: String, program: String) async throws {
        let copy = "\(programs)/\(program)"
        _ = try await sandbox.run("/usr/bin/install", "-m", "755", try BuiltProgram.named(program), copy).expecting()
        _ = try await sandbox.keyturn("plugin", "register", name, copy, "--yes").expecting()
    }

    /// Everything up to `continue`: plugin, External ID, declaration, test, save.
    func save() async throws {
        try await register("aws-kms", program: "keyturn-aws-kms")
        try await trust()
        try declare(provider: "customer", try customer())
        _ = try await sandbox.keyturn("byok", "test", "customer").expecting()
        _ = try await sandbox.keyturn("byok", "save", "customer", "--yes").expecting()
    }

    /// Describes the key, and has the role trust the instance's External ID.
    @discardableResult
    func trust() async throws -> JSONValue {
        let described = try await describe()
        let id = described.external_id.string ?? ""
        switch cloud.kind {
        case .strict: try cloud.control(["external_id": id])
        case .moto, .ministack:
            try cloud.boto(
                "iam", "update_assume_role_policy",
                ["RoleName": "KeyturnBYOKRole", "PolicyDocument": described.trust_policy.string ?? ""])
        case .bao: break
        }
        return described
    }

    func describe(_ more: String...) async throws -> JSONValue {
        let account = try cloud.fact("role").split(separator: ":")[3]
        let words = [
            "byok", "describe", "--key", try cloud.fact("key"), "--principal", "arn:aws:iam::\(account):user/keyturn",
            "-o", "json",
        ]
        return try await sandbox.start(arguments: words + more).wait().expecting().json.result
    }

    /// Copies what is sealed until there are so many rows.
    func grow(to rows: Int) throws {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        try database.write { database in
            try database.execute(
                sql: """
                    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
                    INSERT INTO secret (value) SELECT value FROM secret, n LIMIT ? - (SELECT count(*) FROM secret)
                    """, arguments: [rows, rows])
        }
        try database.close()
    }

    /// Keeps the folder as it is now, to ``goBack(to:)`` it; the service goes on.
    func keep() throws -> String {
        let copy = sandbox.folder.path + ".kept"
        try shell(#"cp -a "$1" "$2""#, sandbox.folder.path, copy)
        return copy
    }

    /// Makes the folder what it was.
    func goBack(to kept: String) throws {
        try shell(#"find "$1" -mindepth 1 -delete && cp -a "$2"/. "$1""#, sandbox.folder.path, kept)
    }

    /// Throws a folder away that was kept.
    func forget(_ kept: String) throws { try FileManager.default.removeItem(atPath: kept) }

    private func shell(_ script: String, _ first: String, _ second: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", script, "sh", first, second]
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CloudError("cannot copy \(first)") }
    }

    /// Who wraps what: keyring, provider and its key, once each.
    func wraps() throws -> [String] {
        try read(
            """
            SELECT DISTINCT v.keyring || ' ' || w.provider || ' ' || w.provider_key_id FROM keyturn_wraps w
            JOIN keyturn_key_versions v ON v.id = w.key_id ORDER BY 1
            """)
    }

    /// The texts that a query gives.
    func read(_ sql: String) throws -> [String] {
        // The daemon may be writing just then.
        var configuration = Configuration()
        configuration.busyMode = .timeout(30)
        let database = try DatabaseQueue(path: sandbox.path("app.db"), configuration: configuration)
        return try database.read { try String.fetchAll($0, sql: sql) }
    }

    /// Whether every value opens.
    func verifies() async throws -> Bool {
        let output = try await sandbox.keyturn("verify", "main", "-o", "json")
        return (try? output.expecting()) != nil
    }

    /// The files, also those of what was printed, that hold a secret as it is, in base64 or in hexadecimal.
    func files(holding secrets: [Data]) throws -> [String] {
        let forms = secrets.filter { $0.count >= 16 }.flatMap { secret in
            let hex = secret.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            let base64 = secret.base64EncodedString().replacing("=", with: "")
            return [secret, Data(hex.utf8), Data(hex.uppercased().utf8), Data(base64.utf8)]
        }
        #expect(!forms.isEmpty)
        let all = FileManager.default.enumerator(at: sandbox.folder, includingPropertiesForKeys: [.isRegularFileKey])
        return try (all?.compactMap { $0 as? URL } ?? []).filter { file in
            guard try file.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { return false }
            let data = try Data(contentsOf: file)
            return forms.contains { data.range(of: $0) != nil }
        }.map(\.lastPathComponent).sorted()
    }

    func status() async throws -> (value: JSONValue, code: Int32) {
        let output = try await sandbox.keyturn("byok", "status", "-o", "json")
        return (output.json.result, output.exitCode ?? -1)
    }
}
