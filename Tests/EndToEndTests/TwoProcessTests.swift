import Foundation
import KR1
import Testing
import ToolTesting

extension EndToEnd {
    /// What one terminal may do to a run that works in another.
    @Suite struct TwoProcessTests {
        /// A vault with a rotation that works in another process and takes some seconds.
        private func working(_ more: String...) async throws -> (Vault, RunningProgram) {
            let vault = try await Vault.adopted(rows: 1500)
            let arguments = ["rotate", "vault", "--yes", "--rows-per-second", "400", "-o", "json"] + more
            let process = try vault.sandbox.start(arguments: arguments)
            try await vault.database.waitFor(
                "SELECT count(*) FROM keyturn_run_windows WHERE run_id = 2 AND rows_written > 0")
            return (vault, process)
        }

        private func waitForState(_ state: String, of run: Int, _ vault: Vault) async throws {
            try await vault.database.waitFor(
                "SELECT count(*) FROM keyturn_runs WHERE id = \(run) AND state = '\(state)'")
        }

        @Test func aSecondRotationIsRefusedAndNamesTheFirst() async throws {
            let (vault, process) = try await working()
            let second = try await vault.sandbox.keyturn("rotate", "vault", "--yes")
            #expect(second.exitCode == 2 || second.exitCode == 3, "\(second)")
            #expect(second.standardError.contains("process \(process.pid)"), "\(second)")
            #expect(second.standardError.contains("hint: "), "\(second)")
            let first = try await process.wait().expecting()
            #expect(first.json.result.summary.state.string == "done")
            #expect(try vault.database.integer("SELECT count(*) FROM keyturn_runs") == 2)
            try await vault.expectFinished("beside a refused rotation")
        }

        @Test func aRunPausesAndGoesOn() async throws {
            let (vault, process) = try await working()
            _ = try await vault.sandbox.keyturn("run", "pause", "2").expecting()
            try await waitForState("paused", of: 2, vault)
            let before = try vault.stored()
            try await Task.sleep(for: .milliseconds(600))
            #expect(try vault.stored() == before && process.isRunning, "a paused run writes nothing")
            let resumed = try await vault.sandbox.keyturn("run", "resume", "2").expecting()
            #expect(resumed.standardOutput.contains("goes on in"), "\(resumed)")
            let first = try await process.wait().expecting()
            #expect(first.json.result.summary.state.string == "done")
            try await vault.expectFinished("after a pause")
        }

        @Test func aPausedRunWhoseProcessDiedIsTakenUp() async throws {
            let (vault, process) = try await working()
            _ = try await vault.sandbox.keyturn("run", "pause", "2").expecting()
            try await waitForState("paused", of: 2, vault)
            process.signal(SIGKILL)
            _ = try await process.wait()
            let resumed = try await vault.sandbox.keyturn("run", "resume", "2", "-o", "json").expecting()
            #expect(resumed.json.result.summary.state.string == "done")
            try await vault.expectFinished("after a pause and a kill")
        }

        @Test func anInterruptLeavesARunReadyToBeResumed() async throws {
            let (vault, process) = try await working()
            process.signal(SIGINT)
            #expect(try await process.wait(limit: .seconds(10)).exitCode == 130)
            _ = try await vault.sandbox.keyturn("run", "resume", "2").expecting()
            try await vault.expectFinished("after an interrupt")
        }

        @Test func cancellingAfterTheActivationOnlyStops() async throws {
            let (vault, process) = try await working()
            let refused = try await vault.sandbox.keyturn("run", "cancel", "2")
            #expect(refused.exitCode == 3, "without --yes nobody is there to confirm: \(refused)")
            _ = try await vault.sandbox.keyturn("run", "cancel", "2", "--yes").expecting()
            let first = try await process.wait()
            #expect(first.exitCode == 1 && first.json.result.summary.state.string == "cancelled", "\(first)")
            var random = SeededGenerator(seed: 1)
            try await vault.expectNothingLost(mayBeClear: false, using: &random, "cancelled")
            #expect(Set(try vault.stored().values.map { $0.prefix(12) }).count == 2, "values lie under two keys")
            #expect(try await vault.sandbox.keyturn("verify").exitCode == 1)
            _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes").expecting()
            try await vault.expectFinished("after a cancelled rotation")
        }

