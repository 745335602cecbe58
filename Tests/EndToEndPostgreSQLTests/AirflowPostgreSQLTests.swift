import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// Airflow's tables with their types, on the server that Airflow is run on.
    @Suite struct AirflowPostgreSQLTests {
        private static let cells = [
            ("connection", "password", "is_encrypted"), ("connection", "extra", "is_extra_encrypted"),
            ("variable", "val", "is_encrypted"),
        ]

        @Test func digestsHoldAfterARotationAndAConversionThereAndBack() async throws {
            try await withServerInstance { server in
                let expected = try await load(server)
                let old = try #require(try await exportedKeys(server).first)
                let before = try await read(server, with: old)
                expect(before, toHave: expected, "as loaded")

                _ = try await server.sandbox.keyturn("rotate", "airflow", "--yes").expecting()
                let keys = try await exportedKeys(server)
                #expect(keys.count == 1 && !keys.contains(old))
                let after = try await read(server, with: try #require(keys.first))
                expect(after, toHave: expected, "rotated")
                #expect(after == before, "the same plaintexts and timestamps as before under the old key")
                #expect(!(try await read(server, with: old)).values.contains { $0.opens == true })
                #expect(try await server.sandbox.keyturn("verify").exitCode == 0)

                try await convert(server, to: "modern")
                let kinds = try await server.text("SELECT count(*) FROM variable WHERE val LIKE 'kr1.%'")
                #expect(kinds == "2000")
                for id in ["1", "77", "2000"] {
                    let text = try await server.sandbox.keyturn("open", "variable.val", "--key", id, "--stored").expecting()
                    let sealed = try await server.sandbox.keyturn("seal", "variable.val", "--key", id, input: text.line)
                    let again = try await server.sandbox.keyturn(
                        "open", "variable.val", "--key", id, input: try sealed.expecting().line)
                    #expect(try again.expecting().line == text.line)
                }

                try await convert(server, to: "airflow")
                #expect(try await server.sandbox.keyturn("verify").exitCode == 0)
                let back = try await read(server, with: try #require(try await exportedKeys(server).first))
                expect(back, toHave: expected, "converted and back")
            }
        }

        private func configure(_ server: ServerInstance, keyring: String) throws {
            try server.configure(
                """
                keyring "airflow" { core = "fernet" }
                keyring "modern" { core = "kr1" }
                column "connection.password" { keyring = "\(keyring)", key = "id", where = "is_encrypted" }
                column "connection.extra" { keyring = "\(keyring)", key = "id", where = "is_extra_encrypted" }
                column "variable.val" { keyring = "\(keyring)", key = "id", where = "is_encrypted" }
                """)
        }

        /// Loads the fixture, takes its key over, and returns the digests of what Airflow reads.
        private func load(_ server: ServerInstance) async throws -> [String: String?] {
            for file in ["airflow.db", "key.txt", "expected.jsonl"] { try server.sandbox.copy("airflow/\(file)") }
            let sql = try await server.sandbox.python("airflow-sql.py", server.sandbox.path("airflow.db"))
            try await server.application.runAside(sql.standardOutput)
            try configure(server, keyring: "airflow")
            try await server.initialise()
            _ = try await server.sandbox.keyturn("keyring", "import", "airflow", "--from-file", "key.txt").expecting()
            let text = try String(contentsOfFile: server.sandbox.path("expected.jsonl"), encoding: .utf8)
            var digests: [String: String?] = [:]
            for line in text.split(separator: "\n").map({ JSONValue(parsing: String($0)) }) {
                guard let table = line.table.string, let id = line.id.integer else { continue }
                for column in table == "variable" ? ["val"] : ["password", "extra"] {
                    digests.updateValue(line[column].string, forKey: "\(table).\(column)/\(id)")
                }
            }
            #expect(digests.count == 2480)
            return digests
        }

        private func convert(_ server: ServerInstance, to keyring: String) async throws {
            let columns = Self.cells.map { "\($0.0).\($0.1)" }
            let arguments = ["convert"] + columns + ["--to", keyring, "--yes"]
            _ = try await server.sandbox.start(arguments: arguments).wait().expecting()
            try configure(server, keyring: keyring)
        }

        private func exportedKeys(_ server: ServerInstance) async throws -> [String] {
            let output = try await server.sandbox.keyturn("keyring", "export", "airflow", "--form", "fernet-list", "--yes")
            return try output.expecting().line.split(separator: ",").map(String.init)
        }

        private struct Cell: Hashable {
            let digest: String?
            let timestamp: Int?
            let opens: Bool?
        }

        /// What Python reads with one key.
        private func read(_ server: ServerInstance, with key: String) async throws -> [String: Cell] {
            let queries = Self.cells.map { table, column, flag in
                "SELECT json_build_array('\(table).\(column)/' || id, \(column), \(flag))::text FROM \(table)"
            }
            let rows = try await server.application.runAside(queries.joined(separator: " UNION ALL "))
            let lines = rows.compactMap { $0[0] }.joined(separator: "\n")
            let members = try await server.sandbox.python("fernet.py", "read", "-", key, input: lines).json.members
            return members.mapValues {
                Cell(digest: $0.digest.string, timestamp: $0.timestamp.integer, opens: $0.opens.bool)
            }
        }

        private func expect(_ cells: [String: Cell], toHave digests: [String: String?], _ note: String) {
            let wrong = digests.filter { cells[$0.key]?.digest != $0.value }
            #expect(wrong.isEmpty && cells.count == digests.count, "\(note): \(wrong.count) digests are wrong")
            #expect(cells.values.count { $0.opens == true } == 225 + 192 + 2000, "\(note)")
        }
    }
}
