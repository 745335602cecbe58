import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// Transactions of others that stand in the way, and two processes that want the same.
    @Suite struct MannersTests {
        @Test func aHindranceStandsInTheHistoryAndSettlingWaitsForWhomItNames() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 2000, on: server)
                let reader = try server.connect()
                try reader.run("SET application_name = 'report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM secret")
                let writer = try server.connect()
                try writer.run("CREATE TABLE other (id integer); BEGIN; INSERT INTO other VALUES (1); PREPARE TRANSACTION 'left over'")
                try await Task.sleep(for: .seconds(6))

                let process = try vault.sandbox.start("rotate", "vault", "--yes", "-o", "json")
                try await server.waitFor("EXISTS (SELECT FROM keyturn.runs WHERE id = 2 AND phase = 'settle')")
                let history = try await server.history(of: 2)
                #expect(history.contains("warning:") && history.contains("report"), "\(history)")
                try await Task.sleep(for: .seconds(1))
                #expect(process.isRunning, "it waits for both")
                try reader.run("COMMIT")
                try await Task.sleep(for: .milliseconds(500))
                #expect(process.isRunning, "it waits for the prepared one")

                // It does not wait for ever, and says for whom it did.
                let output = try await process.wait(limit: .seconds(100))
                #expect(output.exitCode == 1, "\(output)")
                #expect((output.standardError + output.standardOutput).contains("prepared transaction 'left over'"), "\(output)")
                #expect(try await server.text("SELECT state FROM keyturn.runs WHERE id = 2") == "needsOperator")
                #expect(try await server.history(of: 2).contains("left over"))
                try await vault.expectNothingLost("settling in vain")
                try writer.run("COMMIT PREPARED 'left over'")
                try await vault.finish("once the transaction had ended")
            }
        }

        @Test func theSecondProcessOfANodeNamesTheFirst() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 2000, on: server)
                let process = try await vault.rotating()
                let second = try await vault.sandbox.keyturn("rotate", "vault", "--yes")
                #expect(second.exitCode == 2 || second.exitCode == 3, "\(second)")
                #expect(second.standardError.contains("process \(process.pid)"), "\(second)")
                #expect(try await process.wait().expecting().json.result.summary.state.string == "done")
                try await vault.expectFinished("beside a refused rotation")
            }
        }

        /// A copy of the instance's directory is the same node to the database, but its lock is another file.
        @Test func aHolderThatWasTakenOverWritesNothingWhenItWakes() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 2500, on: server)
                let sleeper = try await vault.rotating()
                sleeper.signal(SIGSTOP)
                try FileManager.default.copyItem(
                    atPath: vault.sandbox.path("D"), toPath: vault.sandbox.path("E"))
                let other = try await vault.sandbox.keyturn(
                    "run", "resume", "2", "-o", "json", "--instance", vault.sandbox.path("E"))
                // What the sleeper had in hand when it was stopped may hold rows until the server ends it.
                sleeper.signal(SIGCONT)
                let woken = try await sleeper.wait()
                #expect(woken.exitCode != 0, "\(woken)")
                #expect((woken.standardError + woken.standardOutput).contains("taken over"), "\(woken)")
                #expect(other.exitCode == 0, "\(other)")
                #expect(other.json.result.summary.state.string == "done")
                #expect(try await server.text("SELECT state FROM keyturn.runs WHERE id = 2") == "done")
                let alone = try await HeldKeysOfCopy.sealingKey(of: vault)
                #expect(try await vault.stored().values.allSatisfy { $0.contains(alone) })
            }
        }
    }
}

/// The id of the key that seals, asked of the copied directory, which has seen the newest epoch.
private enum HeldKeysOfCopy {
    static func sealingKey(of vault: ServerVault) async throws -> String {
        let detail = try await vault.sandbox.keyturn(
            "keyring", "show", "vault", "-o", "json", "--instance", vault.sandbox.path("E")).expecting().json.result
        return detail.versions.array.first { $0.state.string == "active" }?.id.string ?? "none"
    }
}
