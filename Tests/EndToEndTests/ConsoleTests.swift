import Foundation
import Testing
import ToolTesting

extension EndToEnd {
    /// Consoles and scripts on a real instance with a real daemon, as `console.py` drives them.
    @Suite struct ConsoleTests {
        @Test(arguments: ["session", "restart", "history", "scripts", "interrupts"])
        func aPersonFindsWhatTheGuidesPromise(name: String) async throws {
            let own = BuiltProgram.folder(".venv/bin/python3").path
            let python = FileManager.default.isExecutableFile(atPath: own) ? own : "python3"
            let script = BuiltProgram.folder("Tests/EndToEndTests/console.py").path
            let output = try await Sandbox().run(
                "/usr/bin/env", [python, script, try BuiltProgram.keyturn(), name])
            #expect(output.exitCode == 0, "\(output)")
        }
    }
}
