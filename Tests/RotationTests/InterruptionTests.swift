internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import StorageSQLite
internal import Testing

/// Leases, restores, cancellations, limits: what stops a run, and what becomes of it.
struct InterruptionTests {
    @Test func aProcessThatLostItsLeaseWritesNoMore() async throws {
        let bench = try await Bench.adopted(rows: 2500)
        let run = try await bench.start(.rotate)
        // As after SIGSTOP: the lease has run out and another node has taken over, then this one wakes up.
        bench.hook.at(.batchCommitted) {
            try bench.application.run("UPDATE keyturn_leases SET epoch = epoch + 1, holder = 'other', node = 'node-2'")
        }
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code == "storeLeaseLost")
        let census = try await bench.census()
        #expect(census.active == 1000, "the batch that was committed before, and none after it")
        let record = try await bench.engine().runHistory(run.id).run
        #expect(record.state == .open && record.phase == .reencrypt, "nor was anything said in the other's run")
        bench.clock.advance(by: .seconds(30))
        #expect(try await bench.drive(run.id).state == .done)
    }

    @Test func noRunIsLeftOpenThatNobodyHereCanDrive() async throws {
        let bench = try await Bench.adopted(rows: 3)
        _ = try await bench.control.write { [now = bench.clock.now()] session in
            try session.takeLease(holder: "b", node: "node-2", until: now.advanced(by: .seconds(15)), now: now)
        }
        let code = await codeThrown { _ = try await bench.start(.rotate) }
        #expect(code == "storeLeaseHeld")
        bench.clock.advance(by: .seconds(20))
        #expect(try await bench.run(.rotate).state == .done)
    }

    @Test(arguments: [DurablePoint.keyActivated, .columnFinished, .proofKept])
    func aCopyTakenDuringARunIsToldFromTheDatabaseItself(point: DurablePoint) async throws {
        let bench = try await Bench.adopted(rows: 5)
        let copy = bench.path("copy.db")
        bench.hook.at(point) { try bench.application.copy(to: copy) }
        #expect(try await bench.run(.rotate).state == .done && bench.hook.problems.isEmpty)
        let restored = ControlStore(engine: try SQLiteEngine(path: copy))
        let engine = try await bench.engine(on: restored)
        let code = await codeThrown { try await engine.requireCurrent() }
        #expect(code == "storeSetBack")
        let sealing = await codeThrown {
            _ = try await engine.seal([1], column: try ColumnPath("secret.value"), row: ["1"])
        }
        #expect(sealing == "storeSetBack")
        #expect(
            try await engine.openStored(column: try ColumnPath("secret.value"), row: ["1"])?.plaintext
                == Bytes("secret 1".utf8))
        let recovery = try await engine.recover()
        #expect(recovery.cancelledRuns.count == 1)
        try await engine.requireCurrent()
        let remembered = await bench.remembered()
        #expect(remembered.epoch == recovery.epoch)
        let old = await codeThrown { try await bench.engine().requireCurrent() }
        #expect(old == "storeSetBack", "the database that was replaced is the other one now")
    }

    @Test func recoveryStrikesDestroyedKeysOutAgainWhateverTheyWere() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let (copy, destroyed) = (bench.path("copy.db"), try await bench.active())
        try bench.application.copy(to: copy)
        #expect(try await bench.run(.rotate).state == .done)
        let seen = await bench.remembered()
        let path = bench.path("journal-after")
        var journal = try NodeJournal(creating: path, with: seen)
        try journal.update { $0.destroyed = [destroyed.description] }
        let restored = ControlStore(engine: try SQLiteEngine(path: copy))
        let stale = try await restored.write { [now = bench.clock.now()] session in
            try session.takeLease(holder: "x", node: "node-1", until: now.advanced(by: .seconds(15)), now: now)
        }
        let engine = try await bench.engine(remembering: journal, on: restored)
        let recovery = try await engine.recover()
        #expect(recovery.destroyedKeys == [destroyed.description])
        let (ring, wraps) = try await restored.read { (try $0.keyring(.main).keyring, try $0.wraps(of: destroyed)) }
        #expect(ring[destroyed]?.state == .destroyed && wraps.isEmpty)
        let code = await codeThrown { try await restored.write { try $0.checkLease(stale) } }
        #expect(code == "storeLeaseLost", "whoever worked on the database before it was set back works on it no more")
    }

    @Test func aDatabaseOfAnotherInstanceIsNotRecovered() async throws {
        let (bench, other) = (try await Bench.adopted(rows: 1), try await Bench.adopted(rows: 1))
        try other.application.run("UPDATE keyturn_instance SET id = 'another'")
        let code = await codeThrown { _ = try await bench.engine(on: other.control).recover() }
        #expect(code == "storeSetBack")
    }

    @Test func aKeyIsNamedByItsRunOnlyOnceItIsStored() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let run = try await bench.start(.rotate)
        try bench.application.run(
            "CREATE TRIGGER full BEFORE INSERT ON keyturn_key_versions BEGIN SELECT RAISE(ABORT, 'no'); END")
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code == "storeRowRefused")
        let left = try await bench.engine().runHistory(run.id).run
        #expect(left.newKey == nil && left.state == .needsOperator)
        try bench.application.run("DROP TRIGGER full")
        #expect(try await bench.drive(run.id).state == .done)
    }

    @Test(arguments: [DurablePoint.keyCommitted, .fenceInstalled])
    func cancellingBeforeTheActivationLeavesNothingBehind(point: DurablePoint) async throws {
        let bench = try await Bench.adopted(rows: 3)
        let (active, stored) = (try await bench.active(), try bench.application.texts("SELECT value FROM secret"))
        let run = try await bench.start(.rotate)
        let interrupt = Interrupt()
        bench.hook.at(point) { interrupt.set() }
        _ = try await bench.drive(run.id, interrupt: interrupt)
        try await bench.engine().ask(.cancel, of: run.id)
        // The moment at which a crash would find the run ended and its key alive.
        bench.hook.at(.phaseRecorded, always: true) {
            let cancelled = try bench.application.number("SELECT count(*) FROM keyturn_runs WHERE state = 'cancelled'")
            let waiting = try bench.application.number(
                "SELECT count(*) FROM keyturn_key_versions WHERE state = 'preActivation'")
            if cancelled > 0, waiting > 0 { throw CancellationError() }
        }
        #expect(try await bench.drive(run.id).state == .cancelled)
        #expect(bench.hook.problems.isEmpty, "\(bench.hook.problems)")
        let ring = try await bench.ring()
        #expect(ring.active?.id == active && ring.versions.allSatisfy { $0.state == .active || $0.state == .destroyed })
        #expect(try bench.application.number("SELECT count(*) FROM keyturn_wraps") == 1)
        #expect(try bench.application.texts("SELECT value FROM secret") == stored)
        bench.hook.clear()
        #expect(try await bench.run(.rotate).state == .done)
    }

    @Test func pausingKeepsThePlaceAndResumingGoesOn() async throws {
        let bench = try await Bench.adopted(rows: 2500)
        let run = try await bench.start(.rotate)
        bench.hook.at(.batchCommitted) {
            try bench.application.run("UPDATE keyturn_runs SET request = 'pause' WHERE id = \(run.id)")
        }
        let paused = try await bench.drive(run.id)
        #expect(paused.state == .paused && paused.phase == .reencrypt)
        #expect(try await bench.drive(run.id).state == .paused, "until somebody takes the request back")
        try await bench.engine().ask(.none, of: run.id)
        #expect(try await bench.drive(run.id).state == .done)
        let written = try await bench.engine().runHistory(run.id).progress.reduce(0) { $0 + $1.counts.written }
        #expect(written == 2500)
        let code = await codeThrown { try await bench.engine().ask(.pause, of: run.id) }
        #expect(code == "callerRunState")
    }

    @Test func aCoreThatMaySealNoMoreStopsTheRunWhereItIs() async throws {
        let bench = try await Bench.make(core: "double", context: .row)
        try bench.fill(1400)
        let run = try await bench.start(.adopt)
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code == "keySealsExhausted")
        #expect(try await bench.engine().runHistory(run.id).run.state == .needsOperator)
        let census = try await bench.census()
        #expect(census.active <= 1000 && census.active + census.plaintext == 1400)
    }

    @Test func thePolicysLimitMakesARotationDueAndDoesNotStopOne() async throws {
        let bench = try await Bench.adopted(rows: 60, policy: KeyringPolicy(maxSeals: 50))
        #expect(try await bench.run(.rotate).state == .done)
        let status = try #require(try await bench.engine().status(counts: false))
        let version = try #require(status.keyrings.first?.versions.last)
        #expect(version.sealsReserved == 60, "what was reserved and not used is given back")
        #expect(status.keyrings.first?.due.count == 1)
        let code = await codeThrown { _ = try await bench.sealed("x", row: 1) }
        #expect(code == "keySealsExhausted")
    }

    @Test func aColumnThatVanishesStopsTheRunUntilItIsBack() async throws {
        let bench = try await Bench.adopted(rows: 1500)
        let run = try await bench.start(.rotate)
        bench.hook.at(.keyActivated) { try bench.application.run("ALTER TABLE secret RENAME TO gone") }
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code == "callerPlanStale")
        try bench.application.run("ALTER TABLE gone RENAME TO secret")
        #expect(try await bench.drive(run.id).state == .done)
        let census = try await bench.census()
        #expect(census.active == 1500 && census.isClean)
    }

    @Test func aTriggerThatChangesValuesIsNoticedBeforeCommit() async throws {
        let bench = try await Bench.adopted(rows: 3, core: "fernet")
        try bench.application.run(
            """
            CREATE TRIGGER meddles AFTER UPDATE OF value ON secret WHEN NEW.value NOT LIKE '%!'
            BEGIN UPDATE secret SET value = NEW.value || '!' WHERE id = NEW.id; END
            """)
        let stored = try bench.application.texts("SELECT value FROM secret")
        let code = await codeThrown { try await bench.run(.rotate) }
        #expect(code == "storeValueAltered")
        #expect(try bench.application.texts("SELECT value FROM secret") == stored)
    }

    @Test func aConversionCannotBeLeftHalfWay() async throws {
        let bench = try await Bench.adopted(rows: 1500)
        let other = KeyringDeclaration(name: try Name("other"), core: "fernet", provider: try Name("local"))
        try await bench.configure { $0.keyrings.append(other) }
        let engine = try await bench.engine()
        let request = PlanRequest(kind: .convert, keyring: other.name, columnIDs: [1])
        let run = try await engine.start(try await engine.plan(request), for: request)
        let interrupt = Interrupt()
        bench.hook.at(.batchCommitted) { interrupt.set() }
        _ = try await bench.drive(run.id, interrupt: interrupt)
        let code = await codeThrown { try await bench.engine().ask(.cancel, of: run.id) }
        #expect(code == "callerRunState")
        #expect(try await bench.drive(run.id).state == .done)
    }

    @Test func rewrappingDropsNoCopyWithoutAProvenSuccessor() async throws {
        let bench = try await Bench.adopted(rows: 2)
        let request = PlanRequest(kind: .rewrap, keyring: .main, makesNewRoot: true)
        let engine = try await bench.engine()
        let run = try await engine.start(try await engine.plan(request), for: request)
        // The provider turns to yet another key once the copies under the last one were proven.
        let interrupt = Interrupt()
        bench.hook.at(.phaseRecorded, always: true) {
            let phase = try bench.application.text("SELECT phase FROM keyturn_runs WHERE id = \(run.id)")
            if phase == "retire" { interrupt.set() }
        }
        _ = try await bench.drive(run.id, interrupt: interrupt)
        try bench.provider.turn(at: bench.clock.now())
        bench.hook.clear()
        #expect(try await bench.drive(run.id).phase == .done)
        #expect(try bench.application.number("SELECT count(*) FROM keyturn_wraps") > 0)
        #expect(try await bench.opened(1) == "secret 1")
    }
}
