internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import Testing

/// Runs that go well, on a real file.
struct RotateTests {
    @Test(arguments: ["kr1", "fernet"])
    func adoptingSealsEveryValueAndRotatingSealsThemAnew(core: String) async throws {
        let bench = try await Bench.adopted(rows: 25, core: core)
        let first = try await bench.active()
        #expect(try bench.application.number("SELECT count(*) FROM secret WHERE value LIKE 'secret%'") == 0)
        try await bench.expectAllUnderActive(rows: 25)
        let before = try bench.application.texts("SELECT value FROM secret ORDER BY id")
        let run = try await bench.run(.rotate)
        #expect(run.state == .done && run.oldKeys == [first] && run.newKey != first)
        #expect(Set(before).isDisjoint(with: try bench.application.texts("SELECT value FROM secret")))
        try await bench.expectAllUnderActive(rows: 25)
        let ring = try await bench.ring()
        #expect(ring[first]?.state == .deactivated && ring[first]?.retiredAt != nil && ring.active?.id == run.newKey)
    }

    @Test func theProofSaysWhatWasCountedAndIsSigned() async throws {
        let bench = try await Bench.adopted(rows: 5)
        let run = try await bench.run(.rotate)
        let signed = try #require(try SignedProof.decode(run.proof))
        let statement = try #require(try ProofStatement.decode(signed.statement))
        #expect(statement.isClean && statement.canariesOpen && statement.rewritten == 5)
        #expect(statement.activeKey == run.newKey?.description && statement.columns.map(\.active) == [5])
        #expect(!statement.oldBytesMayRemainIn.isEmpty && signed.signer.hasPrefix("ed25519:"))
    }

