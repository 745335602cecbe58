import PluginKit
import Storage
import Testing

@testable import StorageSQLite

/// Swaps that are held against the fence's marks instead of firing its trigger.
struct FenceMarksTests {
    @Test
    func anApplicationsTriggerStillFires() async throws {
        try await withFence { scratch, engine in
            try scratch.run(
                "CREATE TABLE log (x); CREATE TRIGGER app AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (1); END")
            #expect(try await swap("v1", "kr1.1a.x", on: engine) == [true])
            #expect(try scratch.text("SELECT count(*) FROM log") == "1")
        }
    }

    @Test
    func anApplicationsTriggerThatComesLaterFiresFromThenOn() async throws {
        try await withFence { scratch, engine in
            #expect(try await swap("v1", "kr1.1a.x", on: engine) == [true])
            try scratch.run(
                "CREATE TABLE log (x); CREATE TRIGGER app AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (1); END")
            #expect(try await swap("kr1.1a.x", "kr1.1a.y", on: engine) == [true])
            #expect(try scratch.text("SELECT count(*) FROM log") == "1")
        }
    }

    @Test(arguments: ["plain", "kr1.", "kr1.1b.x", "KR1.1a.x"])
    func whatTheMarksDoNotAdmitIsRefusedAndNothingOfTheBatchIsWritten(value: String) async throws {
        try await withFence { scratch, engine in
            let swaps = [Self.swap(1, "v1", "kr1.1a.x"), Self.swap(2, "v2", value)]
            await #expect(throws: StorageError.self) { try await engine.write { try $0.swap(swaps, in: plain) } }
            let left = try scratch.text("SELECT group_concat(c) FROM t")
            #expect(left == "v1,v2")
        }
    }

    @Test
    func triggersFireAgainAfterASwapThatFiredNone() async throws {
        try await withFence { _, engine in
            await #expect(throws: StorageError.self) {
                try await engine.write { session in
                    #expect(try session.swap([Self.swap(1, "v1", "kr1.1a.x")], in: plain) == [true])
                    try session.execute("UPDATE t SET c = 'plain'")
                }
            }
        }
    }

    @Test
    func marksThatWereRaisedHoldFromTheNextTransactionOn() async throws {
        try await withFence { scratch, engine in
            #expect(try await swap("v1", "kr1.1a.x", on: engine) == [true])
            try scratch.run("UPDATE keyturn_fences SET second = x'3262'")
            await #expect(throws: StorageError.self) { try await swap("kr1.1a.x", "kr1.1a.y", on: engine) }
            #expect(try await swap("kr1.1a.x", "kr1.2b.x", on: engine) == [true])
        }
    }

    @Test
    func aColumnThatIsRenamedBetweenTwoSwapsIsNoticed() async throws {
        try await withFence { scratch, engine in
            #expect(try await swap("v1", "kr1.1a.x", on: engine) == [true])
            try scratch.run("DROP TRIGGER keyturn_fence_1_update; DROP TRIGGER keyturn_fence_1_insert")
            try scratch.run("ALTER TABLE t RENAME COLUMN c TO d")
            await #expect(throws: StorageError.self) { try await swap("kr1.1a.x", "kr1.1a.y", on: engine) }
        }
    }

    /// Runs `body` with two rows, `v1` and `v2`, behind a fence that admits text that begins with `kr1.1a`.
    private func withFence(_ body: (ScratchDatabase, any StorageEngine) async throws -> Void) async throws {
        try await withScratch { scratch, engine in
            try scratch.run(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT); INSERT INTO t VALUES (1, 'v1'), (2, 'v2')")
            try scratch.run("CREATE TABLE keyturn_fences (column_id, form, first_at, first, second_at, second)")
            try scratch.run("INSERT INTO keyturn_fences VALUES (1, 'text', 1, x'6B72312E', 5, x'3161')")
            try await engine.write { try $0.installFence(Fence(columnID: 1, target: plain)) }
            try await body(scratch, engine)
        }
    }

    private func swap(_ old: String, _ new: String, on engine: any StorageEngine) async throws -> [Bool] {
        try await engine.write { try $0.swap([Self.swap(1, old, new)], in: plain) }
    }

    private static func swap(_ id: Int64, _ old: String, _ new: String) -> Swap {
        Swap(key: RowKey([.integer(id)]), old: .text(Array(old.utf8)), new: .text(Array(new.utf8)))
    }
}