        @Test func anEmergencyTakesOverARoutineRun() async throws {
            let (vault, process) = try await working()
            let output = try await vault.sandbox.keyturn("rotate", "vault", "--emergency", "--yes", "-o", "json")
                .expecting()
            #expect(output.json.result.summary.state.string == "done")
            #expect(output.json.result.summary.urgency.string == "emergency")
            let first = try await process.wait()
            #expect(first.exitCode == 1 && first.json.result.summary.state.string == "cancelled", "\(first)")
            let detail = try await vault.sandbox.keyturn("keyring", "show", "vault", "-o", "json").expecting().json
                .result
            #expect(detail.versions.array.compactMap(\.state.string) == ["deactivated", "compromised", "active"])
            try await vault.expectFinished("after an emergency")
        }

        @Test func anEmergencyTakesOverARunWhoseProcessDied() async throws {
            let (vault, process) = try await working()
            process.signal(SIGKILL)
            _ = try await process.wait()
            let clock = ContinuousClock()
            let took = try await clock.measure {
                _ = try await vault.sandbox.keyturn("rotate", "vault", "--emergency", "--yes").expecting()
            }
            #expect(took < .seconds(12), "a dead process is not waited for")
            try await vault.expectFinished("after an emergency")
        }
    }

    /// Keyrings whose keys an application holds itself.
    @Suite struct ConsumerTests {
        private let consumers = #", consumers = { "web" }"#

        private func waitForConsumer(in phase: String, run: Int, _ airflow: Airflow) async throws {
            try await airflow.database.waitFor(
                "SELECT count(*) FROM keyturn_runs WHERE id = \(run) AND state = 'waiting' AND phase = '\(phase)'")
        }

        @Test func aRunWaitsForItsConsumerTwice() async throws {
            let airflow = try await Airflow.adopted(more: consumers)
            let before = try airflow.storedValues()
            let process = try airflow.sandbox.start("rotate", "airflow", "--yes", "-o", "json")
            try await waitForConsumer(in: "publish", run: 1, airflow)
            let published = try await airflow.exportedKeys()
            #expect(published.count == 2 && published.first == airflow.oldKey, "old first, new second")

            let wrong = try await airflow.sandbox.keyturn("run", "ack", "1", "--consumer", "wbe", "--yes")
            #expect(wrong.exitCode == 1 && wrong.standardError.contains("hint: "), "\(wrong)")
            #expect(wrong.standardError.contains("web"), "the hint names the consumers: \(wrong)")
            #expect(process.isRunning)

            _ = try await airflow.sandbox.keyturn("run", "ack", "1", "--consumer", "web", "--yes").expecting()
            try await waitForConsumer(in: "activate", run: 1, airflow)
            #expect(try await airflow.exportedKeys() == published.reversed(), "new first, old second")
            #expect(
                try airflow.storedValues() == before, "no row is touched before the consumer seals with the new key")
            _ = try await airflow.sandbox.keyturn("run", "ack", "1", "--consumer", "web", "--yes").expecting()

