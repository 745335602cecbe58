import ControlStore
import Foundation
import KeyModel
import PostgreSQLTesting
import SchedulerChecking
import Testing

@Suite(.serialized, .enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct SoakTests {
    /// Seconds for each fleet; `make soak` asks for more than five minutes.
    private static let seconds = ProcessInfo.processInfo.environment["KEYTURN_SOAK_SECONDS"].flatMap { Int($0) }

    @Test(arguments: [2, 3])
    func severalDaemonsStartEachNominalTimeOnce(nodes: Int) async throws {
        // The short form takes less than a minute for both.
        let seconds = Self.seconds ?? 20
        let seed =
            ProcessInfo.processInfo.environment["KEYTURN_SOAK_SEED"].flatMap { UInt64($0) }
            ?? .random(in: 0...(1 << 32))
        print("soak: \(nodes) schedulers, \(seconds) s, seed \(seed)")
        try await withScratchPostgreSQL { database, engine in
            let schedules = Self.seconds == nil ? 30 : 75
            var fleet = try await Fleet(
                nodes: nodes, schedules: schedules, distance: .seconds(60),
                lease: Self.seconds == nil ? .seconds(6) : nil, seed: seed, on: database, ControlStore(engine: engine))
            let isLong = seconds >= 300
            try await fleet.run(
                for: .seconds(seconds), kills: isLong ? 31 : 3,
                stops: isLong ? 11 : 1,
                cuts: isLong ? 6 : 2)
            let finding = try await fleet.check()
            #expect(finding.faults.isEmpty, "\(finding.faults.prefix(10))")
            if isLong {
                #expect(finding.started >= 300 && fleet.toll.kills >= 30 && fleet.toll.stops >= 10)
                #expect(fleet.toll.longestTakeOver <= .seconds(20))
            } else {
                #expect(finding.started >= 5)
            }
            let slowest = fleet.toll.longestTakeOver
            print(
                """
                soak: \(fleet.toll.kills) SIGKILL, \(fleet.toll.stops) SIGSTOP beyond the lease, \
                \(fleet.toll.cuts) times connections dropped; \(fleet.toll.takeOvers) take-overs watched, \
                the slowest \(Duration.milliseconds(slowest.components.seconds * 1000 + slowest.components.attoseconds / 1_000_000_000_000_000).durationText)
                """)
            print("soak: \(nodes) schedulers: \(finding.line)")
        }
    }
}
