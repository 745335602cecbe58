import ControlStore
import Foundation
import KeyModel
import PluginKit
import Rotation
import Testing

struct DestructionTests {
    private static let nothingElsewhere = BackupDeclaration(
        directory: "/nowhere", externalRetention: .zero, destructionDelay: .seconds(3600))

    /// A bench whose first key is retired.
    private func retired(policy: KeyringPolicy = KeyringPolicy()) async throws -> (bench: Bench, old: KeyID) {
        let bench = try await Bench.adopted(rows: 5, policy: policy)
        let old = try await bench.active()
        #expect(try await bench.run(.rotate).state == .done)
        return (bench, old)
    }

    private func ask(
        _ bench: Bench, _ key: KeyID, backup: BackupDeclaration? = nothingElsewhere, accepted: [String] = []
    ) async throws -> DestructionEntry {
        try await bench.engine().requestDestruction(
            .init(keyring: .main, keys: [key], reason: "test", backup: backup, accepted: accepted))
    }

    @Test func erasesWhatNothingNeedsOnceTheDelayHasPassed() async throws {
        let (bench, old) = try await retired()
        let holder = try await bench.list(holding: [old])
        let asked = try await ask(bench, old)
        #expect(asked.state == "waiting" && asked.report.obstacles.isEmpty, "\(asked.report.obstacles)")
        let early = await codeThrown { _ = try await destroy(bench, asked.id) }
        #expect(early == "callerPolicyForbids")
        bench.clock.advance(by: .seconds(3601))
        #expect(try await destroy(bench, asked.id).state == "destroying", "a backup still holds a wrapped copy")
        #expect(try await bench.control.read { try $0.wraps(of: old) }.isEmpty)
        #expect(try await bench.ring()[old]?.state == .destroyed)
        #expect(await bench.remembered().destroyed == [old.description])
        try await bench.expectAllUnderActive(rows: 5)
        try await bench.expire(backup: holder)
        let all = try await bench.engine().destructions(backup: Self.nothingElsewhere)
        #expect(all.map(\.state) == ["destroyed"])
    }

    @Test func aCallAfterACrashRemembersTheKeyInTheJournalToo() async throws {
        let (bench, old) = try await retired()
        let asked = try await ask(bench, old)
        bench.clock.advance(by: .seconds(3601))
        _ = try await destroy(bench, asked.id)
        // What a node that died between the two knows: the database says destroyed, the journal does not.
        let path = bench.path("behind")
        var entry = await bench.remembered()
        entry.destroyed = []
        let journal = try NodeJournal(creating: path, with: entry)
        let engine = try await bench.engine(remembering: journal)
        _ = try await engine.destroy(asked.id, backup: Self.nothingElsewhere)
        #expect(try NodeJournal(reading: path).entry.destroyed == [old.description])
    }

    @Test func aSecondPersonMayAgreeAndTheFirstMayNot() async throws {
        let (bench, old) = try await retired()
        let asked = try await ask(bench, old)
        let own = await codeThrown { _ = try await bench.engine().approveDestruction(asked.id) }
        #expect(own == "callerPolicyForbids")
        let other = try await bench.engine(actor: "someone else")
        #expect(try await other.approveDestruction(asked.id).approvedBy == "someone else")
        #expect(try await destroy(bench, asked.id).state == "destroying")
        let moves = try await bench.control.read { try $0.moves(of: old) }
        #expect(moves.last?.actor == "tester, approved by someone else")
    }

    @Test func canBeCalledOffUntilTheEnd() async throws {
        let (bench, old) = try await retired()
        let asked = try await ask(bench, old)
        bench.clock.advance(by: .seconds(3601))
        #expect(try await bench.engine().cancelDestruction(asked.id).state == "cancelled")
        let code = await codeThrown { _ = try await destroy(bench, asked.id) }
        #expect(code == "callerRunState")
        #expect(try await bench.control.read { try $0.wraps(of: old) }.count == 1)
    }

