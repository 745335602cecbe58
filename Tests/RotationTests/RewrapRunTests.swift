internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Storage
internal import Testing

/// Keys on their way under another key-encryption key: what is proven before a copy goes, and what stands in the way.
struct RewrapRunTests {
    /// 1. No copy goes while the one that replaces it does not unwrap.
    @Test(arguments: [TestProvider.Fault.unwrapsOther, .unwrapsNothing, .unusable], [RunPhase.verify, .retire])
    func aCopyThatNoLongerUnwrapsReplacesNone(fault: TestProvider.Fault, phase: RunPhase) async throws {
        let bench = try await Bench.adopted(rows: 2)
        try await bench.declareOuter()
        let run = try await bench.startRewrap()
        try await bench.drive(run.id, upTo: phase)
        // The provider's key was replaced by another one of the same name; what it unwrapped before is still held.
        bench.outer.inner.fault = fault
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code != nil)
        #expect(try bench.copies("local") == 1 && bench.copies("outer") == 1)
        bench.outer.inner.fault = .nothing
        #expect(try await bench.drive(run.id).state == .done)
        #expect(try bench.copies("local") == 0 && bench.copies("outer") == 1)
        #expect(try await bench.opened(1) == "secret 1")
    }

    @Test(arguments: [RunPhase.verify, .retire])
    func aKeyThatTurnsWhileARunStandsIsFollowed(phase: RunPhase) async throws {
        let bench = try await Bench.adopted(rows: 2)
        try await bench.declareOuter()
        let run = try await bench.startRewrap()
        try await bench.drive(run.id, upTo: phase)
        try bench.outer.inner.turn(at: bench.clock.now())
        #expect(try await bench.drive(run.id).state == .done)
        #expect(try bench.copies("local") == 0 && bench.copies("outer") == 1, "under the newest key alone")
        #expect(try await bench.opened(2) == "secret 2")
    }

    @Test func aNewRootThatWasNotMadeIsNoSuccess() async throws {
        let bench = try await Bench.adopted(rows: 1)
        bench.provider.turning = .stays
        let run = try await bench.startRewrap(makesNewRoot: true)
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code == "providerAnswerInvalid")
        bench.provider.turning = .turns
        #expect(try await bench.drive(run.id).state == .done)
    }

    @Test func anExportedRootKeyIsOutOfDateBeforeTheNewOneIsThere() async throws {
        let bench = try await Bench.adopted(rows: 1)
        try await bench.engine().recordEscrow()
        bench.provider.turning = .turnsUnheard
        let run = try await bench.startRewrap(makesNewRoot: true)
        #expect(await codeThrown { try await bench.drive(run.id) } != nil)
        #expect(try await bench.control.read { try $0.instance()?.escrowedAt } == nil)
        bench.provider.turning = .turns
        #expect(try await bench.drive(run.id).state == .done)
        // Another provider's key is in no export.
        try await bench.engine().recordEscrow()
        try await bench.declareOuter()
        try await bench.rewrap()
        let next = try await bench.startRewrap(makesNewRoot: true)
        #expect(try await bench.drive(next.id).state == .done)
        #expect(try await bench.control.read { try $0.instance()?.escrowedAt } != nil)
    }

    @Test(arguments: [RunPhase.reencrypt, .verify, .retire])
    func aRunKeepsToTheProviderItWasPlannedFor(phase: RunPhase) async throws {
        let bench = try await Bench.adopted(rows: 2)
        try await bench.declareOuter()
        let run = try await bench.startRewrap()
        try await bench.drive(run.id, upTo: phase)
        try await bench.configure { $0.keyrings[0].provider = .local }
        #expect(await codeThrown { try await bench.drive(run.id) } == "callerPlanStale")
        #expect(try bench.copies("local") == 1)
        try await bench.declareOuter()
        #expect(try await bench.drive(run.id).state == .done)
        #expect(try bench.copies("local") == 0)
    }

    @Test func aRotationWrapsUnderNoOtherProviderThanItWasPlannedFor() async throws {
        let bench = try await Bench.adopted(rows: 2)
        try await bench.declareOuter()
        let run = try await bench.start(.rotate)
        try await bench.drive(run.id, upTo: .prepare)
        try await bench.configure { $0.keyrings[0].provider = .local }
        #expect(await codeThrown { try await bench.drive(run.id) } == "callerPlanStale")
        try await bench.declareOuter()
        #expect(try await bench.drive(run.id).state == .done)
    }

    @Test func whatLayElsewhereIsRecordedWithTheDropAndSoIsACustomersKey() async throws {
        let bench = try await Bench.adopted(rows: 2)
        try await bench.declareOuter()
        try await bench.rewrap()
        let exposures = try await bench.control.read { try $0.exposures() }
        #expect(exposures.map(\.provider) == [.local], "although nobody has saved the provider")
        #expect(try await bench.control.read { try $0.movedKeyrings() }.isEmpty)
        try await bench.configure { $0.keyrings[0].provider = .local }
        try await bench.rewrap()
        try await bench.declareOuter()
        try await bench.saveOuter()
        bench.hook.at(.phaseRecorded, always: true) {
            let moved = try bench.application.number("SELECT count(*) FROM keyturn_byok_keyrings")
            if try bench.copies("local") == 0, moved == 0 { throw CancellationError() }
        }
        bench.hook.at(.keyringMoved) { if try bench.copies("local") > 0 { throw CancellationError() } }
        try await bench.rewrap()
        #expect(bench.hook.problems.isEmpty && bench.hook.points.contains(.keyringMoved))
        #expect(try await bench.control.read { try $0.movedKeyrings() } == [.main: .outer])
    }
}