            let output = try await process.wait().expecting()
            #expect(output.json.result.summary.state.string == "done")
            #expect(try await airflow.exportedKeys() == [published[1]])
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)
        }

        @Test func cancellingBeforeTheActivationDiscardsTheNewKey() async throws {
            let airflow = try await Airflow.adopted(more: consumers)
            let before = try airflow.storedValues()
            let process = try airflow.sandbox.start("rotate", "airflow", "--yes", "-o", "json")
            try await waitForConsumer(in: "publish", run: 1, airflow)
            let discarded = try await airflow.exportedKeys()[1]
            _ = try await airflow.sandbox.keyturn("run", "cancel", "1", "--yes").expecting()
            let first = try await process.wait()
            #expect(first.exitCode == 1 && first.json.result.summary.state.string == "cancelled", "\(first)")
            #expect(try await airflow.exportedKeys() == [airflow.oldKey])
            #expect(try airflow.storedValues() == before)
            let detail = try await airflow.sandbox.keyturn("keyring", "show", "airflow", "-o", "json").expecting().json
                .result
            #expect(detail.versions.array.compactMap(\.state.string) == ["active", "destroyed"])
            #expect(
                try airflow.database.integer("SELECT count(*) FROM keyturn_wraps") == 1,
                "the discarded key's copy is gone")

            let waits = try await airflow.sandbox.keyturn("rotate", "airflow", "--yes", "--no-wait", "-o", "json")
                .expecting()
            #expect(waits.json.result.summary.state.string == "waiting")
            let next = try await airflow.exportedKeys()
            #expect(next.count == 2 && next[0] == airflow.oldKey && next[1] != discarded)
            for _ in 0..<2 {
                _ = try await airflow.sandbox.keyturn("run", "ack", "2", "--consumer", "web", "--yes").expecting()
                _ = try await airflow.sandbox.keyturn("run", "resume", "2", "--no-wait").expecting()
            }
            #expect(try await airflow.exportedKeys() == [next[1]])
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)
        }

        @Test func aDiscardedKeyDoesNotComeBackWithAnOlderDatabase() async throws {
            let airflow = try await Airflow.adopted(more: consumers)
            let sandbox = airflow.sandbox
            _ = try await sandbox.keyturn("rotate", "airflow", "--yes", "--no-wait").expecting()
            let (live, older) = (sandbox.path("airflow.db"), sandbox.path("older.db"))
            try FileManager.default.copyItem(atPath: live, toPath: older)
            _ = try await sandbox.keyturn("run", "cancel", "1", "--yes").expecting()
            // Byte for byte into the same file, as a restore does, since connections to it are open.
            try Data(contentsOf: URL(filePath: older)).write(to: URL(filePath: live))

            let refused = try await sandbox.keyturn("rotate", "airflow", "--yes")
            #expect(refused.exitCode == 3 && refused.standardError.contains("keyturn recover"), "\(refused)")
            let recovered = try await sandbox.keyturn("recover", "--yes", "-o", "json").expecting().json.result
            #expect(recovered.cancelledRuns.array.count == 1 && recovered.destroyedKeys.array.count == 1)
            let detail = try await sandbox.keyturn("keyring", "show", "airflow", "-o", "json").expecting().json.result
            #expect(detail.versions.array.compactMap(\.state.string) == ["active", "destroyed"])
            #expect(try await airflow.exportedKeys() == [airflow.oldKey])
        }

        @Test func anEmergencyReplacesARunThatWaits() async throws {
            let airflow = try await Airflow.adopted(more: consumers)
            _ = try await airflow.sandbox.keyturn("rotate", "airflow", "--yes", "--no-wait").expecting()
            let discarded = try await airflow.exportedKeys()[1]
            _ = try await airflow.sandbox.keyturn("rotate", "airflow", "--emergency", "--yes", "--no-wait").expecting()
            let keys = try await airflow.exportedKeys()
            #expect(keys.count == 2 && keys[0] == airflow.oldKey && keys[1] != discarded)
            for _ in 0..<2 {
                _ = try await airflow.sandbox.keyturn("run", "ack", "2", "--consumer", "web", "--yes").expecting()
                _ = try await airflow.sandbox.keyturn("run", "resume", "2", "--no-wait").expecting()
            }
            #expect(try await airflow.exportedKeys() == [keys[1]])
            #expect(try await airflow.sandbox.keyturn("verify").exitCode == 0)
        }
    }
}