    @Test func eachConditionAloneStandsAgainstIt() async throws {
        let (bench, old) = try await retired(policy: KeyringPolicy(keep: .seconds(86_400)))
        func obstacles(_ backup: BackupDeclaration? = Self.nothingElsewhere) async throws -> String {
            let report = try await bench.engine().destructionReport(
                .init(keyring: .main, keys: [old], reason: "", backup: backup))
            return report.obstacles.joined(separator: "; ")
        }
        #expect(try await obstacles().contains("must be kept until"))
        bench.clock.advance(by: .seconds(86_401))
        #expect(try await obstacles() == "")
        #expect(try await obstacles(nil).contains("external_backup_retention"))
        var archived = Self.nothingElsewhere
        archived.pitr = .seconds(30 * 86_400)
        #expect(try await obstacles(archived).contains("may need key \(old)"))
        let backup = try await bench.list(needing: [old])
        #expect(try await obstacles() == "backup \(backup) needs key \(old)")
        try await bench.control.write { try $0.doom(backup: backup) }
        #expect(try await obstacles() == "backup \(backup) needs key \(old)", "its file may still be there")
        try await bench.expire(backup: backup)
        let run = try await bench.start(.rotate)
        #expect(try await obstacles() == "run \(run.id) is open")
        #expect(try await bench.drive(run.id).state == .done)
        try bench.application.run("CREATE TABLE other (id INTEGER PRIMARY KEY, leftover TEXT)")
        let stray = try await bench.sealed("x", row: 1).replacingOccurrences(
            of: try await bench.active().description, with: "01020304")
        try bench.application.run("INSERT INTO other VALUES (1, ?)", texts: [stray])
        #expect(
            try await obstacles().contains("other.leftover holds 1 values of unknown ciphertext; declare it: column"))
        try bench.application.run("DROP TABLE other; CREATE TABLE bag (leftover TEXT)")
        #expect(try await obstacles().contains("bag cannot be looked through"))
        #expect(try await ask(bench, old, accepted: ["bag"]).state == "waiting")
    }

    @Test func aValueThatTurnsUpUnderTheKeyStopsItAtTheLastMoment() async throws {
        let bench = try await Bench.adopted(rows: 5)
        let (old, stale) = (try await bench.active(), try bench.stored(3))
        #expect(try await bench.run(.rotate).state == .done)
        let asked = try await ask(bench, old)
        bench.clock.advance(by: .seconds(3601))
        try bench.putPastTheFence(stale, row: 3)
        let code = await codeThrown { _ = try await destroy(bench, asked.id) }
        #expect(code == "callerPolicyForbids")
        #expect(try await bench.opened(3) == "secret 3")
    }

    @Test func aBackupMadeBetweenTheReadingAndTheErasingStopsIt() async throws {
        let (bench, old) = try await retired()
        let asked = try await ask(bench, old)
        bench.clock.advance(by: .seconds(3601))
        let code = await codeThrown {
            _ = try await bench.engine().destroy(
                asked.id, backup: Self.nothingElsewhere,
                withoutBackups: { erase in
                    try await bench.list(needing: [old])
                    try await erase()
                })
        }
        #expect(code == "callerPolicyForbids")
        #expect(try await bench.control.read { try $0.wraps(of: old) }.count == 1)
    }

    @Test func aRunOrACountThatMetValuesUnderTheKeySinceStopsIt() async throws {
        let bench = try await Bench.adopted(rows: 5)
        let (old, stale) = (try await bench.active(), try bench.stored(3))
        #expect(try await bench.run(.rotate).state == .done)
        let (asked, fresh) = (try await ask(bench, old), try bench.stored(3))
        bench.clock.advance(by: .seconds(3601))
        let code = await codeThrown {
            _ = try await bench.engine().destroy(
                asked.id, backup: Self.nothingElsewhere,
                withoutBackups: { erase in
                    try bench.putPastTheFence(stale, row: 3)
                    _ = try await bench.engine().status(counts: true)
                    try bench.putPastTheFence(fresh, row: 3)
                    try await erase()
                })
        }
        #expect(code == "callerPolicyForbids")
        #expect(try await bench.control.read { try $0.wraps(of: old) }.count == 1)
    }

    /// Who comes upon values under a retired key.
    enum Finder: CaseIterable {
        case status, request, destruction, run
    }

    @Test(arguments: Finder.allCases)
    func whereValuesComeBackTheTimeThatAKeyIsKeptCountsAnew(finder: Finder) async throws {
        let bench = try await Bench.adopted(rows: 5, policy: KeyringPolicy(keep: .seconds(86_400)))
        let (old, stale) = (try await bench.active(), try bench.stored(3))
        #expect(try await bench.run(.rotate).state == .done)
        bench.clock.advance(by: .seconds(86_401))
        let asked = try await ask(bench, old)
        #expect(asked.state == "waiting", "\(asked.report.obstacles)")
        bench.clock.advance(by: .seconds(3601))
        try bench.putPastTheFence(stale, row: 3)
        switch finder {
        case .status: #expect(try await bench.engine().status(counts: true)?.problems.isEmpty == false)
        case .request:
            _ = try await bench.engine().destructionReport(
                .init(keyring: .main, keys: [old], reason: "", backup: Self.nothingElsewhere))
        case .destruction: #expect(await codeThrown { _ = try await destroy(bench, asked.id) } == "callerPolicyForbids")
        case .run: break
        }
        #expect(try await bench.ring()[old]?.retiredAt == nil || finder == .run)
        // Nothing lies under it any more; that alone does not make up for it.
        let run = try await bench.run(.rotate)
        let (retired, begun) = (try #require(try await bench.ring()[old]?.retiredAt), run.startedAt)
        #expect(retired > begun, "a run has counted since")
        let early = await codeThrown { _ = try await destroy(bench, asked.id) }
        #expect(early == "callerPolicyForbids")
        bench.clock.advance(by: .seconds(86_401))
        _ = try await destroy(bench, asked.id)
        #expect(try await bench.ring()[old]?.state == .destroyed)
    }

    @Test func aCompromisedKeyIsNotOpenedForEveryoneByWritingUnderIt() async throws {
        let bench = try await Bench.adopted(rows: 5)
        let (old, stale) = (try await bench.active(), try bench.stored(3))
        #expect(try await bench.run(.rotate, urgency: .emergency).state == .done)
        let before = try #require(try await bench.ring()[old]?.retiredAt)
        bench.clock.advance(by: .seconds(60))
        try bench.putPastTheFence(stale, row: 3)
        _ = try await bench.engine().status(counts: true)
        let after = try #require(try await bench.ring()[old]?.retiredAt)
        #expect(after.since(before) >= .seconds(60))
        await #expect(throws: (any Error).self) { _ = try await bench.opened(3) }
        #expect(try await bench.run(.rotate).state == .done)
        let last = try #require(try await bench.ring()[old]?.retiredAt)
        #expect(last > after, "its time counts from where nothing lies under it")
        #expect(try await bench.opened(3) == "secret 3")
    }

    private func destroy(_ bench: Bench, _ id: Int64) async throws -> DestructionEntry {
        try await bench.engine().destroy(id, backup: Self.nothingElsewhere)
    }
}
