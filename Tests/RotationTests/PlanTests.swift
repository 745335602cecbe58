internal import ControlStore
import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import Testing

struct PlanTests {
    /// A table, and what a plan must say against rewriting `secret.value` in it.
    struct Refusal: Sendable, CustomTestStringConvertible {
        let table: String
        let why: String

        var testDescription: String { why }
    }

    private static let refusals: [Refusal] = [
        Refusal(table: "CREATE TABLE secret (id INTEGER, value TEXT)", why: "no primary key"),
        Refusal(table: "CREATE TABLE secret (value TEXT PRIMARY KEY)", why: "part of the key"),
        Refusal(table: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT UNIQUE)", why: "unique index"),
        Refusal(
            table: "CREATE TABLE other (id TEXT PRIMARY KEY); "
                + "CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT REFERENCES other (id))",
            why: "foreign key"),
        Refusal(
            table: "CREATE TABLE secret (id INTEGER PRIMARY KEY, a TEXT, value TEXT AS (a || 'x') STORED)",
            why: "computed by the database"),
        Refusal(
            table: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT); CREATE INDEX i ON secret (lower(value))",
            why: "is computed from"),
        Refusal(table: "CREATE TABLE secret (id INTEGER PRIMARY KEY, value INTEGER)", why: "neither text nor bytes"),
    ]

    @Test(arguments: refusals)
    func refusesWhatWouldBreakTheTable(refusal: Refusal) async throws {
        let bench = try await Bench.make(tables: refusal.table)
        let plan = try await bench.engine().plan(PlanRequest(kind: .adopt, keyring: .main))
        #expect(plan.refusals.count == 1 && plan.refusals[0].contains(refusal.why), "\(plan.refusals)")
        let code = await codeThrown { _ = try await bench.start(.adopt) }
        #expect(code == "callerPolicyForbids")
        #expect(try await bench.engine().runs().isEmpty)
    }

    @Test func whatIsComputedFromAColumnStandsAgainstNoRunOnceItIsAcknowledged() async throws {
        let bench = try await Bench.make(tables: Bench.table + "; CREATE INDEX i ON secret (lower(value))")
        try bench.fill(5)
        try await bench.configure { $0.columns[0].acknowledged = [.logicalReplication] }
        #expect(await codeThrown { _ = try await bench.start(.adopt) } == "callerPolicyForbids")
        try await bench.configure { $0.columns[0].acknowledged = [.computed] }
        let plan = try await bench.engine().plan(PlanRequest(kind: .adopt, keyring: .main))
        #expect(plan.refusals.isEmpty && plan.warnings.contains { $0.contains("computed anew") }, "\(plan)")
        #expect(try await bench.run(.adopt).state == .done)
        try await bench.expectAllUnderActive(rows: 5)
        try await bench.configure { $0.columns[0].acknowledged = [] }
        #expect(await codeThrown { _ = try await bench.start(.rotate) } == "callerPolicyForbids")
    }

    @Test func aPlanHoldsNoLongerOnceAnAcknowledgementIsWithdrawn() async throws {
        let bench = try await Bench.make(tables: Bench.table + "; CREATE INDEX i ON secret (lower(value))")
        try bench.fill(5)
        try await bench.configure { $0.columns[0].acknowledged = [.computed] }
        let run = try await bench.start(.adopt)
        try await bench.configure { $0.columns[0].acknowledged = [] }
        #expect(await codeThrown { try await bench.drive(run.id) } == "callerPlanStale")
        #expect(try bench.stored(1) == "secret 1")
    }

    @Test(arguments: ["no_such_column = 1", "1; DROP TABLE secret", "(", "id = (SELECT max(id) FROM nowhere)"])
    func refusesAWhereThatIsNoneOfTheTable(predicate: String) async throws {
        let bench = try await Bench.make(predicate: predicate)
        let plan = try await bench.engine().plan(PlanRequest(kind: .adopt, keyring: .main))
        #expect(plan.refusals.contains { $0.contains("\"where\"") }, "\(plan.refusals)")
        #expect(try bench.application.number("SELECT count(*) FROM secret") == 0)
    }

    @Test func refusesAKeyThatIsNotUniqueAndColumnsToSetThatAreNotThere() async throws {
        let bench = try await Bench.make(sets: [ColumnTarget.Assignment(column: "absent", value: .integer(1))])
        try await bench.configure { $0.columns[0].key = ["note"] }
        let refusals = try await bench.engine().plan(PlanRequest(kind: .adopt, keyring: .main)).refusals
        #expect(
            refusals.contains { $0.contains("no unique key") } && refusals.contains { $0.contains("\"absent\" to set") }
        )
    }

    @Test func refusesToRotateWhatHasNoKeyAndASecondRun() async throws {
        let bench = try await Bench.make()
        let empty = try await bench.engine().plan(PlanRequest(kind: .rotate, keyring: .main))
        #expect(empty.refusals.contains { $0.contains("no active key") })
        try bench.fill(2)
        let open = try await bench.start(.adopt)
        let second = try await bench.engine().plan(PlanRequest(kind: .adopt, keyring: .main))
        #expect(second.refusals.contains { $0.contains("run \(open.id) is open") })
        let code = await codeThrown { _ = try await bench.start(.adopt) }
        #expect(code == "callerRunOpen")
    }

    @Test func aBackupThatIsRequiredIsNotSkipped() async throws {
        let bench = try await Bench.adopted(rows: 2)
        try await bench.configure { $0.keyrings[0].policy.backup = .required }
        let waiting = try await bench.run(.rotate)
        #expect(waiting.state == .waiting && waiting.phase == .before && waiting.newKey == nil)
        let early = waiting.startedAt.advanced(by: .milliseconds(-1))
        for (run, stage, level, started) in [
            (Int64?.none, BackupStage.before, BackupLevel.restored, waiting.startedAt),
            (waiting.id, .after, .restored, waiting.startedAt), (waiting.id, .before, .format, waiting.startedAt),
            (waiting.id, .before, .restored, early),
        ] {
            try await bench.list(backupOf: run, stage, level, startedAt: started)
            #expect(try await bench.drive(waiting.id).state == .waiting)
        }
        let gone = try await bench.list(backupOf: waiting.id, .before, .checksums, startedAt: waiting.startedAt)
        let file = try await bench.control.read { try $0.backup(gone).location }
        try FileManager.default.moveItem(atPath: file, toPath: file + ".aside")
        #expect(try await bench.drive(waiting.id).state == .waiting, "its file is not there")
        try FileManager.default.moveItem(atPath: file + ".aside", toPath: file)
        #expect(try await bench.drive(waiting.id).state == .done)
    }

    @Test func anEmergencyWaitsForNoBackup() async throws {
        let bench = try await Bench.adopted(rows: 2)
        try await bench.configure { $0.keyrings[0].policy.backup = .required }
        #expect(try await bench.run(.rotate, urgency: .emergency).state == .done, "a leaked key waits for no backup")
    }

    @Test func theHashIsTheSameForOtherCountsAndAnotherForOtherFacts() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let first = try await hash(bench)
        try bench.application.run("INSERT INTO secret (id) VALUES (99)")
        _ = try await bench.sealed("x", row: 99)
        #expect(try await hash(bench) == first)
        var seen = [first]
        let changes: [@Sendable (inout ColumnDeclaration) -> Void] = [
            { $0.predicate = "id > 0" }, { $0.plaintext = .keep },
            { $0.assignments = [ColumnTarget.Assignment(column: "is_sealed", value: .integer(1))] },
        ]
        for change in changes {
            try await bench.configure { change(&$0.columns[0]) }
            seen.append(try await hash(bench))
        }
        try await bench.configure { $0.keyrings[0].policy.maxAge = .seconds(60) }
        seen.append(try await hash(bench))
        try bench.application.run(
            "CREATE TRIGGER touched AFTER UPDATE ON secret BEGIN UPDATE secret SET note = 't' WHERE id = NEW.id; END")
        seen.append(try await hash(bench))
        _ = try await bench.run(.rotate)
        seen.append(try await hash(bench))
        #expect(Set(seen).count == seen.count, "each change makes another plan")
    }

    @Test func aKeyThatWasOnlyPreparedMakesNoOtherPlan() async throws {
        let bench = try await Bench.adopted(rows: 3, consumers: ["web"])
        let first = try await hash(bench)
        let run = try await bench.run(.rotate)
        #expect(run.state == .waiting && run.phase == .publish)
        #expect(try await hash(bench) == first)
        let emergency = try await bench.run(.rotate, urgency: .emergency)
        #expect(emergency.state == .waiting, "the emergency cancels the run that waits and takes its place")
        #expect(try await bench.engine().runHistory(run.id).run.state == .cancelled)
    }

    @Test func aPlanThatNoLongerHoldsEndsTheRunUnchanged() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let run = try await bench.start(.rotate)
        try await bench.configure { $0.columns[0].predicate = "id > 1" }
        let code = await codeThrown { try await bench.drive(run.id) }
        #expect(code == "callerPlanStale")
        let left = try await bench.engine().runHistory(run.id).run
        #expect(left.state == .failed && left.newKey == nil)
        #expect(try await bench.run(.rotate).phase == .done)
    }

    @Test func saysWhatWouldBeQuarantined() async throws {
        let bench = try await Bench.adopted(rows: 5, core: "fernet")
        try bench.put("in clear", row: 2)
        let plan = try await bench.engine().plan(PlanRequest(kind: .rotate, keyring: .main))
        let column = try #require(plan.columns.first)
        #expect(column.toRewrite == 4 && column.wouldQuarantine == 1 && column.sampledAll)
        #expect(column.quarantined.map(\.row) == ["2"] && column.quarantined.map(\.reason) == ["dataPlaintext"])
    }

    @Test func aRunExpectsTheRowsThatItsWherePicks() async throws {
        let bench = try await Bench.adopted(rows: 40)
        try await bench.configure { $0.columns[0].predicate = "id > 30" }
        let plan = try await bench.engine().plan(PlanRequest(kind: .rotate, keyring: .main))
        #expect(plan.columns.first?.rowsToRead == 10 && plan.columns.first?.tableRows == 40)
        let run = try await bench.run(.rotate)
        let passes = try await bench.engine().runHistory(run.id).progress
        #expect(passes.filter { $0.phase == .reencrypt }.map(\.expectedRows) == [10])
        #expect(passes.filter { $0.phase == .verify }.map(\.expectedRows) == [40])
    }

    private func hash(_ bench: Bench) async throws -> String {
        try await bench.engine().plan(PlanRequest(kind: .rotate, keyring: .main)).hash
    }
}
