internal import Foundation
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// Runs that meet a plugin that does not do as it should: they stop where they are, go on later, and no key is lost.
@Suite(.serialized)
struct HostileRunTests {
    private let bench: KeyBench

    init() throws { bench = try KeyBench() }

    private var sandbox: Sandbox { bench.sandbox }

    /// An instance with a provider "bad", which behaves until it is told otherwise.
    private func begin() async throws {
        try await bench.begin()
        sandbox.variables["HOSTILE"] = "none"
        let file = try bench.scratch.program("hostile-plugin")
        _ = try await sandbox.keyturn(
            "plugin", "register", "bad", file.path, "--environment", "HOSTILE", "--environment", "PATH", "--yes"
        ).expecting()
        try bench.declare(
            "bad",
            "provider \"bad\" { kind = \"plugin\", plugin = \"bad\", environment = \"HOSTILE PATH\", deadline = \"60s\" }"
        )
    }

    private func wraps(areAll start: String) throws -> Bool {
        let wraps = try bench.wraps()
        return !wraps.isEmpty && wraps.allSatisfy { $0.hasPrefix(start + " ") }
    }

    @Test
    func aRunWaitsForAPluginThatCrashesAndGoesOnWithoutLoss() async throws {
        try await begin()
        sandbox.variables["HOSTILE"] = "crash-mid-call"
        let run = try sandbox.start("rewrap", "main", "--to", "bad", "--yes")
        #expect(
            await Sample.eventually(within: .seconds(120)) { run.errorSoFar.contains("paused") }, "\(run.errorSoFar)")
        run.signal(SIGKILL)
        _ = try await run.wait()
        #expect(try wraps(areAll: "local"))
        try await bench.readsBack()
        let open = try #require(try bench.openRun())
        sandbox.variables["HOSTILE"] = "none"
        _ = try await sandbox.keyturn("run", "resume", "\(open)").expecting()
        #expect(try wraps(areAll: "bad"))
        try await bench.readsBack()
    }

    @Test(
        arguments: ["unwraps-other", "unwraps-shorter", "same-ciphertext", "plaintext-inside"]
            + HostilePluginTests.namesInRuns)
    func aRunThatIsLiedToKeepsTheKeysThatItHas(way: String) async throws {
        try await begin()
        sandbox.variables["HOSTILE"] = way
        let output = try await sandbox.keyturn("rewrap", "main", "--to", "bad", "--yes")
        #expect(output.exitCode != 0 && output.signal == nil, "\(output)")
        print("\(way): \(output)")
        #expect(try bench.wraps().contains { $0.hasPrefix("local ") })
        try await bench.readsBack()
        sandbox.variables["HOSTILE"] = "none"
        if let open = try bench.openRun() { _ = try await sandbox.keyturn("run", "resume", "\(open)").expecting() }
        _ = try await sandbox.keyturn("rewrap", "main", "--to", "bad", "--yes").expecting()
        #expect(try wraps(areAll: "bad"))
        try await bench.readsBack()
    }
}
