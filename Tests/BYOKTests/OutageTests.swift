import CloudTesting
import Foundation
import Testing
import ToolTesting

/// What a daemon does while the customer's key is away, and how it heals.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
struct OutageTests {
    /// A state of the key or of the way to it.
    enum Trouble: String, CaseIterable {
        case throttled, unreachable, disabled, pendingDeletion, denied, roleGone

        /// Whether what is held in memory goes on.
        var isOutage: Bool { self == .throttled || self == .unreachable }

        /// What `byok status` says, loud.
        var sign: String {
            switch self {
            case .throttled, .unreachable: "UNREACHABLE"
            case .disabled, .pendingDeletion: "KEY NOT USABLE"
            case .denied, .roleGone: "ACCESS LOST"
            }
        }

        func begin(_ bench: BYOKBench) throws {
            let key = try bench.cloud.fact("key")
            switch self {
            case .throttled: try bench.cloud.control(["quota": 0])
            case .unreachable: try bench.cloud.fault("reset-before", on: "*", times: 100_000)
            case .disabled: try bench.cloud.boto("kms", "disable_key", ["KeyId": key])
            case .pendingDeletion:
                try bench.cloud.boto("kms", "schedule_key_deletion", ["KeyId": key, "PendingWindowInDays": 7])
            case .denied: try bench.cloud.control(["role_policy": [["Action": ["s3:*"], "Resource": ["*"]]]])
            case .roleGone: try bench.cloud.control(["role": "AnotherRole"])
            }
        }

        func end(_ bench: BYOKBench) throws {
            let key = try bench.cloud.fact("key")
            switch self {
            case .throttled: try bench.cloud.control(["quota": 100_000])
            case .unreachable: _ = try bench.cloud.takeLog()
            case .disabled: try bench.cloud.boto("kms", "enable_key", ["KeyId": key])
            case .pendingDeletion:
                try bench.cloud.boto("kms", "cancel_key_deletion", ["KeyId": key])
                try bench.cloud.boto("kms", "enable_key", ["KeyId": key])
            case .denied, .roleGone:
                try bench.cloud.control(["role": "KeyturnBYOKRole"])
                try bench.cloud.control(["role_policy": [["Action": ["kms:*"], "Resource": ["*"]]]])
            }
        }
    }

    @Test(arguments: Trouble.allCases)
    func eachStateIsShownAndHeals(trouble: Trouble) async throws {
        let bench = try await BYOKBench(.strict)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        let daemon = try bench.sandbox.start("serve", "--log-format", "json")
        try await daemon.listens()
        #expect(try await opens(bench))
        try trouble.begin(bench)
        let (status, code) = try await bench.status()
        #expect(code == 1)
        let problems = status.problems.array.compactMap(\.string)
        #expect(problems.contains { $0.hasPrefix(trouble.sign) }, "\(trouble): \(problems)")
        // What is in memory goes on through an outage, and is dropped where someone shut the key.
        #expect(try await opens(bench) == trouble.isOutage, "\(trouble)")
        let seal = try await bench.sandbox.keyturn("seal", "secret.value", "--key", "1", input: "new")
        #expect((seal.exitCode == 0) == trouble.isOutage, "\(trouble): \(seal)")
        try trouble.end(bench)
        #expect(try await heals(bench), "\(trouble)")
        #expect(try await bench.status().code == 0, "\(trouble)")
        daemon.signal(SIGTERM)
        _ = try await daemon.wait()
    }

    @Test func whoShutsTheKeyStopsARunInHand() async throws {
        let bench = try await BYOKBench(.strict, rows: 5000)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        let daemon = try bench.sandbox.start("serve", "--log-format", "json")
        try await daemon.listens()
        let rotation = ["call", "rotations.rotate", "main", "rows_per_second=50", "wait=none", "--yes"]
        _ = try await bench.sandbox.start(arguments: rotation).wait().expecting()
        #expect(try await newestRun(bench, is: "reencrypt open"))
        try Trouble.disabled.begin(bench)
        #expect(try await bench.status().code == 1)
        #expect(try await newestRun(bench, is: "reencrypt needsOperator"))
        try Trouble.disabled.end(bench)
        #expect(try await heals(bench))
        let run = try #require(try bench.read("SELECT max(id) || '' FROM keyturn_runs").first)
        _ = try await bench.sandbox.keyturn("run", "resume", run).expecting()
        #expect(try await bench.verifies())
        daemon.signal(SIGTERM)
        _ = try await daemon.wait()
    }

    /// A daemon works by the configuration that was taken up, not by the file.
    @Test func aDaemonThatHasNotTakenTheProviderUpMovesNothing() async throws {
        let bench = try await BYOKBench(.strict)
        try await bench.save()
        let daemon = try bench.sandbox.start("serve", "--log-format", "json")
        try await daemon.listens()
        let early = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes")
        #expect(early.exitCode != 0 && early.standardError.contains("configuration.load"), "\(early)")
        #expect(try bench.read("SELECT kind FROM keyturn_runs WHERE kind = 'rewrap'").isEmpty)
        _ = try await bench.sandbox.keyturn("call", "configuration.load", "--yes").expecting()
        try Trouble.disabled.begin(bench)
        let failed = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes")
        #expect(failed.exitCode != 0, "\(failed)")
        #expect(try bench.read("SELECT keyring FROM keyturn_byok_keyrings").isEmpty)
        try Trouble.disabled.end(bench)
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        #expect(try bench.read("SELECT keyring FROM keyturn_byok_keyrings") == ["main"])
        daemon.signal(SIGTERM)
        _ = try await daemon.wait()
    }

    /// Waits until the newest run stands in a phase and a state.
    private func newestRun(_ bench: BYOKBench, is wanted: String) async throws -> Bool {
        for _ in 0..<600 {
            let found = try bench.read("SELECT phase || ' ' || state FROM keyturn_runs ORDER BY id DESC LIMIT 1")
            if found == [wanted] { return true }
            try await Task.sleep(for: .milliseconds(100))
        }
        return false
    }

    @Test func importedMaterialThatEndsSoonIsAProblem() async throws {
        let bench = try await BYOKBench(.strict)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        for (days, isSoon) in [(10, true), (300, false)] {
            let end = (Date().timeIntervalSince1970 + Double(days) * 86_400).rounded()
            try bench.cloud.control(["valid_to": end])
            let (status, code) = try await bench.status()
            #expect(code == (isSoon ? 1 : 0))
            let day = Date(timeIntervalSince1970: end).formatted(.iso8601.year().month().day())
            #expect(status.providers[0].ends.string?.hasPrefix(day) == true, "\(status)")
            let problems = status.problems.array.compactMap(\.string)
            #expect(problems.contains { $0.hasPrefix("ENDS SOON") } == isSoon, "\(problems)")
        }
    }

    private func opens(_ bench: BYOKBench) async throws -> Bool {
        let output = try await bench.sandbox.keyturn("open", "secret.value", "--key", "1", "--stored")
        return output.exitCode == 0 && output.standardOutput.contains("value 1")
    }

    /// Waits until a value opens again; the breaker lets a call through only now and then.
    private func heals(_ bench: BYOKBench) async throws -> Bool {
        for _ in 0..<300 {
            if try await opens(bench), try await bench.status().code == 0 { return true }
            try await Task.sleep(for: .milliseconds(200))
        }
        return false
    }
}

extension RunningProgram {
    /// Waits until a daemon answers.
    func listens() async throws {
        for _ in 0..<1200 {
            if errorSoFar.contains(#""event":"listening""#) { return }
            guard isRunning else { break }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw EndToEndError("the daemon does not listen: \(errorSoFar)")
    }
}
