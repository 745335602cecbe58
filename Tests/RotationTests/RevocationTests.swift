internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import Testing

/// Keys that are taken away while they are in use.
struct RevocationTests {
    @Test(arguments: [DurablePoint.windowFinished, .windowVerified])
    func itReachesARunInHand(point: DurablePoint) async throws {
        let bench = try await Bench.adopted(rows: 9000)
        try await bench.declareOuter()
        try await bench.rewrap()
        let run = try await bench.start(.rotate)
        bench.hook.at(point) {
            bench.outer.inner.fault = .denied
            bench.outer.forgetKeys()
        }
        #expect(await codeThrown { try await bench.drive(run.id) } == "keyNotUnwrapped")
        let left = try await bench.engine().runHistory(run.id)
        #expect(left.run.state == .needsOperator)
        #expect(left.progress.contains { !$0.isDone }, "it did not go on to the end of the column")
        bench.outer.inner.fault = .nothing
        bench.hook.clear()
        #expect(try await bench.drive(run.id).state == .done)
        let census = try await bench.census()
        #expect(census.active == 9000 && census.isClean)
    }

    @Test func anOutageIsNoRevocation() async throws {
        let bench = try await Bench.adopted(rows: 9000)
        try await bench.declareOuter()
        try await bench.rewrap()
        let run = try await bench.start(.rotate)
        // What is held unwrapped goes on.
        bench.hook.at(.windowFinished) { bench.outer.inner.fault = .down }
        #expect(try await bench.drive(run.id).state == .done)
    }
}

/// Keys that wrap for a cluster.
struct ServedTests {
    private static let key = Bytes("a cluster's own key of 32 bytes!!".utf8)

    /// A keyring that seals no column.
    private func bench(policy: KeyringPolicy = KeyringPolicy()) async throws -> Bench {
        let keyring = KeyringDeclaration(name: .main, core: "kr1", policy: policy, provider: .local)
        return try await Bench(tables: Bench.table, keyring: keyring, columns: [])
    }

    @Test func aKeyringWithoutColumnsGetsItsFirstKeyAndItsNext() async throws {
        let bench = try await bench(policy: KeyringPolicy(backup: .required))
        let plan = try await bench.engine().plan(PlanRequest(kind: .rotate, keyring: .main))
        #expect(plan.refusals.isEmpty && plan.warnings.contains { $0.contains("only a new key is made") })
        #expect(try await bench.run(.rotate).state == .done, "there is nothing yet that a backup could keep")
        let first = try await bench.active()
        #expect(try await bench.run(.rotate).state == .waiting)
        #expect(try await bench.active() == first)
        let adoption = try await bench.engine().plan(PlanRequest(kind: .adopt, keyring: .main))
        #expect(adoption.refusals.contains { $0.contains("seals no declared column") })
    }

    @Test func whatWasWrappedForAClusterOpensAfterAnEmergency() async throws {
        let bench = try await bench()
        #expect(try await bench.run(.rotate).state == .done)
        let old = try await bench.active()
        let wrapped = try await bench.engine().wrapServed(Self.key, under: .main)
        #expect(try await bench.run(.rotate, urgency: .emergency).state == .done)
        let ring = try await bench.ring()
        #expect(ring[old]?.state == .compromised && ring[old]?.retiredAt != nil)
        #expect(try await bench.engine().unwrapServed(wrapped.bytes, of: .main) == Self.key)
    }

    @Test func aKeyThatWrappedForAClusterIsDestroyedOnlyWhereThatIsAccepted() async throws {
        let bench = try await bench()
        #expect(try await bench.run(.rotate).state == .done)
        let old = try await bench.active()
        _ = try await bench.engine().wrapServed(Self.key, under: .main)
        #expect(try await bench.run(.rotate).state == .done)
        let backup = BackupDeclaration(
            directory: "/nowhere", externalRetention: .zero, destructionDelay: .seconds(3600))
        var request = RotationEngine.DestructionRequest(
            keyring: .main, keys: [old], reason: "test", backup: backup)
        let refused = try await bench.engine().destructionReport(request)
        #expect(refused.obstacles.count == 1 && refused.obstacles[0].contains("kms-v2"), "\(refused.obstacles)")
        request.accepted = [DestructionRules.servedPlace]
        let report = try await bench.engine().destructionReport(request)
        #expect(report.obstacles.isEmpty && report.accepted == ["kms-v2"])
    }
}
