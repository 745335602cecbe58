import CloudTesting
import Foundation
import Testing
import ToolTesting

/// `byok continue`, killed right after each durable step, then called again.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
struct KillTests {
    /// The steps in their order, and what wraps the keys right after each: built-in, both, or the customer's alone.
    private static let steps: [(point: String, holders: Set<String>)] = [
        ("intentRecorded:1", ["local"]), ("exposureRecorded:1", ["local"]), ("runRecorded:1", ["local"]),
        ("phaseRecorded:1", ["local"]), ("phaseRecorded:2", ["local"]), ("phaseRecorded:3", ["local"]),
        ("keyRewrapped:1", ["local", "customer"]), ("keyRewrapped:2", ["local", "customer"]),
        ("phaseRecorded:9", ["local", "customer"]), ("keyringMoved:1", ["customer"]), ("keysRetired:1", ["customer"]),
        ("runFinished:1", ["customer"]), ("runRecorded:2", ["customer"]), ("keyCommitted:1", ["customer"]),
        ("keyActivated:1", ["customer"]), ("batchCommitted:1", ["customer"]), ("proofKept:1", ["customer"]),
        ("keysRetired:2", ["customer"]), ("runFinished:2", ["customer"]),
    ]

    @Test func killedAtEachStepItGoesOn() async throws {
        var lines = ["killed after", "then wrapped by", "afterwards"].map { [$0] }
        for step in Self.steps {
            let bench = try await BYOKBench(.strict)
            _ = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting()
            try await bench.save()
            let killed = try await bench.sandbox.start(
                arguments: ["byok", "continue", "customer", "--yes"], dyingAt: step.point
            ).wait()
            #expect(killed.signal == SIGKILL, "\(step.point): \(killed)")
            let holders = Set(try bench.wraps().map { $0.split(separator: " ")[1] }.map(String.init))
            #expect(holders == step.holders, "\(step.point)")
            // The way back closes with the last older copy, not later.
            let moved = try bench.read("SELECT provider FROM keyturn_byok_keyrings")
            #expect(moved.isEmpty == holders.contains("local"), "\(step.point)")
            let again = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes")
            #expect(again.exitCode == 0, "\(step.point): \(again)")
            let left = try bench.wraps()
            #expect(left.count == 1 && left[0].hasPrefix("main customer arn:"), "\(step.point): \(left)")
            let isWhole = try await bench.verifies()
            #expect(isWhole, "\(step.point)")
            let runs = try bench.read("SELECT kind || ' ' || state FROM keyturn_runs ORDER BY id")
            #expect(runs.suffix(2) == ["rewrap done", "rotate done"] && runs.count == 4, "\(step.point): \(runs)")
            lines[0].append(step.point)
            lines[1].append(holders.sorted().reversed().joined(separator: " and "))
            lines[2].append("\(left.count == 1 ? "customer alone" : "?"), \(isWhole ? "every value opens" : "LOST")")
        }
        for index in lines[0].indices {
            print(
                "kill: " + lines[0][index].padding(toLength: 20, withPad: " ", startingAt: 0)
                    + lines[1][index].padding(toLength: 24, withPad: " ", startingAt: 0) + lines[2][index])
        }
    }
}
