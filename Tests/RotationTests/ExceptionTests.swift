internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import StorageSQLite
internal import Testing

/// What is found, kept out, lost, held up and taken up again.
struct ExceptionTests {
    @Test func theCensusCountsEachKindOfRowExactly() async throws {
        let bench = try await Bench.adopted(rows: 12, core: "fernet", predicate: "is_sealed = 1")
        let strangers = try await Bench.adopted(rows: 1, core: "fernet")
        let foreign = try strangers.stored(1)
        let old = try bench.stored(1)
        try await bench.cancelAfterActivation()
        let new = try await bench.sealed("new", row: 1)
        let values: [(String?, Int)] = [
            (new, 1), (old, 1), (foreign, 1), ("clear", 1), ("", 1), (nil, 1), ("kr1.broken", 1),
            (new, 0), (old, 0), (foreign, 0), ("clear", 0), ("", 0),
        ]
        for (index, (value, flag)) in values.enumerated() {
            let text = value.map { "'\($0)'" } ?? "NULL"
            try bench.application.run("UPDATE secret SET value = \(text), is_sealed = \(flag) WHERE id = \(index + 1)")
        }
        let census = try await bench.census()
        #expect(census.rows == 12 && census.null == 1 && census.empty == 2)
        #expect(census.active == 1 && census.left == 1 && census.plaintext == 1 && census.unopenable == 2)
        #expect(census.outside.rows == 5 && census.outside.active == 1 && census.outside.old == 1)
        #expect(census.outside.foreign == 1 && census.outside.plaintext == 1 && census.exceptions == 4)
        #expect(census.noted == 5 && Set(census.findings.map(\.row)) == ["2", "3", "4", "7", "9"])
    }

    @Test func valuesOutsideOfWhereAreNamedStayAsTheyAreAndKeepTheKey() async throws {
        let bench = try await Bench.adopted(rows: 4, predicate: "is_sealed = 1")
        let old = try await bench.active()
        let stored = try bench.stored(2)
        try bench.application.run("UPDATE secret SET is_sealed = 0 WHERE id = 2")
        let run = try await bench.run(.rotate)
        #expect(run.state == .doneWithExceptions && run.message?.contains("1 values") == true)
        #expect(try bench.stored(2) == stored)
        #expect(try await bench.ring()[old]?.retiredAt == nil)
        #expect(try await bench.opened(2) == "secret 2", "and it can still be read")
    }

