import Foundation
import GRDB
import KR1
import KeyModel
import PluginKit
import Testing
import ToolTesting

/// A small database of secrets under `kr1`, each bound to its row, and what its application knows of it.
struct Vault {
    let sandbox: Sandbox
    let database: ApplicationDatabase
    /// What each row holds.
    let plaintexts: [Int64: String]

    /// Makes the database, in clear, and an instance for it.
    static func made(rows: Int, more: String = "") async throws -> Vault {
        let vault = try Vault(rows: rows, more: more)
        _ = try await vault.sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
        return vault
    }

    /// Makes a vault whose secrets are sealed.
    static func adopted(rows: Int, more: String = "") async throws -> Vault {
        let vault = try await made(rows: rows, more: more)
        _ = try await vault.sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
        return vault
    }

    /// Makes the database, in clear, without an instance; `more` goes into the keyring's declaration.
    init(rows: Int, more: String = "") throws {
        sandbox = try Sandbox()
        try sandbox.write(
            """
            database "sqlite:vault.db"
            keyring "vault" { core = "kr1"\(more) }
            column "secret.value" { keyring = "vault", key = "id", context = "row" }
            """, to: "keyturn.lua")
        database = try ApplicationDatabase(sandbox.path("vault.db"))
        let pairs = (1...Int64(rows)).map { ($0, "plaintext number \($0) of the vault") }
        plaintexts = Dictionary(uniqueKeysWithValues: pairs)
        try database.transaction { database in
            try database.execute(sql: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT)")
            for (id, text) in pairs {
                try database.execute(sql: "INSERT INTO secret VALUES (?, ?)", arguments: [id, text])
            }
        }
    }

    /// The place of a row's value.
    static func place(_ id: Int64) -> ValueContext {
        .row(namespace: "vault", name: "secret.value", key: [Array("\(id)".utf8)])
    }

    /// The values as they stand.
    func stored() throws -> [Int64: String] {
        try database.values("SELECT id, value FROM secret").compactMapValues { String.fromDatabaseValue($0) }
    }

    /// The newest run that is open; nil where there is none.
    func openRun() async throws -> Int? {
        let runs = try await sandbox.keyturn("runs", "-o", "json").expecting().json.result.array
        return runs.first { ["open", "paused", "waiting", "needsOperator"].contains($0.state.string) }?.run.integer
    }

    /// Checks what holds at every instant: no value is lost, and whatever key a value names can be unwrapped.
    func expectNothingLost(mayBeClear: Bool, using random: inout SeededGenerator, _ note: String) async throws {
        let values = try stored()
        let sealed = values.filter { $0.value.hasPrefix("kr1.") }
        #expect(values.count == plaintexts.count, "\(note)")
        #expect(mayBeClear || sealed.count == values.count, "\(note)")
        let wrapped = Set(try database.values("SELECT key_id, count(*) FROM keyturn_wraps GROUP BY 1").keys)
        let named = Set(
            sealed.values.compactMap { KeyID(hex: String($0.dropFirst(4).prefix(8))).map { Int64($0.rawValue) } })
        #expect(named.isSubset(of: wrapped), "\(note): every key that a value names is stored")
        let clear = values.filter { !$0.value.hasPrefix("kr1.") }
        #expect(clear.allSatisfy { plaintexts[$0.key] == $0.value }, "\(note)")
        guard !sealed.isEmpty else { return }
        let keys = try await HeldKeys(of: "vault", KR1.self, from: sandbox)
        let lost = sealed.count { keys.open($0.value, at: Self.place($0.key)) != plaintexts[$0.key] }
        #expect(lost == 0, "\(note): so many values are lost")
        guard let (id, _) = sealed.randomElement(using: &random) else { return }
        let opened = try await sandbox.keyturn("open", "secret.value", "--key", "\(id)", "--stored")
        #expect(opened.exitCode == 0 && opened.line == plaintexts[id], "\(note): \(opened)")
    }

    /// Checks the end of a run: everything opens under the active key alone, and Keyturn says so.
    func expectFinished(_ note: String) async throws {
        let alone = try await HeldKeys(of: "vault", KR1.self, from: sandbox).sealingKeyAlone()
        let wrong = try stored().count { alone.open($0.value, at: Self.place($0.key)) != plaintexts[$0.key] }
        #expect(wrong == 0, "\(note): so many values do not open under the active key alone")
        #expect(try stored().count == plaintexts.count, "\(note)")
        let verified = try await sandbox.keyturn("verify", "-o", "json")
        #expect(verified.exitCode == 0 && verified.json.result.isClean.bool == true, "\(note): \(verified)")
        #expect(try await openRun() == nil, "\(note)")
    }

    /// Drives a finished run once more from its first row and checks that nothing is written.
    func expectDrivingAgainWritesNothing(_ run: Int, _ note: String) async throws {
        let before = try stored()
        let over = try await sandbox.keyturn("run", "resume", "\(run)")
        #expect(over.exitCode == 1 && over.standardError.contains("is over"), "\(note): \(over)")
        try database.run(
            "UPDATE keyturn_runs SET state = 'open', phase = 'reencrypt', finished_at = NULL WHERE id = \(run)")
        try database.run("DELETE FROM keyturn_run_progress WHERE run_id = \(run)")
        let again = try await sandbox.keyturn("run", "resume", "\(run)", "-o", "json").expecting().json.result
        #expect(again.summary.state.string == "done" && again.rowsWritten.integer == 0, "\(note)")
        #expect(try stored() == before, "\(note): driving the run again wrote something")
    }
}
