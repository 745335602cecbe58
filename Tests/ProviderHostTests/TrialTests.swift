internal import Foundation
internal import KeyModel
internal import PluginConformance
internal import PluginKit
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

    /// What only a process can show, and a way of not keeping to it.
    private static let claims = [
        ("says-otherwise", "it greets, and says the same of itself over the wire"),
        ("only-old-hosts", "it greets a host that speaks newer versions too"),
        ("ignores-end", "it ends when it is asked to, within 2 s"),
        ("ignores-end", "it ends when its standard input ends, within 2 s"),
        ("ignores-sigterm", "it ends on SIGTERM, within 2 s"),
        ("keeps-no-key", "killed and started again, it unwraps what it had wrapped"),
        ("none", "killed after it made a new key, it wraps with that"),
        ("keeps-no-key", "two of it do not disturb each other"), ("none", "an unknown setting is refused as such"),
        ("dies-of-malformed", "messages that are none are refused and do not end it"),
        ("same-ciphertext", "calls that are given up disturb no others"),
        ("spills", "500 wraps leave no descriptors behind"), ("hoards", "1000 wraps leave no memory behind"),
        ("chatters", "it does not talk while nobody asks it"),
        ("session-unwraps-other", "over a session answers are those of single calls"),
    ]

    @Test(arguments: claims)
    func aWrongPluginFails(way: String, claim: String) async throws {
        let result = try #require(try await Self.results(of: way) { $0 == claim }.first)
        #expect(!result.isPass)
        print("\(way): \(result)")
    }

    @Test
    func aPluginThatShowsKeysFails() async throws {
        let claims = [
            "killed and started again, it unwraps what it had wrapped",
            "no key stands in what it says on standard error",
        ]
        #expect(try await Self.results(of: "tells-stderr") { claims.contains($0) }.map(\.isPass) == [true, false])
    }

    private static func results(
        of way: String, where isWanted: (String) -> Bool
    ) async throws -> [ConformanceResult] {
        let scratch = try HostScratch()
        var environment = HostScratch.environment
        environment["HOSTILE"] = way
        let launch = PluginLaunch(
            name: try Sample.name, file: try scratch.program("hostile-plugin"), sha256: nil, environment: environment)
        return await PluginTrial(launch, settings: [:], deadline: .seconds(30)).run(
            binding: try Sample.binding, where: isWanted)
    }

    /// Whether every check passed, and there were as many as there should be.
    static func passes(_ output: ProgramOutput, atLeast count: Int) async throws {
        let result = JSONValue(parsing: try output.expecting().standardOutput).result
        #expect(result.failed.integer == 0 && (result.passed.integer ?? 0) >= count, "\(output)")
    }
}