/// A keyring under a customer's key stays there.
struct CustomerHoldTests {
    @Test func aSavedNameIsNoCustomersKeyOnceItIsDeclaredOtherwise() async throws {
        let bench = try await Bench.held()
        for kind in [RunKind.rewrap, .rotate] {
            try await bench.declareOuter(kind: "local", ["file": "outer.key"])
            #expect(try await bench.refusals(kind).contains { $0.contains("goes under no other") })
            try await bench.declareOuter(["key": "another"])
            #expect(try await bench.refusals(kind).contains { $0.contains("test and save it again") })
            try await bench.configure { $0.keyrings[0].provider = .local }
            #expect(try await bench.refusals(kind).contains { $0.contains("goes under no other") })
            try await bench.declareOuter()
            #expect(try await bench.refusals(kind) == [])
        }
    }

    @Test func whatWasPlannedInGoodOrderIsRefusedWhenItIsResumed() async throws {
        let bench = try await Bench.held()
        try bench.outer.inner.turn(at: bench.clock.now())
        let run = try await bench.startRewrap()
        try await bench.drive(run.id, upTo: .verify)
        try await bench.declareOuter(kind: "local", ["file": "outer.key"])
        #expect(await codeThrown { try await bench.drive(run.id) } == "callerPolicyForbids")
        try await bench.declareOuter()
        #expect(try await bench.drive(run.id).state == .done)
    }

    @Test func itsColumnsGoToNoKeyringOfTheBuiltInKey() async throws {
        let bench = try await Bench.held()
        let other = KeyringDeclaration(name: try Name("other"), core: "fernet", provider: .local)
        try await bench.configure { $0.keyrings.append(other) }
        let request = PlanRequest(kind: .convert, keyring: other.name, columnIDs: [1])
        let engine = try await bench.engine()
        let plan = try await engine.plan(request)
        #expect(plan.refusals.contains { $0.contains("goes under no other") }, "\(plan.refusals)")
        #expect(await codeThrown { _ = try await engine.start(plan, for: request) } == "callerPolicyForbids")
        try await bench.configure { $0.keyrings[1].provider = .outer }
        #expect(try await bench.engine().plan(request).refusals == [])
    }

    @Test func anInstanceWithAWayBackMayReturn() async throws {
        let bench = try await Bench.held()
        _ = try await bench.control.write { try $0.beginBYOK(externalID: "id", allowsReturn: true) }
        try await bench.configure { $0.keyrings[0].provider = .local }
        try await bench.rewrap()
        #expect(try bench.copies("outer") == 0)
    }
}
