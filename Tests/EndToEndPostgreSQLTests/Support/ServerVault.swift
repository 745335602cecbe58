import Foundation
import KR1
import KeyModel
import PluginKit
import PostgreSQLTesting
import Testing
import ToolTesting

/// A table of secrets under `kr1` in PostgreSQL, each bound to its row.
struct ServerVault {
    let server: ServerInstance
    /// What each row holds.
    let plaintexts: [String: String]

    var sandbox: Sandbox { server.sandbox }

    /// Makes the table with an instance for it, its values sealed unless `isSealed` is false.
    static func made(
        rows: Int, on server: ServerInstance, isSealed: Bool = true, url: String? = nil
    ) async throws -> ServerVault {
        try server.configure(
            """
            keyring "vault" { core = "kr1" }
            column "secret.value" { keyring = "vault", key = "id", context = "row" }
            """, url: url)
        try await server.application.runAside(
            """
            CREATE TABLE secret (id integer PRIMARY KEY, value text);
            INSERT INTO secret SELECT id, 'plaintext ' || id FROM generate_series(1, \(rows)) AS id
            """)
        let vault = ServerVault(
            server: server, plaintexts: try await server.values("SELECT id, value FROM secret"))
        try await server.initialise()
        if isSealed { _ = try await server.sandbox.keyturn("adopt", "secret.value", "--yes").expecting() }
        return vault
    }

    /// The place of a row's value.
    func place(_ id: String) -> ValueContext { Self.place(id, in: server.database.name) }

    /// The place of a row's value in a database.
    static func place(_ id: String, in database: String) -> ValueContext {
        .row(namespace: database, name: "secret.value", key: [Array(id.utf8)])
    }

    /// The values as they stand.
    func stored() async throws -> [String: String] { try await server.values("SELECT id, value FROM secret") }

    /// Starts a rotation of some seconds and waits until it has written something.
    func rotating(run: Int = 2, rowsPerSecond: Int = 500) async throws -> RunningProgram {
        let process = try sandbox.start(
            "rotate", "vault", "--yes", "--rows-per-second", "\(rowsPerSecond)", "-o", "json")
        try await server.waitForRows(of: run)
        return process
    }

    /// Checks what holds at every instant: every value is in clear where that may be, or opens under a key that is kept.
    func expectNothingLost(mayBeClear: Bool = false, _ note: String) async throws {
        let values = try await stored()
        #expect(values.count == plaintexts.count, "\(note)")
        let sealed = values.filter { $0.value.hasPrefix("kr1.") }
        #expect(mayBeClear || sealed.count == values.count, "\(note)")
        #expect(values.filter { sealed[$0.key] == nil }.allSatisfy { plaintexts[$0.key] == $0.value }, "\(note)")
        guard !sealed.isEmpty else { return }
        let keys = try await HeldKeys(of: "vault", KR1.self, from: sandbox)
        let lost = sealed.filter { keys.open($0.value, at: place($0.key)) != plaintexts[$0.key] }
        #expect(lost.isEmpty, "\(note): \(lost.count) values lost")
    }

    /// Checks the end of a run: everything opens under the active key alone, and Keyturn says so.
    func expectFinished(_ note: String) async throws {
        let alone = try await HeldKeys(of: "vault", KR1.self, from: sandbox).sealingKeyAlone()
        let wrong = try await stored().filter { alone.open($0.value, at: place($0.key)) != plaintexts[$0.key] }
        #expect(wrong.isEmpty, "\(note): \(wrong.count) values do not open under the active key alone")
        let verified = try await sandbox.keyturn("verify", "-o", "json")
        #expect(verified.exitCode == 0 && verified.json.result.isClean.bool == true, "\(note): \(verified)")
        #expect(try await server.openRun() == nil, "\(note)")
    }

    /// Takes an open run up until it ends.
    func finish(_ note: String) async throws {
        if let run = try await server.openRun() {
            _ = try await sandbox.keyturn("run", "resume", "\(run)").expecting()
        }
        try await expectFinished(note)
    }

    /// Drives a finished run once more from its first row and checks that nothing is written.
    func expectDrivingAgainWritesNothing(_ note: String) async throws {
        let before = try await stored()
        let run = try await server.text("SELECT max(id) FROM keyturn.runs") ?? ""
        try await server.application.runAside(
            """
            UPDATE keyturn.runs SET state = 'open', phase = 'reencrypt', finished_at = NULL WHERE id = \(run);
            DELETE FROM keyturn.run_progress WHERE run_id = \(run)
            """)
        let again = try await sandbox.keyturn("run", "resume", run, "-o", "json").expecting().json.result
        #expect(again.summary.state.string == "done" && again.rowsWritten.integer == 0, "\(note)")
        #expect(try await stored() == before, "\(note): driving the run again wrote something")
    }
}
