import Foundation
import KR1
import Testing
import ToolTesting

extension EndToEnd {
    /// The process is killed at instants that nobody chose.
    @Suite struct RandomKillTests {
        private static let rows = 3000

        /// `KEYTURN_CRASH_ROUNDS`: how many kills must strike a working process.
        private static var rounds: Int {
            ProcessInfo.processInfo.environment["KEYTURN_CRASH_ROUNDS"].flatMap { Int($0) } ?? 40
        }

        /// `KEYTURN_CRASH_SEED`: repeats the instants of another time.
        private static func seed() -> UInt64 {
            let seed = ProcessInfo.processInfo.environment["KEYTURN_CRASH_SEED"].flatMap { UInt64($0) }
            let chosen = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
            print("random kills: KEYTURN_CRASH_SEED=\(chosen)")
            return chosen
        }

        @Test func runsSurviveKillsAtAnyInstant() async throws {
            var random = SeededGenerator(seed: Self.seed())
            var kills = 0
            while kills < Self.rounds {
                let vault = try await Vault.made(rows: Self.rows)
                kills += try await finish(["adopt", "secret.value", "--yes"], vault, mayBeClear: true, &random)
                for _ in 0..<3 where kills < Self.rounds {
                    kills += try await finish(["rotate", "vault", "--yes"], vault, mayBeClear: false, &random)
                }
            }
            print("random kills: \(kills) struck a working process")
        }

        /// Brings a piece of work to its end through as many kills as strike it, and says how many did.
        private func finish(
            _ command: [String], _ vault: Vault, mayBeClear: Bool, _ random: inout SeededGenerator
        ) async throws -> Int {
            let runs = try newest(vault)
            var kills = 0
            var isDone = false
            while !isDone {
                let open = try await vault.openRun()
                if open == nil, try newest(vault) > runs { break }
                let process = try start(open.map { ["run", "resume", "\($0)"] } ?? command, vault.sandbox)
                // Most kills fall into the work; some before it, a few behind it.
                let output = try await end(process, after: .milliseconds(Int.random(in: 5...700, using: &random)))
                isDone = output.signal == nil
                if isDone { #expect(output.exitCode == 0, "\(output)") } else { kills += 1 }
                try await vault.expectNothingLost(mayBeClear: mayBeClear, using: &random, "after \(kills) kills")
            }
            let run = try newest(vault)
            try await vault.expectFinished("run \(run) of \(command)")
            if kills > 0 { try await vault.expectDrivingAgainWritesNothing(run, "run \(run) of \(command)") }
            return kills
        }

        @Test func initAndImportSurviveKillsAtAnyInstant() async throws {
            var random = SeededGenerator(seed: Self.seed())
            for round in 1...max(6, Self.rounds / 5) {
                let airflow = try Airflow()
                try await repeatUntilDone(["init", "--config", "keyturn.lua"], airflow.sandbox, &random) {
                    $0.exitCode == 3 && $0.standardError.contains("belongs to instance")
                }
                try await repeatUntilDone(
                    ["keyring", "import", "airflow", "--core", "fernet", "--from-file", "key.txt"], airflow.sandbox,
                    &random
                ) { $0.exitCode == 1 && $0.standardError.contains("it has keys already") }
                #expect(try await airflow.exportedKeys() == [airflow.oldKey], "round \(round)")
                let verified = try await airflow.sandbox.keyturn("verify", "-o", "json")
                #expect(verified.exitCode == 0, "round \(round): \(verified)")
            }
        }

        /// Repeats a command that is killed, until it is done or says that it was done already.
        private func repeatUntilDone(
            _ command: [String], _ sandbox: Sandbox, _ random: inout SeededGenerator, wasDone: (ProgramOutput) -> Bool
        ) async throws {
            for _ in 0..<3 {
                let delay = Duration.milliseconds(Int.random(in: 1...90, using: &random))
                let output = try await end(try start(command, sandbox), after: delay)
                if output.signal == nil {
                    #expect(output.exitCode == 0 || wasDone(output), "\(output)")
                    return
                }
            }
            let output = try await start(command, sandbox).wait()
            #expect(output.exitCode == 0 || wasDone(output), "\(output)")
        }

        /// Kills a process after a while, unless it has ended by then.
        private func end(_ process: RunningProgram, after delay: Duration) async throws -> ProgramOutput {
            let deadline = ContinuousClock.now + delay
            while process.isRunning, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(1)) }
            process.signal(SIGKILL)
            return try await process.wait()
        }

        private func start(_ command: [String], _ sandbox: Sandbox) throws -> RunningProgram {
            try sandbox.start(arguments: command)
        }

        private func newest(_ vault: Vault) throws -> Int {
            try vault.database.integer("SELECT coalesce(max(id), 0) FROM keyturn_runs") ?? 0
        }
    }
}
