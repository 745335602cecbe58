import Foundation
import PostgreSQLTesting
import Rotation
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// The process is killed, its connections with it, and the run is taken up again.
    @Suite struct CrashPostgreSQLTests {
        private static let points = DurablePoint.allCases.filter {
            ![
                .rootKeyMade, .keyRewrapped, .fenceInstalled, .missesCommitted, .exposureRecorded, .keyringMoved,
            ].contains($0)
        }

        @Test func aRotationGoesOnAfterDyingAtAnyPoint() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 1500, on: server)
                for point in Self.points {
                    let time = point == .phaseRecorded ? 5 : point == .batchCommitted ? 4 : 1
                    let note = "dying at \(point.rawValue):\(time)"
                    let process = try vault.sandbox.start(
                        "rotate", "vault", "--yes", dyingAt: "\(point.rawValue):\(time)")
                    let output = try await process.wait()
                    #expect(output.signal == SIGKILL, "\(note): \(output)")
                    try await vault.expectNothingLost(note)
                    try await vault.finish(note)
                    if time > 1 { try await vault.expectDrivingAgainWritesNothing(note) }
                }
            }
        }

        @Test func anAdoptionGoesOnAfterDyingAtItsFence() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 2000, on: server, isSealed: false)
                for point in ["fenceInstalled", "batchCommitted:2"] {
                    let open = try await server.openRun()
                    let arguments = open.map { ["run", "resume", "\($0)"] } ?? ["adopt", "secret.value", "--yes"]
                    let output = try await vault.sandbox.start(arguments: arguments, dyingAt: point).wait()
                    #expect(output.signal == SIGKILL, "\(point): \(output)")
                    try await vault.expectNothingLost(mayBeClear: true, point)
                }
                try await vault.finish("adopted")
                try await vault.expectDrivingAgainWritesNothing("adopted")
            }
        }

        @Test func rotationsSurviveKillsAtAnyInstant() async throws {
            let seed = UInt64.random(in: 0...UInt64(UInt32.max))
            print("random kills on PostgreSQL: seed \(seed)")
            var random = SeededGenerator(seed: seed)
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 6000, on: server)
                var kills = 0
                while kills < 12 {
                    let open = try await server.openRun()
                    let arguments = open.map { ["run", "resume", "\($0)"] } ?? ["rotate", "vault", "--yes"]
                    let process = try vault.sandbox.start(arguments: arguments)
                    try await Task.sleep(for: .milliseconds(Int.random(in: 20...1500, using: &random)))
                    process.signal(SIGKILL)
                    if try await process.wait().signal == SIGKILL { kills += 1 }
                    try await vault.expectNothingLost("after \(kills) kills")
                }
                try await vault.finish("after \(kills) kills")
                if try await server.text("SELECT max(id) FROM keyturn.runs") != "1" {
                    try await vault.expectDrivingAgainWritesNothing("after \(kills) kills")
                }
            }
        }
    }
}