    @Test func anythingButTheActiveKeyIsRefusedByTheFence() async throws {
        let bench = try await Bench.adopted(rows: 4)
        let old = try bench.stored(1)
        #expect(try await bench.run(.rotate).state == .done)
        let good = try await bench.sealed("fresh", row: 1)
        for bad in [old, "in clear", "kr1.00000001.AAAA", "gAAAAA=="] {
            #expect(throws: (any Error).self, "\(bad.prefix(12))") { try bench.put(bad, row: 1) }
            #expect(throws: (any Error).self) {
                try bench.application.run("INSERT INTO secret (id, value) VALUES (50, ?)", texts: [bad])
            }
        }
        try bench.put(good, row: 1)
        try bench.application.run(
            "UPDATE secret SET value = NULL WHERE id = 2; UPDATE secret SET value = '' WHERE id = 3")
        try bench.application.run("UPDATE secret SET note = 'x'")
        #expect(try await bench.opened(1) == "fresh")
    }

    @Test func theFenceLetsConsumersSealUntilTheyHaveSwitched() async throws {
        let bench = try await Bench.adopted(rows: 3, consumers: ["web"])
        let web = try Name("web")
        let before = try await bench.sealed("before", row: 1)
        var run = try await bench.run(.rotate)
        #expect(run.state == .waiting && run.phase == .publish)
        #expect(try await bench.engine().acknowledge(run: run.id, consumer: web) == .opens)
        run = try await bench.drive(run.id)
        #expect(run.state == .waiting && run.phase == .activate)
        try bench.put(before, row: 1)
        #expect(throws: (any Error).self) { try bench.put("in clear", row: 1) }
        let after = try await bench.sealed("after", row: 2)
        try bench.put(after, row: 2)
        #expect(try await bench.engine().acknowledge(run: run.id, consumer: web) == .seals)
        #expect(try await bench.drive(run.id).state == .done)
        #expect(throws: (any Error).self) { try bench.put(before, row: 1) }
        #expect(try await bench.opened(1) == "before")
        #expect(try await bench.opened(2) == "after")
    }

    @Test func anEmergencyStopsNoReader() async throws {
        let bench = try await Bench.adopted(rows: 3, consumers: ["web"])
        let web = try Name("web")
        let old = try await bench.active()
        let run = try await bench.run(.rotate, urgency: .emergency)
        _ = try await bench.engine().acknowledge(run: run.id, consumer: web)
        let left = try await bench.drive(run.id)
        #expect(left.phase == .activate)
        #expect(try await bench.ring()[old]?.state == .compromised)
        #expect(try await bench.opened(1) == "secret 1", "not yet rewritten")
        let text = try await bench.engine().exportKeys(of: .main, form: .lines)
        let count = text.withExposedBytes { $0.split(separator: UInt8(ascii: "\n")).count }
        #expect(count == 2, "the application needs both until its rows are rewritten")
        _ = try await bench.engine().acknowledge(run: run.id, consumer: web)
        #expect(try await bench.drive(run.id).state == .done)
        let after = try await bench.engine().exportKeys(of: .main, form: .lines)
        let rest = after.withExposedBytes { $0.split(separator: UInt8(ascii: "\n")).count }
        #expect(rest == 1)
    }

    @Test func aFenceThatWentWithItsTableIsThereAgainAfterTheNextRun() async throws {
        let bench = try await Bench.adopted(rows: 3)
        try bench.application.run(
            """
            CREATE TABLE fresh (id INTEGER PRIMARY KEY, value TEXT, is_sealed INTEGER, note TEXT);
            INSERT INTO fresh SELECT * FROM secret; DROP TABLE secret; ALTER TABLE fresh RENAME TO secret
            """)
        try bench.application.run(
            "UPDATE secret SET note = value WHERE id = 1; UPDATE secret SET value = 'clear' WHERE id = 1")
        try bench.application.run("UPDATE secret SET value = note WHERE id = 1")
        #expect(try await bench.run(.rotate).state == .done)
        #expect(throws: (any Error).self) { try bench.put("clear", row: 1) }
    }

    @Test func whatIsRepairedMeanwhileIsNotListed() async throws {
        let bench = try await Bench.adopted(rows: 6, core: "fernet")
        let bad = "gAAAAA-broken"
        try bench.put(bad, row: 2)
        try bench.put(bad, row: 3)
        // Nothing for a sweep to write, so that one is all there is.
        bench.hook.at(.columnFinished) { try bench.application.run("UPDATE secret SET value = NULL WHERE id = 2") }
        let run = try await bench.run(.rotate)
        let history = try await bench.engine().runHistory(run.id)
        #expect(run.state == .doneWithExceptions)
        #expect(history.quarantined.map(\.key.description) == ["3"] && history.quarantineCount == 1)
        try bench.put(try await bench.sealed("secret 3", row: 3), row: 3)
        #expect(try await bench.run(.rotate).state == .done)
    }

    @Test func whatBreaksAfterTheLastSweepIsListedToo() async throws {
        let bench = try await Bench.adopted(rows: 6, core: "fernet")
        bench.hook.at(.sweepFinished) { try bench.put("in clear", row: 5) }
        let run = try await bench.run(.rotate)
        let history = try await bench.engine().runHistory(run.id)
        #expect(run.state == .doneWithExceptions)
        #expect(history.quarantined.map(\.key.description) == ["5"])
        #expect(history.quarantined.map(\.reason) == ["dataPlaintext"])
    }

    @Test func aRowThatLeavesItsWhereMeanwhileIsLeftAlone() async throws {
        let bench = try await Bench.adopted(rows: 2100, core: "fernet", predicate: "is_sealed = 1", plaintext: .seal)
        bench.hook.at(.batchCommitted) {
            try bench.application.run("UPDATE secret SET is_sealed = 0, value = 'public' WHERE id = 2050")
        }
        #expect(try await bench.run(.rotate).state == .done)
        #expect(try bench.stored(2050) == "public", "the application would read ciphertext where it put clear text")
    }
}
