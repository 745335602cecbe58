import ControlStore
import Foundation
import KeyModel
import PluginKit
import Storage
import Testing

@testable import Scripting

struct ConfigurationLoaderTests {
    @Test func theAirflowConfigurationLoads() async throws {
        let scratch = try Scratch()
        let text = """
            database "sqlite:airflow.db"
            keyring "airflow" { core = "fernet" }
            column "connection.password" { keyring = "airflow", key = "id", where = "is_encrypted" }
            column "connection.extra"    { keyring = "airflow", key = "id", where = "is_extra_encrypted" }
            column "variable.val"        { keyring = "airflow", key = "id", where = "is_encrypted" }

            """
        let file = try scratch.configuration(Array(text.utf8))
        let loaded = try await ConfigurationLoader(workerPath: BuiltWorker.path, cores: testCores).load(file: file)
        let airflow = try Name("airflow")
        func column(_ path: String, _ predicate: String) throws -> ColumnDeclaration {
            ColumnDeclaration(
                path: try ColumnPath(path), keyring: airflow, key: ["id"], context: .none, predicate: predicate)
        }
        #expect(
            loaded
                == Configuration(
                    file: file, hash: "d13aab3e3e41d518f42df25d069ec97f8393776293fbdb870376fc0c1347c4c2",
                    database: .sqlite(path: scratch.folder.path + "/airflow.db"),
                    keyrings: [KeyringDeclaration(name: airflow, core: "fernet", provider: try Name("local"))],
                    columns: [
                        try column("connection.password", "is_encrypted"),
                        try column("connection.extra", "is_extra_encrypted"),
                        try column("variable.val", "is_encrypted"),
                    ]))
    }

    @Test func everyWordIsRead() async throws {
        let loaded = try await load(
            """
            database("postgresql://catalog:secret@db/catalog")
            provider "vault" { kind = "kms-v2", endpoint = "unix:///run/kms.sock", timeout = 3, required = true }
            keyring "main" {
              provider = "vault", max_age = "90d", max_seals = 1e6, keep = "400d", consumers = { "web", "worker" },
            }
            keyring("tokens", { core = "fernet", derivation = "sha256", backup = "optional" })
            keyring "bare"
            column "public.account.secret" {
              keyring = "main", core = "kr1", context = "row", key = { "tenant", "id" }, plaintext = "seal",
              was = "account.password", set = { is_encrypted = true, by = "keyturn", version = 2, share = 0.5 },
              acknowledge = { "logical_replication", "computed" },
            }
            column '"odd.table".value' { keyring = "bare", acknowledge = "logical_replication" }
            schedule "quarterly" { keyring = "main", cron = "0 3 1 */3 *", tz = "Europe/Berlin" }
            role "server_admin" { users = { "root" }, groups = {} }
            hook "before" (function(run) return 1 end)
            """)
        #expect(loaded.database == .postgresql(url: "postgresql://catalog:secret@db/catalog"))
        #expect(
            loaded.providers == [
                ProviderDeclaration(
                    name: try Name("vault"), kind: "kms-v2",
                    settings: ["endpoint": "unix:///run/kms.sock", "timeout": "3", "required": "true"])
            ])
        #expect(
            loaded.keyrings == [
                KeyringDeclaration(
                    name: try Name("main"), core: "kr1",
                    policy: KeyringPolicy(
                        maxAge: .seconds(90 * 86_400), maxSeals: 1_000_000, keep: .seconds(400 * 86_400),
                        backup: .required),
                    provider: try Name("vault"), consumers: [try Name("web"), try Name("worker")]),
                KeyringDeclaration(
                    name: try Name("tokens"), core: "fernet", options: ["derivation": "sha256"],
                    policy: KeyringPolicy(backup: .optional), provider: try Name("local")),
                KeyringDeclaration(
                    name: try Name("bare"), core: "kr1", policy: KeyringPolicy(backup: .required),
                    provider: try Name("local")),
            ])
        #expect(
            loaded.columns == [
                ColumnDeclaration(
                    path: try ColumnPath("public.account.secret"), was: try ColumnPath("account.password"),
                    keyring: try Name("main"), key: ["tenant", "id"], context: .row, plaintext: .seal,
                    assignments: [
                        .init(column: "by", value: .text("keyturn")), .init(column: "is_encrypted", value: .integer(1)),
                        .init(column: "share", value: .real(0.5)), .init(column: "version", value: .integer(2)),
                    ], acknowledged: [.computed, .logicalReplication]),
                ColumnDeclaration(
                    path: try ColumnPath("\"odd.table\".value"), keyring: try Name("bare"), context: .column,
                    acknowledged: [.logicalReplication]),
            ])
        #expect(loaded.hooks.map(\.stage) == [.before])
        #expect(loaded.schedules.map(\.name) == [try Name("quarterly")])
    }

    @Test func whoMayDoWhatAndWhatIsReachedOutside() async throws {
        let loaded = try await load(
            """
            database "sqlite:a.db"
            role "operator" { users = { "otto" }, groups = { "ops", "dba" } }
            webhook "ops" { url = "https://chat.example/hooks/1", timeout = "5s" }
            webhook "here" { url = "http://127.0.0.1:8080/" }
            command "publish" { argv = { "bin/publish", "--now", "--now" } }
            hook "after" (function(run) notify.webhook("ops", run); commands.run("publish") end)
            """)
        #expect(loaded.roles == [RoleDeclaration(role: "operator", users: ["otto"], groups: ["ops", "dba"])])
        #expect(loaded.webhooks.map(\.timeout) == [.seconds(5), .seconds(30)])
        #expect(loaded.commands.map(\.argv).first?.first?.hasSuffix("/bin/publish") == true)
        #expect(loaded.commands.first?.argv.dropFirst() == ["--now", "--now"])
        #expect(loaded.mentions == ["notify.webhook", "commands.run"])
    }

    @Test func aTableCountsAsItStoodAtTheCall() async throws {
        let loaded = try await load(
            """
            database "sqlite:a.db"
            local common = { core = "fernet" }
            keyring "a" (common)
            common.core = "kr1"
            for _, name in ipairs { "b", "c" } do keyring(name)(common) end
            """)
        #expect(loaded.keyrings.map(\.core) == ["fernet", "kr1", "kr1"])
    }

    @Test func anAbsolutePathStaysAndDotsGo() async throws {
        let absolute = try await load("database 'sqlite:/var/lib//./app.db'")
        #expect(absolute.database == .sqlite(path: "/var/lib/app.db"))
        let relative = try await load("database 'sqlite:./data/../app.db'")
        #expect(relative.database.description.hasSuffix("/data/../app.db"))
    }

    @Test(arguments: ["\u{FEFF}database 'sqlite:a.db'", "database 'sqlite:a.db'\r\nkeyring 'a'\r\n"])
    func byteOrderMarksAndCarriageReturnsAreNoTrouble(text: String) async throws {
        #expect(try await load(text).database.description.hasSuffix("/a.db"))
    }

    @Test func theHashIsThatOfTheBytes() async throws {
        let loaded = try await load("database 'sqlite:a.db'")
        #expect(loaded.hash == "cc671ab7e1333f2849cb6cc51213e2762c701bff7d245496435099e9b56214b5")
    }

    @Test func whatIsNoFileIsRefused() async throws {
        let scratch = try Scratch()
        let loader = ConfigurationLoader(workerPath: BuiltWorker.path, cores: testCores)
        let large = try scratch.configuration([UInt8](repeating: 0x20, count: (1 << 20) + 1))
        for file in [scratch.folder.path, scratch.folder.path + "/none.lua", "/dev/zero", large] {
            let error = await #expect(throws: ScriptingError.self) { try await loader.load(file: file) }
            #expect(error?.code == .callerFileUnreadable)
        }
    }

    @Test func aMissingWorkerIsNamed() async throws {
        let scratch = try Scratch()
        let file = try scratch.configuration(Array("database 'sqlite:a.db'".utf8))
        let loader = ConfigurationLoader(workerPath: scratch.folder.path + "/keyturn-lua", cores: testCores)
        let error = await #expect(throws: ScriptingError.self) { try await loader.load(file: file) }
        #expect(error?.code == .internalWorkerMissing)
    }
}
