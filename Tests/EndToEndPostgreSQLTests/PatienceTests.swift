import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

/// What takes as long as Keyturn waits for others; one beside the other, since all of them do little else.
@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PatienceTests {
    @Test func aHindranceStandsInTheHistoryAndSettlingWaitsForWhomItNames() async throws {
        try await withServerInstance { server in
            let vault = try await ServerVault.made(rows: 2000, on: server)
            let reader = try server.connect()
            try reader.run("SET application_name = 'report'")
            try reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM secret")
            let writer = try server.connect()
            try writer.run("CREATE TABLE other (id integer)")
            try writer.run("BEGIN; INSERT INTO other VALUES (1); PREPARE TRANSACTION 'left over'")
            try await Task.sleep(for: .seconds(6))

            let process = try vault.sandbox.start("rotate", "vault", "--yes", "-o", "json")
            try await server.waitFor("EXISTS (SELECT FROM keyturn.runs WHERE id = 2 AND phase = 'settle')")
            let history = try await server.history(of: 2)
            #expect(history.contains("warning:") && history.contains("report"), "\(history)")
            try await Task.sleep(for: .seconds(1))
            #expect(process.isRunning, "it waits for both")
            try reader.run("COMMIT")
            try await Task.sleep(for: .milliseconds(500))
            #expect(process.isRunning, "it waits for the prepared one")

            // It does not wait for ever, and says for whom it did.
            let output = try await process.wait(limit: .seconds(100))
            #expect(output.exitCode == 2, "\(output)")
            #expect(output.standardOutput.contains("prepared transaction 'left over'"), "\(output)")
            #expect(try await server.text("SELECT state FROM keyturn.runs WHERE id = 2") == "needsOperator")
            #expect(try await server.history(of: 2).contains("left over"))
            try await vault.expectNothingLost("settling in vain")
            try writer.run("COMMIT PREPARED 'left over'")
            try await vault.finish("once the transaction had ended")
        }
    }

    /// Another node waits for the lease to end, and says for whose.
    @Test func aHolderWhoseLeaseRanOutWritesNothingWhenItWakes() async throws {
        try await withServerInstance { server in
            let vault = try await ServerVault.made(rows: 2500, on: server)
            let sleeper = try await vault.rotating()
            sleeper.signal(SIGSTOP)
            let copy = try vault.copyInstance(asNode: "00000000-0000-4000-8000-000000000002")
            let early = try await vault.sandbox.keyturn("run", "resume", "2", "--instance", copy)
            #expect(early.exitCode == 2, "\(early)")
            #expect(
                early.standardError.contains("process \(sleeper.pid) works on this database, until"), "\(early)")
            try await vault.expectNothingLost("beside a holder that sleeps")
            try await server.waitFor("(SELECT expires_at::timestamptz FROM keyturn.leases) < clock_timestamp()")
            let other = try await vault.sandbox.keyturn("run", "resume", "2", "-o", "json", "--instance", copy)
            #expect(other.exitCode == 0 && other.json.result.summary.state.string == "done", "\(other)")
            try await vault.expectNothingWritten(by: sleeper, copy)
        }
    }

    /// Its connections stand and nobody answers: the run takes it for lost, and it is as if it had gone away.
    ///
    /// That takes more than three minutes, so it belongs to `make endurance`.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["KEYTURN_ENDURANCE"] != nil, "only in make endurance"))
    func aServerThatHangsEndsARunThatCanBeResumed() async throws {
        let cluster = try PostgreSQLCluster()
        defer { cluster.dispose() }
        try await withServerInstance(in: cluster) { server in
            let vault = try await ServerVault.made(rows: 3000, on: server)
            let process = try await vault.rotating()
            try cluster.freeze()
            defer { cluster.thaw() }
            let output = try await process.wait(limit: .seconds(480))
            #expect(output.exitCode != nil && output.exitCode != 0, "\(output)")
            #expect(output.standardError.contains("waiting for it"), "\(output)")
            cluster.thaw()
            let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
            try await again.expectNothingLost("the server hung")
            try await again.finish("the server went on")
            try await again.expectDrivingAgainWritesNothing("the server went on")
        }
    }

    @Test func aServerThatHangsForAWhileDoesNotEndTheRun() async throws {
        let cluster = try PostgreSQLCluster()
        defer { cluster.dispose() }
        try await withServerInstance(in: cluster) { server in
            let vault = try await ServerVault.made(rows: 3000, on: server)
            let process = try await vault.rotating()
            try cluster.freeze()
            defer { cluster.thaw() }
            let deadline = ContinuousClock.now + .seconds(150)
            while !process.errorSoFar.contains("waiting for it"), ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(process.errorSoFar.contains("waiting for it"), "\(process.errorSoFar)")
            cluster.thaw()
            let output = try await process.wait(limit: .seconds(120)).expecting()
            #expect(output.json.result.summary.state.string == "done", "\(output)")
            try await vault.expectFinished("the server went on")
            try await vault.expectDrivingAgainWritesNothing("the server went on")
        }
    }

    @Test func aServerThatStaysAwayEndsARunThatCanBeResumed() async throws {
        let cluster = try PostgreSQLCluster(settings: ["fsync = on"])
        try await withServerInstance(in: cluster) { server in
            let vault = try await ServerVault.made(rows: 3000, on: server)
            let process = try await vault.rotating()
            try cluster.stop()
            let output = try await process.wait(limit: .seconds(90))
            #expect(output.exitCode != nil && output.exitCode != 0, "\(output)")
            let hints = ["keyturn run resume 2", "cannot be asked"]
            #expect(hints.contains { output.standardError.contains($0) }, "\(output)")
            try cluster.start()
            let again = ServerVault(server: try server.reconnected(), plaintexts: vault.plaintexts)
            try await again.expectNothingLost("the server stayed away")
            try await again.finish("the server came back")
        }
    }
}
