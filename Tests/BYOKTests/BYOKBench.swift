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

    /// How many rows there are.
    static let rows = 20

    init(_ kind: LocalCloud.Kind, rows: Int = rows) async throws {
        cloud = try LocalCloud(kind)
        sandbox = try Sandbox()
        programs = sandbox.path("plugins")
        let made = try await sandbox.run("/usr/bin/install", "-d", "-m", "700", programs)
        _ = try made.expecting()
        sandbox.variables = try environment()
        try await begin(rows: rows)
    }

    private func environment() throws -> [String: String] {
        guard cloud.kind != .bao else { return [:] }
        return [
            "AWS_ACCESS_KEY_ID": try cloud.fact("access_key_id"),
            "AWS_SECRET_ACCESS_KEY": try cloud.fact("secret_access_key"), "AWS_ENDPOINT_URL": cloud.proxied,
        ]
    }

    /// Twenty values of one column, their key turned once, all under the built-in key.
    private func begin(rows: Int) async throws {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        try await database.write { database in
            try database.execute(sql: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value BLOB)")
            for number in 1...rows {
                try database.execute(
                    sql: "INSERT INTO secret (value) VALUES (CAST(? AS BLOB))", arguments: ["value \(number)"])
            }
        }
        try database.close()
        try declare(provider: "local", "")
        _ = try await sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        _ = try await sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
    }

    /// Writes keyturn.lua with the keyring under a provider.
    func declare(provider: String, _ declaration: String) throws {
        try sandbox.write(
            """
            database "sqlite:app.db"
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