    @Test func adoptingAnotherColumnRaisesItsFenceUnderTheActiveKey() async throws {
        let bench = try await Bench.adopted(rows: 3)
        try bench.application.run("UPDATE secret SET note = 'note ' || id")
        let column = ColumnDeclaration(path: try ColumnPath("secret.note"), keyring: .main, context: .row)
        try await bench.configure { $0.columns.append(column) }
        let key = try await bench.active()
        let run = try await bench.run(.adopt, columns: [2])
        #expect(run.state == .done && run.newKey == key, "\(run.message ?? "")")
        #expect(try await bench.opened(2, column: "secret.note") == "note 2")
        #expect(throws: (any Error).self) {
            try bench.application.run("UPDATE secret SET note = 'in clear' WHERE id = 1")
        }
    }

    @Test func adoptingOneColumnRetiresNoKeyThatAnotherMayStillNeed() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let old = try await bench.active()
        try await bench.cancelAfterActivation()
        let column = ColumnDeclaration(path: try ColumnPath("secret.note"), keyring: .main, context: .row)
        try await bench.configure { $0.columns.append(column) }
        try bench.application.run("UPDATE secret SET note = 'note ' || id")
        let run = try await bench.run(.adopt, columns: [2])
        #expect(run.state == .done)
        #expect(try await bench.ring()[old]?.retiredAt == nil, "rows of secret.value still lie under it")
    }

    @Test func aColumnThatIsNoLongerDeclaredKeepsItsKeysFromRetiring() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let old = try await bench.active()
        let column = ColumnDeclaration(path: try ColumnPath("secret.note"), keyring: .main, context: .row)
        try await bench.configure { $0.columns.append(column) }
        try bench.application.run("UPDATE secret SET note = 'note ' || id")
        #expect(try await bench.run(.adopt, columns: [2]).state == .done)
        try await bench.configure { $0.columns.removeLast() }
        #expect(try await bench.run(.rotate).phase == .done)
        #expect(try await bench.ring()[old]?.retiredAt == nil, "rows of secret.note still lie under it")
        try bench.application.run("DROP TRIGGER keyturn_fence_2_insert; DROP TRIGGER keyturn_fence_2_update")
        try bench.application.run("ALTER TABLE secret DROP COLUMN note")
        #expect(try await bench.run(.rotate).phase == .done)
        #expect(try await bench.ring()[old]?.retiredAt != nil, "the column is gone, and with it its values")
    }

    @Test func plansChangeNothing() async throws {
        let bench = try await Bench.adopted(rows: 5)
        let before = try bench.application.records()
        for kind in [RunKind.rotate, .adopt, .rewrap] {
            _ = try await bench.engine().plan(PlanRequest(kind: kind, keyring: .main))
        }
        _ = try await bench.engine().status(counts: true)
        #expect(try bench.application.records() == before)
    }

    @Test func adoptionMarksTheRowsThatItSeals() async throws {
        let bench = try await Bench.make(
            predicate: "is_sealed = 1", sets: [ColumnTarget.Assignment(column: "is_sealed", value: .integer(1))])
        try bench.fill(6)
        try bench.application.run("UPDATE secret SET is_sealed = CASE id % 3 WHEN 0 THEN 0 WHEN 1 THEN NULL ELSE 0 END")
        let run = try await bench.run(.adopt)
        #expect(run.state == .done, "\(run.message ?? "")")
        #expect(try bench.application.number("SELECT count(*) FROM secret WHERE is_sealed = 1") == 6)
        try await bench.expectAllUnderActive(rows: 6)
    }

    @Test func adoptionRefusesToSealRowsThatWouldLieOutsideOfWhere() async throws {
        let bench = try await Bench.make(
            predicate: "is_sealed = 1 AND note IS NULL",
            sets: [ColumnTarget.Assignment(column: "is_sealed", value: .integer(1))])
        try bench.fill(3)
        try bench.application.run("UPDATE secret SET is_sealed = 0, note = CASE id WHEN 2 THEN 'public' END")
        let code = await codeThrown { try await bench.run(.adopt) }
        #expect(code == "storeValueAltered")
        #expect(try bench.stored(2) == "secret 2", "no run would ever look at it again")
    }

    @Test(arguments: ["kr1", "fernet"])
    func exportedKeysGiveTheSameKeysBack(core: String) async throws {
        let bench = try await Bench.adopted(rows: 4, core: core)
        _ = try await bench.run(.rotate)
        let text = try await bench.engine().exportKeys(of: .main, form: .lines)
        let lines = text.withExposedBytes { $0.split(separator: UInt8(ascii: "\n")).count }
        #expect(lines == 1, "the retired key is not handed out again")
        let other = try await Bench.make(core: core)
        let ids = try await other.engine().importKeys(text, form: .lines, into: .main, core: core)
        #expect(ids.count == 1)
        let ring = try await other.ring()
        let origin = try await bench.active()
        #expect(ring.active?.id == ids[0] && ids[0] != origin)
    }

    @Test func importedKeysAreKeptInOrderWithTheirTimes() async throws {
        let bench = try await Bench.make(core: "fernet")
        let keys = ["k".repeated(43) + "=", "m".repeated(43) + "=", "k".repeated(43) + "="]
        // A key must decode; these do.
        let text = SecretBytes(copying: Bytes(keys.joined(separator: " , ").utf8))
        let ids = try await bench.engine().importKeys(text, form: .fernetList, into: .main, core: nil)
        #expect(ids.count == 2, "one key twice is one key")
        let ring = try await bench.ring()
        #expect(ring.active?.id == ids[0] && ring.active?.activatedAt != nil)
        #expect(ring[ids[1]]?.state == .deactivated && ring[ids[1]]?.deactivatedAt != nil)
        let again = SecretBytes(copying: Bytes(keys[0].utf8))
        let code = await codeThrown {
            _ = try await bench.engine().importKeys(again, form: .lines, into: .main, core: nil)
        }
        #expect(code == "callerRequestInvalid")
    }
}

extension String {
    fileprivate func repeated(_ count: Int) -> String { String(repeating: self, count: count) }
}
