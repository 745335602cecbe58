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

        /// A further node has a directory of its own, on the same database.
        @Test func aNodeThatJoinedNamesTheOneThatWorksAndWorksAfterIt() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 2500, on: server)
                let root = vault.sandbox.path("D/root.key")
                func join(_ directory: String, with key: String) async throws -> ProgramOutput {
                    try await vault.sandbox.keyturn(
                        "init", "--join", "--root-key", key, "--config", "keyturn.lua", "--instance",
                        vault.sandbox.path(directory), "-o", "json")
                }
                let joined = try await join("E", with: root).expecting()
                #expect(joined.json.result.instance.string == (try instance(in: "D", vault)))
                #expect(
                    FileManager.default.contents(atPath: root)
                        == FileManager.default.contents(atPath: vault.sandbox.path("E/root.key")))
                #expect(try await join("E", with: root).exitCode == 3, "it has joined already")

                let process = try await vault.rotating()
                let node = vault.sandbox.path("E")
                let second = try await vault.sandbox.keyturn("rotate", "vault", "--yes", "--instance", node)
                #expect(second.exitCode == 2 || second.exitCode == 3, "\(second)")
                #expect(second.standardError.contains("process \(process.pid)"), "\(second)")
                let seen = try await vault.sandbox.keyturn("runs", "--instance", node, "-o", "json").expecting()
                #expect(seen.json.result[0].run.integer == 2)
                #expect(try await process.wait().expecting().json.result.summary.state.string == "done")
                _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes", "--instance", node).expecting()
                try await vault.expectFinished("by the other node")
            }
        }

        @Test func aNodeDoesNotJoinWithAnotherRootKeyOrWithoutAnInstance() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 5, on: server)
                try vault.sandbox.write("database \"sqlite:other.db\"\n", to: "other.lua")
                try vault.sandbox.write("", to: "other.db")
                let other = vault.sandbox.path("F")
                _ = try await vault.sandbox.keyturn("init", "--config", "other.lua", "--instance", other).expecting()
                let words = [
                    "init", "--join", "--config", "keyturn.lua", "--instance", vault.sandbox.path("E"), "--root-key",
                ]
                let wrong = try await vault.sandbox.start(arguments: words + [other + "/root.key"]).wait()
                #expect(
                    wrong.exitCode == 3 && wrong.standardError.contains("is not the root key of instance"), "\(wrong)")
                #expect(!FileManager.default.fileExists(atPath: vault.sandbox.path("E")))
                let absent = try await vault.sandbox.start(arguments: words + ["nowhere"]).wait()
                #expect(absent.exitCode != 0 && absent.standardError.contains("nowhere"), "\(absent)")
                try await server.application.runAside("DROP SCHEMA keyturn CASCADE")
                let root = vault.sandbox.path("D/root.key")
                let none = try await vault.sandbox.start(arguments: words + [root]).wait()
                #expect(none.exitCode != 0 && none.standardError.contains("belongs to no instance"), "\(none)")
            }
        }

        private func instance(in directory: String, _ vault: ServerVault) throws -> String? {
            let file = try String(contentsOfFile: vault.sandbox.path(directory + "/instance.json"), encoding: .utf8)
            return JSONValue(parsing: file).instance.string
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
