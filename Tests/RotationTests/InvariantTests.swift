internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import Testing

/// The invariants of a run, each with what tries to break it.
struct InvariantTests {
    /// 1. No row is ever sealed under a key that is not durably stored and unwrappable.
    @Test(arguments: TestProvider.Fault.allCases.filter { $0 != .nothing })
    func noRowIsSealedWhileTheNewKeyCannotBeProvenDurable(fault: TestProvider.Fault) async throws {
        let bench = try await Bench.adopted(rows: 5)
        let active = try await bench.active()
        let before = try bench.application.texts("SELECT value FROM secret ORDER BY id")
        let run = try await bench.start(.rotate)
        bench.provider.fault = fault
        if fault == .unwrapsOtherLater || fault == .unwrapsOther || fault == .unwrapsNothing {
            bench.provider.fault = .nothing
            bench.hook.at(.phaseRecorded, time: 3) { bench.provider.fault = fault }
        }
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code != nil)
        #expect(try bench.application.texts("SELECT value FROM secret ORDER BY id") == before)
        let now = try await bench.active()
        #expect(now == active, "the old key still seals")
        bench.provider.fault = .nothing
        let taken = try await bench.engine().runHistory(run.id).run.state.isOpen
        let after = taken ? try await bench.drive(run.id) : try await bench.run(.rotate)
        #expect(after.state == .done)
        try await bench.expectAllUnderActive(rows: 5)
    }

    @Test(arguments: [DurablePoint.keyCommitted, .keyActivated, .batchCommitted], ["kr1", "fernet"])
    func noRowIsSealedUnderOtherMaterialAfterARestart(point: DurablePoint, core: String) async throws {
        for fault in [TestProvider.Fault.down, .unwrapsNothing, .unwrapsOther] {
            let bench = try await Bench.adopted(rows: 1500, core: core)
            let run = try await bench.start(.rotate)
            let interrupt = Interrupt()
            bench.hook.at(point) { interrupt.set() }
            let left = try await bench.drive(run.id, interrupt: interrupt)
            #expect(left.state == .open)
            bench.provider.fault = fault
            let before = try bench.application.texts("SELECT value FROM secret ORDER BY id")
            let active = try await bench.ring().active?.id
            let code = await codeThrown { try await bench.drive(run.id) }
            #expect(code == "keyNotUnwrapped", "\(fault)")
            #expect(try bench.application.texts("SELECT value FROM secret ORDER BY id") == before, "\(fault)")
            let still = try await bench.ring().active?.id
            #expect(still == active, "no key became active that does not unwrap")
            bench.provider.fault = .nothing
            #expect(try await bench.drive(run.id).state == .done)
            let census = try await bench.census()
            #expect(census.active == 1500 && census.isClean)
        }
    }

    /// 2. A concurrent application write is never lost.
    @Test func aWriteBetweenReadAndWriteIsNeverLost() async throws {
        let bench = try await Bench.adopted(rows: 2500, core: "fernet")
        let underOld = try await bench.sealed("changed meanwhile", row: 2400)
        bench.hook.at(.batchCommitted) {
            try bench.put(underOld, row: 2400)
            try bench.application.run("DELETE FROM secret WHERE id = 2401")
            try bench.application.run("UPDATE secret SET value = NULL WHERE id = 2402")
            try bench.application.run("UPDATE secret SET value = '' WHERE id = 2403")
            try bench.application.run("UPDATE secret SET note = 'other columns are no matter' WHERE id = 2404")
        }
        let run = try await bench.run(.rotate)
        #expect(run.state == .done && bench.hook.problems.isEmpty)
        let missed = try await bench.engine().runHistory(run.id).progress.reduce(0) { $0 + $1.counts.missed }
        #expect(missed == 4)
        #expect(try await bench.opened(2400) == "changed meanwhile")
        #expect(try bench.application.number("SELECT count(*) FROM secret") == 2499)
        #expect(try bench.application.texts("SELECT value FROM secret WHERE id IN (2402, 2403)") == ["NULL", ""])
        let census = try await bench.census()
        #expect(census.active == 2497 && census.left == 0)
    }

    /// 3. Every value is reopened and compared in memory before it is written.
    @Test(arguments: ["flips", "cuts", "misplaces", "garbage", "clear"])
    func aCoreThatSealsWronglyWritesNothing(fault: String) async throws {
        let bench = try await Bench.make(core: "double", context: .row)
        try bench.fill(4)
        #expect(try await bench.run(.adopt).state == .done)
        let before = try bench.application.texts("SELECT value FROM secret ORDER BY id")
        try bench.application.run("UPDATE keyturn_keyrings SET options = '{\"fault\":\"\(fault)\"}'")
        let run = try await bench.run(.rotate)
        #expect(run.phase < .retire, "the values are left under the old key, so the run cannot end")
        #expect(try bench.application.texts("SELECT value FROM secret ORDER BY id") == before)
        let reasons = try await bench.engine().runHistory(run.id).quarantined.map(\.reason)
        #expect(reasons == Array(repeating: "internalReadBackDiffers", count: 4))
    }

    /// 4. Driving the same run again writes zero rows; resuming at any instant reaches the same end.
    @Test(arguments: DurablePoint.allCases)
    func aRunThatIsCutOffAtAnyPointReachesTheSameEnd(point: DurablePoint) async throws {
        let bench = try await Bench.adopted(rows: 2100)
        try bench.application.run("UPDATE secret SET is_sealed = 0 WHERE id = 1")
        let run = try await bench.start(.rotate)
        let interrupt = Interrupt()
        bench.hook.at(point) { interrupt.set() }
        var left = try await bench.drive(run.id, interrupt: interrupt)
        if left.state.isOpen { left = try await bench.drive(run.id) }
        #expect(left.state == .done, "\(point): \(left.message ?? "")")
        let census = try await bench.census()
        #expect(census.active == 2100 && census.isClean)
        let stored = try bench.application.texts("SELECT value FROM secret ORDER BY id")
        #expect(try await bench.drive(run.id).state == .done)
        #expect(try bench.application.texts("SELECT value FROM secret ORDER BY id") == stored)
        let written = try await bench.engine().runHistory(run.id).progress.reduce(0) { $0 + $1.counts.written }
        #expect(written == 2100, "no row was written twice, and none was forgotten")
    }

    /// 5. "Done" is a recount: a value under an old key that turns up behind the cursor is found.
    @Test(arguments: [DurablePoint.batchCommitted, .columnFinished, .sweepFinished])
    func aValueThatTurnsUpUnderTheOldKeyIsFound(point: DurablePoint) async throws {
        let bench = try await Bench.adopted(rows: 20, core: "fernet")
        let late = try await bench.sealed("late", row: 3)
        bench.hook.at(point) {
            try bench.application.run("INSERT INTO secret (id, value) VALUES (-1, ?)", texts: [late])
            try bench.put(late, row: 3)
        }
        let run = try await bench.run(.rotate)
        #expect(run.state == .done, "\(run.message ?? "")")
        #expect(try await bench.opened(3) == "late")
        #expect(try await bench.opened(-1) == "late")
        let census = try await bench.census()
        #expect(census.active == 21 && census.left == 0)
        let proof = try statement(of: run)
        #expect(proof.rewritten == 22, "what sweeps wrote counts too")
    }

    @Test func aRowThatMovesBehindTheCursorIsFound() async throws {
        let bench = try await Bench.adopted(rows: 2500, core: "fernet")
        bench.hook.at(.batchCommitted) {
            try bench.application.run("UPDATE secret SET id = -id WHERE id > 2400")
        }
        #expect(try await bench.run(.rotate).state == .done)
        let census = try await bench.census()
        #expect(census.active == 2500 && census.left == 0)
    }

    @Test func someoneWhoKeepsSealingUnderTheOldKeyKeepsItFromRetiring() async throws {
        let bench = try await Bench.adopted(rows: 5, core: "fernet")
        let old = try await bench.active()
        let late = try await bench.sealed("late", row: 3)
        bench.hook.at(.sweepFinished, always: true) { try bench.put(late, row: 3) }
        let run = try await bench.start(.rotate)
        let left = try await bench.drive(run.id)
        #expect(left.state == .needsOperator, "\(left.phase) \(left.state)")
        #expect(try await bench.ring()[old]?.retiredAt == nil)
        bench.hook.clear()
        #expect(try await bench.drive(run.id).state == .done)
        #expect(try await bench.opened(3) == "late")
    }

    /// 6. One value that does not open stops nobody else.
    @Test func oneDamagedValueIsListedAndStopsNobodyElse() async throws {
        let bench = try await Bench.adopted(rows: 10)
        let old = try await bench.active()
        let good = try bench.stored(4)
        try bench.application.run("DROP TRIGGER keyturn_fence_1_update")
        try bench.put(String(good.dropLast(2)) + "AA", row: 4)
        let run = try await bench.run(.rotate)
        #expect(run.state == .doneWithExceptions)
        #expect(try await bench.ring()[old]?.retiredAt == nil)
        try await bench.expectAllUnderActive(rows: 10, except: [4])
        let history = try await bench.engine().runHistory(run.id)
        #expect(history.quarantineCount == 1 && history.quarantined.first?.key.description == "4")
        try bench.application.run("DROP TRIGGER keyturn_fence_1_update")
        try bench.put(good, row: 4)
        let again = try await bench.run(.rotate)
        #expect(again.state == .done, "\(again.message ?? "")")
        #expect(try await bench.ring()[old]?.retiredAt != nil)
        try await bench.expectAllUnderActive(rows: 10)
    }

    /// 7. Batches are short, however many rows there are.
    @Test func noTransactionWritesMoreThanABatch() async throws {
        let bench = try await Bench.adopted(rows: 5200)
        let before = bench.hook.points.count(where: { $0 == .batchCommitted })
        #expect(before == 6, "adoption wrote 5200 rows in batches of a thousand")
    }

    /// 8. A run outlives the process that drives it, and the node.
    @Test func anotherNodeGoesOnWhenTheLeaseHasRunOut() async throws {
        let bench = try await Bench.adopted(rows: 1500)
        let run = try await bench.start(.rotate)
        // A lease that nobody gives back, as after a kill.
        _ = try await bench.control.write { [now = bench.clock.now()] session in
            try session.takeLease(holder: "dead", node: "node-1", until: now.advanced(by: .seconds(15)), now: now)
        }
        let other = try await bench.engine(node: "node-2")
        let options = DriveOptions(waitsForPeople: false)
        let code = await codeThrown { _ = try await other.drive(run.id, options) }
        #expect(code == "storeLeaseHeld")
        bench.clock.advance(by: .seconds(20))
        #expect(try await other.drive(run.id, options).state == .done)
    }

    /// 9. "Nothing left" speaks of live values; the proof lists where old bytes may remain.
    @Test func theProofListsWhereOldBytesMayRemain() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let run = try await bench.run(.rotate)
        let proof = try statement(of: run)
        #expect(proof.oldBytesMayRemainIn == bench.control.engine.placesOfOldBytes)
        #expect(proof.oldBytesMayRemainIn.contains { $0.contains("backups") })
    }

    private func statement(of run: RunRecord) throws -> ProofStatement {
        let signed = try #require(try SignedProof.decode(run.proof))
        return try #require(try ProofStatement.decode(signed.statement))
    }
}
