import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension ServerVault {
    /// Copies the instance's directory, as a node of its own where one is named, and returns where it lies.
    func copyInstance(asNode node: String? = nil) throws -> String {
        let copy = sandbox.path("E")
        try FileManager.default.copyItem(atPath: sandbox.path("D"), toPath: copy)
        guard let node else { return copy }
        let journal = copy + "/journal"
        let text = try String(contentsOfFile: journal, encoding: .utf8)
        let lines = text.split(separator: "\n").map { JSONValue(parsing: String($0)) }
        let own = try #require(lines.compactMap(\.node.string).last)
        try Data(text.replacing(own, with: node).utf8).write(to: URL(filePath: journal))
        return copy
    }

    /// Wakes a process whose run another one has ended.
    func expectNothingWritten(by sleeper: RunningProgram, _ copy: String) async throws {
        let before = try await stored()
        sleeper.signal(SIGCONT)
        let woken = try await sleeper.wait()
        #expect(woken.exitCode != 0 && woken.standardOutput.contains("storeLeaseLost"), "\(woken)")
        #expect(try await stored() == before)
        #expect(try await server.text("SELECT state FROM keyturn.runs WHERE id = 2") == "done")
        let verified = try await sandbox.keyturn("verify", "--instance", copy)
        #expect(verified.exitCode == 0, "\(verified)")
    }
}
