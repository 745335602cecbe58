import Foundation
import GRDB
import Testing
import ToolTesting

extension EndToEnd {
    /// The database of a real application, through the words that its keeper would type.
    @Suite struct AirflowTests {
        @Test func sixCommandsTurnTheKey() async throws {
            let airflow = try Airflow()
            let (sandbox, folder) = (airflow.sandbox, airflow.sandbox.path("D"))
            let mode = try airflow.database.text("PRAGMA journal_mode")
            let before = try await airflow.read(with: airflow.oldKey)

            _ = try await sandbox.keyturn("init", "--config", "keyturn.lua", "--instance", folder).expecting()
            _ = try await sandbox.keyturn(
                "keyring", "import", "airflow", "--core", "fernet", "--from-file", "key.txt", "--instance", folder
            ).expecting()
            let plan = try await sandbox.keyturn("plan", "airflow", "--instance", folder, "-o", "json").expecting().json
            _ = try await sandbox.keyturn("rotate", "airflow", "--yes", "--instance", folder).expecting()
            let verified = try await sandbox.keyturn("verify", "airflow", "--instance", folder, "-o", "json")
                .expecting()
            let export = try await sandbox.keyturn(
                "keyring", "export", "airflow", "--form", "fernet-list", "--yes", "--instance", folder
            ).expecting()

            #expect(plan.ok.bool == true)
            #expect(plan.result.columns.array.count == 3)
            #expect(verified.json.result.isClean.bool == true)
            #expect(try airflow.database.text("PRAGMA journal_mode") == mode && mode == "delete")
            #expect(!export.line.contains(","), "the old key was retired, so that one key is left to hand out")
            try await expectAllUnder(export.line, airflow, before: before)
        }

        @Test func aSecondRotationGoesOnFromTheFirst() async throws {
            let airflow = try await Airflow.adopted()
            let before = try await airflow.read(with: airflow.oldKey)
            _ = try await airflow.sandbox.keyturn("rotate", "airflow", "--yes").expecting()
            let first = try await airflow.exportedKeys()
            let output = try await airflow.sandbox.keyturn("rotate", "airflow", "--yes", "-o", "json").expecting()
            let second = try await airflow.exportedKeys()

            #expect(output.json.result.summary.state.string == "done")
            #expect(first.count == 1 && second.count == 1 && first != second)
            try await expectAllUnder(try #require(second.first), airflow, before: before)
            let underFirst = try await airflow.read(with: try #require(first.first))
            #expect(!underFirst.values.contains { $0.opens == true })
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)
        }

        @Test func pythonAndKeyturnOpenEachOthersTokens() async throws {
            let airflow = try await Airflow.adopted()
            _ = try await airflow.sandbox.keyturn("rotate", "airflow", "--yes").expecting()
            let key = try #require(try await airflow.exportedKeys().first)
            for text in ["", "x", "grüße, 世界", String(repeating: "long ", count: 5000)] {
                let ours = try await airflow.sandbox.keyturn("seal", "variable.val", input: text).expecting()
                #expect(
                    try await airflow.sandbox.python("fernet.py", "open", key, input: ours.line).standardOutput == text)
                let theirs = try await airflow.sandbox.python("fernet.py", "seal", key, input: text)
                #expect(
                    try await airflow.sandbox.keyturn("open", "variable.val", input: theirs.line).expecting().line
                        == text)
            }
        }

