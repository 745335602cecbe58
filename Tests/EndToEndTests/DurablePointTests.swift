import Foundation
import Rotation
import Testing
import ToolTesting

extension EndToEnd {
    /// The process is killed right after each durable instant, and the run is taken up again.
    @Suite struct DurablePointTests {
        /// What is under way when the process dies.
        enum Work: String, CaseIterable {
            case adopt, rotate, rewrap
        }

        @Test(arguments: DurablePoint.allCases)
        func nothingIsLostAt(point: DurablePoint) async throws {
            var random = SeededGenerator(seed: 7)
            if point == .missesCommitted { return try await dieWhileContested() }
            if point == .intentRecorded { return try await dieBeforeAnythingIsDone() }
            var hits = 0
            for work in Work.allCases where reaches(point, work) {
                hits += try await dieAgainAndAgain(at: point, in: work, &random)
            }
            #expect(hits > 0, "nothing ever reaches \(point.rawValue)")
        }

        /// Dies between the audit log's intent and the effect: nothing was done, and the log says so afterwards.
        private func dieBeforeAnythingIsDone() async throws {
            let vault = try await Vault.adopted(rows: 100)
            let before = try vault.stored()
            let output = try await start(.rotate, vault, dyingAt: "intentRecorded").wait()
            #expect(output.signal == SIGKILL, "\(output)")
            #expect(try vault.stored() == before && newest(vault) == 1)
            let sandbox = vault.sandbox
            let log = try await sandbox.keyturn("call", "audit.list", "1", "-o", "json").expecting().json.result.array
            #expect(log.first?.kind.string == "intent" && log.first?.call.string == "rotations.rotate")
            _ = try await sandbox.keyturn("rotate", "vault", "--yes").expecting()
            let later = try await sandbox.keyturn("call", "audit.list", "-o", "json").expecting().json.result.array
            let unknown = later.filter { $0.result.string == "unknown" }
            #expect(unknown.count == 1 && unknown.first?.intent.integer == log.first?.number.integer)
            _ = try await sandbox.keyturn("call", "audit.verify").expecting()
            try await vault.expectFinished("after an intent without an effect")
        }

        private func reaches(_ point: DurablePoint, _ work: Work) -> Bool {
            switch point {
            case .runRecorded, .phaseRecorded, .runFinished: true
            case .intentRecorded: false
            case .fenceInstalled: work == .adopt
            case .rootKeyMade, .keyRewrapped: work == .rewrap
            default: work != .rewrap
            }
        }

        /// Dies at the first, the second, … time that a point is reached, and finishes the run each time.
        private func dieAgainAndAgain(
            at point: DurablePoint, in work: Work, _ random: inout SeededGenerator
        ) async throws -> Int {
            let most = point == .phaseRecorded && work == .rotate ? 20 : point == .batchCommitted ? 2 : 1
            var vault = try await Vault.adopted(rows: 1)
            for time in 1...most {
                if time == 1 || work == .adopt {
                    vault = try await work == .adopt ? Vault.made(rows: 1200) : Vault.adopted(rows: 1200)
                }
                let note = "\(work.rawValue), dying at \(point.rawValue):\(time)"
                let output = try await start(work, vault, dyingAt: "\(point.rawValue):\(time)").wait()
                guard output.signal == SIGKILL else {
                    #expect(time > 1 && output.exitCode == 0, "\(note): not reached: \(output)")
                    return time - 1
                }
                try await vault.expectNothingLost(mayBeClear: work == .adopt, using: &random, note)
                if let run = try await vault.openRun() {
                    _ = try await vault.sandbox.keyturn("run", "resume", "\(run)").expecting()
                }
                try await vault.expectFinished(note)
                if time == 1, work != .rewrap { try await vault.expectDrivingAgainWritesNothing(newest(vault), note) }
            }
            return most
        }

        private func start(_ work: Work, _ vault: Vault, dyingAt point: String) throws -> RunningProgram {
            switch work {
            case .adopt: try vault.sandbox.start("adopt", "secret.value", "--yes", dyingAt: point)
            case .rotate: try vault.sandbox.start("rotate", "vault", "--yes", dyingAt: point)
            case .rewrap: try vault.sandbox.start("rewrap", "vault", "--new-root", "--yes", dyingAt: point)
            }
        }

        private func newest(_ vault: Vault) throws -> Int {
            try vault.database.integer("SELECT max(id) FROM keyturn_runs") ?? 0
        }

        /// Writes a row between its being read and its being replaced, so that it has to be tried again.
        private func dieWhileContested() async throws {
            let airflow = try await Airflow.adopted()
            let before = try await airflow.read(with: airflow.oldKey)
            let token = try await airflow.sandbox.python("fernet.py", "seal", airflow.oldKey, input: "meanwhile").line
            let last = try #require(
                try airflow.database.integer(
                    "SELECT max(id) FROM connection WHERE is_encrypted AND password IS NOT NULL"))
            let process = try airflow.sandbox.start(
                "rotate", "airflow", "--yes", "--rows-per-second", "200", dyingAt: DurablePoint.missesCommitted.rawValue
            )
            try await airflow.database.waitFor("SELECT count(*) FROM keyturn_run_windows WHERE rows_written > 0")
            try airflow.database.run("UPDATE connection SET password = ? WHERE id = ?", [token, last])
            let output = try await process.wait()
            #expect(output.signal == SIGKILL, "\(output)")

            let resumed = try await airflow.sandbox.keyturn("run", "resume", "1", "-o", "json").expecting().json.result
            #expect(resumed.rowsMissed.integer ?? 0 >= 1)
            var after = try await airflow.read(with: try #require(try await airflow.exportedKeys().first))
            let touched = "connection.password/\(last)"
            #expect(after[touched]?.opens == true && after[touched] != before[touched])
            after[touched] = before[touched]
            #expect(after == before)
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)
        }
    }
}
