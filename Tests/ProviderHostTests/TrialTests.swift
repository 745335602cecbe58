internal import Foundation
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// `keyturn plugin test`, the kit for authors, on what comes with Keyturn; the token's provider has it among its own tests.
@Suite(.serialized)
struct TrialTests {
    private let sandbox: Sandbox

    init() throws { sandbox = try Sandbox() }

    @Test
    func theBuiltInProviderPasses() async throws {
        try await Self.passes(try await sandbox.keyturn("plugin", "test", "local", "-o", "json"), atLeast: 9)
    }

    @Test
    func theExamplePasses() async throws {
        let scratch = try HostScratch()
        let output = try await sandbox.keyturn(
            "plugin", "test", try scratch.example().path, "--setting", "directory=\(try scratch.directory("keys"))",
            "--deadline", "60s", "-o", "json")
        try await Self.passes(output, atLeast: 20)
    }

    /// Whether every check passed, and there were as many as there should be.
    static func passes(_ output: ProgramOutput, atLeast count: Int) async throws {
        let result = JSONValue(parsing: try output.expecting().standardOutput).result
        #expect(result.failed.integer == 0 && (result.passed.integer ?? 0) >= count, "\(output)")
    }
}
