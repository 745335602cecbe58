import CloudTesting
import Foundation
import GRDB
import Testing
import ToolTesting

/// How often the service is asked, and what is told of it.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
struct CountTests {
    /// Requests that KMS bills.
    private static func billed(_ log: [CloudRequest]) -> [String] {
        log.map(\.action).filter { !["AssumeRole", "GetCallerIdentity"].contains($0) }
    }

    @Test func aRotationAsksTheSameNumberOfTimesHoweverManyRows() async throws {
        var (asked, told): ([[String]], [String]) = ([], [])
        for rows in [100, 100_000] {
            let bench = try await BYOKBench(.strict, rows: 100)
            try await bench.save()
            _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
            try bench.grow(to: rows)
            _ = try bench.cloud.takeLog()
            let rotation = try await bench.sandbox.keyturn("rotate", "main", "--yes", "-o", "json").expecting()
            asked.append(Self.billed(try bench.cloud.takeLog()))
            let result = rotation.json.result
            #expect(result.rowsWritten.integer == rows)
            let run = try #require(result.summary.run.integer)
            let shown = try await bench.sandbox.keyturn("call", "runs.show", "\(run)").expecting().standardOutput
            let line = try #require(shown.split(separator: "\n").first { $0.contains("provider calls") })
            told.append(line.trimmingCharacters(in: .whitespaces))
            print("rotation of \(rows) rows: \(asked[asked.count - 1].count) requests: \(asked[asked.count - 1])")
            print("rotation of \(rows) rows: \(line)")
            let calls = result.providerCalls.customer
            let count = (calls.wrap.integer ?? 0) * 2 + (calls.unwrap.integer ?? 0) + (calls.describe.integer ?? 0)
            #expect(count > 0 && count <= asked[asked.count - 1].count, "\(result.providerCalls)")
        }
        #expect(asked[0] == asked[1])
        #expect(told[0] == told[1])
        #expect(asked[1].count <= 20)
    }

    /// Nothing is forgotten with a process, and what is shown is what was asked.
    @Test func whatWasAskedIsAddedUpAcrossProcesses() async throws {
        let bench = try await BYOKBench(.strict)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        var log = Self.billed(try bench.cloud.takeLog()).count
        func compare(_ status: JSONValue, _ when: String) throws {
            log += Self.billed(try bench.cloud.takeLog()).count
            let shown = try #require(status.providers[0].in_all.requests.integer)
            // A request that a busy machine answered too late was sent once more.
            #expect((0...2).contains(log - shown), "\(when): shown \(shown), asked \(log)")
            #expect(status.providers[0].in_all.cost_microdollars.integer == shown * 3)
        }
        try compare(try await bench.status().value, "after the commands")
        let daemon = try bench.sandbox.start("serve", "--log-format", "json")
        try await daemon.listens()
        _ = try await bench.sandbox.keyturn("open", "secret.value", "--key", "1", "--stored").expecting()
        try compare(try await bench.status().value, "by a daemon, with what is in its memory")
        _ = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting()
        daemon.signal(SIGTERM)
        _ = try await daemon.wait()
        let (status, code) = try await bench.status()
        try compare(status, "after a restart")
        #expect(code == 0)
        // One row a day.
        let days = try bench.read("SELECT day FROM keyturn_provider_calls WHERE provider = 'customer'")
        #expect((1...2).contains(days.count), "\(days)")
        let text = try await bench.sandbox.keyturn("byok", "status").standardOutput
        #expect(text.contains("requests, $0.000") && text.contains("renewed by "), "\(text)")
        // The month before is not this one.
        try bench.moveCallsToAnotherMonth()
        let later = try await bench.status().value.providers[0]
        let (month, all) = (
            try #require(later.this_month.requests.integer), try #require(later.in_all.requests.integer)
        )
        #expect(month > 0 && month < 10 && all > month + 10, "\(later)")
    }
}

extension BYOKBench {
    /// Sets back the days of what was counted.
    fileprivate func moveCallsToAnotherMonth() throws {
        let database = try DatabaseQueue(path: sandbox.path("app.db"))
        try database.write {
            try $0.execute(sql: "UPDATE keyturn_provider_calls SET day = '2020-01-' || substr(day, 9)")
        }
        try database.close()
    }
}
