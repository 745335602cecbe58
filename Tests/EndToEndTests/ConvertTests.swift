import Fernet
import Foundation
import GRDB
import KR1
import KeyModel
import PluginKit
import Testing
import ToolTesting

extension EndToEnd {
    /// Airflow's values on their way to another core and back.
    @Suite struct ConvertTests {
        private static let columns = ["connection.password", "connection.extra", "variable.val"]
        private static let sealed = 225 + 192 + 2000

        /// Airflow's database with a second keyring beside its own.
        private func airflow() async throws -> Airflow {
            let airflow = try Airflow()
            try declare(airflow, keyring: "airflow")
            try await airflow.takeOver()
            return airflow
        }

        private func declare(_ airflow: Airflow, keyring: String, _ more: String = "") throws {
            let text = Airflow.configuration().replacing("keyring = \"airflow\"", with: "keyring = \"\(keyring)\"")
            try airflow.sandbox.write(text + "\nkeyring \"modern\" { core = \"kr1\" }\n\(more)", to: "keyturn.lua")
        }

        private func convert(
            _ airflow: Airflow, to keyring: String, _ more: [String] = [], dyingAt point: String? = nil
        ) throws -> RunningProgram {
            let arguments = ["convert"] + Self.columns + ["--to", keyring, "--yes", "-o", "json"] + more
            return try airflow.sandbox.start(arguments: arguments, dyingAt: point)
        }

        /// Every value that is encrypted, by cell.
        private func tokens(_ airflow: Airflow) throws -> [String: String] {
            var tokens: [String: String] = [:]
            for (table, column, flag) in [
                ("connection", "password", "is_encrypted"), ("connection", "extra", "is_extra_encrypted"),
                ("variable", "val", "is_encrypted"),
            ] {
                let sql = "SELECT id, \(column) FROM \(table) WHERE \(flag) AND \(column) <> ''"
                for (id, value) in try airflow.database.values(sql) {
                    tokens["\(table).\(column)/\(id)"] = String.fromDatabaseValue(value)
                }
            }
            return tokens
        }

        /// What cells hold, read with whatever core their values name.
        private func plaintexts(_ airflow: Airflow) async throws -> [String: String] {
            let modern = try await airflow.hasModernKey ? HeldKeys(of: "modern", KR1.self, from: airflow.sandbox) : nil
            let fernet = try await HeldKeys(of: "airflow", Fernet.self, from: airflow.sandbox)
            var texts: [String: String] = [:]
            for (cell, token) in try tokens(airflow) {
                let place = ValueContext.column(namespace: "airflow", name: String(cell.prefix { $0 != "/" }))
                texts[cell] = token.hasPrefix("kr1.") ? modern?.open(token, at: place) : fernet.open(token, at: .none)
            }
            return texts
        }

        @Test func airflowGoesToKR1AndBack() async throws {
            let airflow = try await airflow()
            let before = try await plaintexts(airflow)
            #expect(before.count == Self.sealed)

            let there = try await convert(airflow, to: "modern").wait().expecting().json.result
            #expect(there.summary.state.string == "done" && there.rowsWritten.integer == Self.sealed)
            #expect(try tokens(airflow).values.allSatisfy { $0.hasPrefix("kr1.") })
            #expect(try await plaintexts(airflow) == before)
            #expect(!(try await airflow.read(with: airflow.oldKey)).values.contains { $0.opens == true })

            // Whoever changes the configuration otherwise is told what to write; unchanged, it stands in nobody's way.
            try declare(airflow, keyring: "airflow", "-- changed")
            let contradiction = try await airflow.sandbox.keyturn("rotate", "modern", "--yes")
            #expect(contradiction.exitCode != 0, "\(contradiction)")
            #expect(contradiction.standardError.contains("keyring = \"modern\""), "\(contradiction)")

            try declare(airflow, keyring: "modern")
            let again = try await convert(airflow, to: "modern").wait()
            #expect(again.exitCode != 0 && again.standardOutput.contains("already"), "\(again)")
            #expect(try await airflow.sandbox.keyturn("rotate", "modern", "--yes").exitCode == 0)
            #expect(try await plaintexts(airflow) == before)
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)

            let back = try await convert(airflow, to: "airflow").wait().expecting().json.result
            #expect(back.summary.state.string == "done" && back.rowsWritten.integer == Self.sealed)
            try declare(airflow, keyring: "airflow")
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)
            let after = try await airflow.read(with: try #require(try await airflow.exportedKeys().first))
            for (cell, digest) in try airflow.expectedDigests() { #expect(after[cell]?.digest == digest, "\(cell)") }
        }

        @Test(arguments: [
            "keyCommitted", "keyActivated", "batchCommitted:4", "windowFinished", "columnFinished:2", "runFinished",
        ])
        func aConversionGoesOnAfterDyingAt(point: String) async throws {
            let airflow = try await airflow()
            let before = try await plaintexts(airflow)
            let killed = try await convert(airflow, to: "modern", dyingAt: point).wait()
            #expect(killed.signal == SIGKILL, "\(killed)")
            #expect(try await plaintexts(airflow) == before, "half-way")
            let halfway = try tokens(airflow)
            if let (cell, _) = halfway.randomElement(), let text = before[cell] {
                #expect(try await open(cell, airflow) == text, "\(cell)")
            }
            if point != "runFinished" {
                _ = try await airflow.sandbox.keyturn("run", "resume", "1").expecting()
            }
            #expect(try await plaintexts(airflow) == before)
            #expect(try tokens(airflow).values.allSatisfy { $0.hasPrefix("kr1.") })
            try declare(airflow, keyring: "modern")
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)
        }

        @Test func readersSeeEveryPlaintextAllThroughAConversion() async throws {
            let airflow = try await airflow()
            let before = try await plaintexts(airflow)
            let cells = before.keys.filter { $0.hasPrefix("connection.") }.sorted()
            let process = try convert(airflow, to: "modern", ["--rows-per-second", "600"])
            var random = SeededGenerator(seed: 11)
            var reads = 0
            while process.isRunning {
                let cell = try #require(cells.randomElement(using: &random))
                #expect(try await open(cell, airflow) == before[cell], "\(cell), read \(reads)")
                reads += 1
            }
            let result = try await process.wait().expecting().json.result
            #expect(result.summary.state.string == "done" && reads > 0)
            print("\(reads) reads during a conversion")
            #expect(try await plaintexts(airflow) == before)
        }

        /// What `keyturn open` says that a cell holds.
        private func open(_ cell: String, _ airflow: Airflow) async throws -> String {
            let parts = cell.split(separator: "/").map(String.init)
            return try await airflow.sandbox.keyturn("open", parts[0], "--key", parts[1], "--stored").expecting().line
        }
    }
}

extension Airflow {
    /// Whether a key of the second keyring has been made.
    fileprivate var hasModernKey: Bool {
        get async throws {
            let detail = try await sandbox.keyturn("keyring", "show", "modern", "-o", "json").expecting().json.result
            return detail.versions.array.contains { $0.state.string == "active" || $0.state.string == "preActivation" }
        }
    }
}