        /// Every digest comes out under `key` alone, none under the old one, and each token kept its timestamp.
        private func expectAllUnder(
            _ key: String, _ airflow: Airflow, before: [String: AirflowCell]
        ) async throws {
            let after = try await airflow.read(with: key)
            let expected = try airflow.expectedDigests()
            #expect(expected.count == 2480)
            for (cell, digest) in expected {
                #expect(after[cell]?.digest == digest, "\(cell)")
            }
            #expect(after == before, "the same plaintexts and timestamps as before under the old key")
            #expect(after.values.count { $0.opens == true } == 225 + 192 + 2000)
            let under = try await airflow.read(with: airflow.oldKey)
            #expect(!under.values.contains { $0.opens == true }, "nothing opens under the old key")
        }
    }

    /// Rows that the column's `where` does not pick.
    @Suite struct RowsOutsideTests {
        @Test func rowsOutsideStayByteForByteAndAreNamed() async throws {
            let airflow = try await Airflow.adopted()
            let sandbox = airflow.sandbox
            let rows = try await plant(in: airflow)
            let rotated = try await sandbox.keyturn("rotate", "airflow", "--yes", "-o", "json")

            #expect(rotated.exitCode == 1)
            #expect(rotated.json.result.summary.state.string == "doneWithExceptions")
            #expect(try planted(in: airflow) == rows)
            try await expectNamed(sandbox)

            let keyring = try await sandbox.keyturn("keyring", "show", "airflow", "-o", "json").expecting().json.result
            let old = keyring.versions.array.filter { $0.state.string == "deactivated" }
            #expect(old.count == 1 && old.allSatisfy { $0.retiredAt.string == nil }, "an exposed key is not retired")
            #expect(try await airflow.exportedKeys().count == 2, "the old key still opens what is left under it")
            let after = try await airflow.read(with: try #require(try await airflow.exportedKeys().first))
            for (cell, digest) in try airflow.expectedDigests() { #expect(after[cell]?.digest == digest, "\(cell)") }
        }

        @Test func theLastRowPutRightEndsClean() async throws {
            let airflow = try await Airflow.adopted()
            _ = try await plant(in: airflow)
            #expect(try await airflow.sandbox.keyturn("rotate", "airflow", "--yes").exitCode == 1)
            try airflow.database.run("DELETE FROM variable WHERE id > 9000")
            try airflow.database.run("DELETE FROM connection WHERE id > 9000")
            let output = try await airflow.sandbox.keyturn("rotate", "airflow", "--yes", "-o", "json").expecting()
            #expect(output.json.result.summary.state.string == "done")
            #expect(try await airflow.sandbox.keyturn("status").exitCode == 0)
        }

        /// Rows with flag 0 and with flag NULL, each with a plaintext, a token under the old key and a foreign token.
        private func plant(in airflow: Airflow) async throws -> [[Int64: DatabaseValue]] {
            let old = try await airflow.sandbox.python("fernet.py", "seal", airflow.oldKey, input: "old, outside").line
            let stranger = Data((0..<32).map { UInt8($0) }).base64EncodedString()
            let foreign = try await airflow.sandbox.python("fernet.py", "seal", stranger, input: "foreign").line
            var id = 9000
            for flag in [0, nil] as [Int?] {
                for value in ["plain text", old, foreign] {
                    id += 1
                    try airflow.database.run(
                        "INSERT INTO variable (id, key, val, is_encrypted) VALUES (?, ?, ?, ?)",
                        [id, "planted \(id)", value, flag])
                    try airflow.database.run(
                        """
                        INSERT INTO connection (id, conn_id, conn_type, password, is_encrypted, extra, is_extra_encrypted)
                        VALUES (?, ?, 'http', ?, ?, ?, ?)
                        """, [id, "planted \(id)", value, flag, value, flag])
                }
            }
            return try planted(in: airflow)
        }

        private func planted(in airflow: Airflow) throws -> [[Int64: DatabaseValue]] {
            try airflow.storedValues().map { column in column.filter { $0.key > 9000 } }
        }

        private func expectNamed(_ sandbox: Sandbox) async throws {
            let verified = try await sandbox.keyturn("verify", "airflow", "-o", "json").expecting(1).json.result
            let columns = verified.keyrings[0].columns.array
            #expect(verified.isClean.bool == false && columns.count == 3)
            for column in columns {
                #expect(column.outside.old.integer == 2 && column.outside.foreign.integer == 2)
                #expect(column.outside.plaintext.integer == 2)
                let rows = column.findings.array.filter { $0.what.string?.contains("sealed under key") == true }
                    .compactMap(\.row.string)
                #expect(rows.contains { $0.contains("9002") } && rows.contains { $0.contains("9005") }, "\(rows)")
            }
            let status = try await sandbox.keyturn("status", "-o", "json").expecting(1).json.result
            #expect(status.keyrings[0].underOldKeysOutside.integer == 6)
            #expect(
                status.problems.array.contains { $0.string?.contains("6 values lie under older keys outside") == true })
            for command in ["verify", "status"] {
                let text = try await sandbox.keyturn(command).expecting(1).standardOutput
                #expect(text.contains("9002") && text.contains("9005"), "\(text)")
            }
        }
    }
}
