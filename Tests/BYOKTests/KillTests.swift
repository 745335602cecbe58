import CloudTesting
import Foundation
import Testing
import ToolTesting

/// `byok continue`, killed right after each durable step, then called again.
@Suite(.serialized)
struct KillTests {
    static let kinds: [LocalCloud.Kind] = [.moto, .strict].filter(LocalCloud.isInstalled)

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

    @Test(.enabled(if: !kinds.isEmpty, "no service is installed"), arguments: kinds)
    func killedAtEachStepItGoesOn(kind: LocalCloud.Kind) async throws {
        let bench = try await BYOKBench(kind)
        _ = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting()
        try await bench.save()
        let saved = try bench.keep()
        defer { try? bench.forget(saved) }
        print("kill: on \(kind.rawValue), killed after | wrapped by | called again")
        for step in Self.steps {
            try bench.goBack(to: saved)
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
            let by = holders.sorted().reversed().joined(separator: " and ")
            let after = "\(left.count == 1 ? "customer alone" : "?"), \(isWhole ? "every value opens" : "LOST")"
            print("kill: \(step.point) | \(by) | \(after)")
        }
    }
}
