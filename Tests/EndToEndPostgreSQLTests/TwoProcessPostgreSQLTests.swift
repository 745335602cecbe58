import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// Two processes that want the same.
    @Suite struct TwoProcessPostgreSQLTests {
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
        @Test func aHolderThatItsOwnNodeTookOverWritesNothingWhenItWakes() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 2500, on: server)
                let sleeper = try await vault.rotating()
                sleeper.signal(SIGSTOP)
                let copy = try vault.copyInstance()
                let other = try await vault.sandbox.keyturn("run", "resume", "2", "-o", "json", "--instance", copy)
                #expect(other.exitCode == 0 && other.json.result.summary.state.string == "done", "\(other)")
                try await vault.expectNothingWritten(by: sleeper, copy)
            }
        }
    }
}
