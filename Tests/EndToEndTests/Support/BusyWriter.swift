import Foundation
import GRDB
import KeyModel
import PluginKit
import Synchronization
import ToolTesting

/// Keys that several writers share, and that can be changed under them.
final class SharedKeys: Sendable {
    private let keys: Mutex<HeldKeys>

    init(_ keys: HeldKeys) { self.keys = Mutex(keys) }

    var present: HeldKeys { keys.withLock { $0 } }

    func change(to new: HeldKeys) { keys.withLock { $0 = new } }
}

/// An application that writes without pause, on a thread and a connection of its own.
///
/// It updates, inserts and deletes rows of `secret`, and keeps what it committed in `expected`, in the same transaction,
/// so that the two can be held against each other whatever came in between.
final class BusyWriter: Sendable {
    /// What it has done so far.
    struct Tally {
        var transactions = 0
        var refusals = 0
        var failure: String?
        var isEnded = false
        fileprivate var isStopping = false
    }

    private let state = Mutex(Tally())
    private let keys: SharedKeys
    private let place: @Sendable (Int64) -> ValueContext
    private let number: Int

    /// Starts a writer; its inserts have ids that no other number's have.
    init(
        _ number: Int, on path: String, keys: SharedKeys, seed: UInt64,
        place: @escaping @Sendable (Int64) -> ValueContext
    ) {
        self.keys = keys
        self.place = place
        self.number = number
        Thread.detachNewThread { [self] in
            do { try work(path, SeededGenerator(seed: seed &+ UInt64(number))) } catch {
                state.withLock { $0.failure = "\(error)" }
            }
            state.withLock { $0.isEnded = true }
        }
    }

    var tally: Tally { state.withLock { $0 } }

    /// Waits until so many more transactions have begun and ended.
    func waitForTransactions(_ more: Int) async throws {
        let goal = tally.transactions + more
        while tally.transactions < goal, !tally.isEnded { try await Task.sleep(for: .milliseconds(5)) }
    }

    /// Ends it after the transaction in hand.
    func stop() async throws {
        state.withLock { $0.isStopping = true }
        while !tally.isEnded { try await Task.sleep(for: .milliseconds(5)) }
        if let failure = tally.failure { throw EndToEndError("writer \(number) failed: \(failure)") }
    }

    private func work(_ path: String, _ seeded: SeededGenerator) throws {
        var random = seeded
        var configuration = Configuration()
        configuration.busyMode = .timeout(30)
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = OFF") }
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        var serial = 0
        while !tally.isStopping {
            serial += 1
            do {
                try queue.inDatabase { database in
                    try database.inTransaction(.immediate) {
                        for part in 0..<8 { try change(database, "\(number)-\(serial)-\(part)", &random) }
                        return .commit
                    }
                }
                state.withLock { $0.transactions += 1 }
            } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_CONSTRAINT_TRIGGER {
                // The fence: these keys may no longer seal. An application fetches the new ones and tries again.
                state.withLock { $0.refusals += 1 }
            }
            Thread.sleep(forTimeInterval: 0.004)
        }
    }

    private func change(_ database: Database, _ text: String, _ random: inout SeededGenerator) throws {
        let keys = self.keys.present
        let count = try Int64.fetchOne(database, sql: "SELECT count(*) FROM expected") ?? 0
        let offset = Int64.random(in: 0..<max(1, count), using: &random)
        let existing = try Int64.fetchOne(
            database, sql: "SELECT id FROM expected LIMIT 1 OFFSET ?", arguments: [offset])
        switch Int.random(in: 0..<10, using: &random) {
        case 0:
            let id = Int64.random(in: 100_000..<200_000, using: &random) * 10 + Int64(number)
            try write(database, id, text, keys)
        case 1:
            try database.execute(sql: "DELETE FROM secret WHERE id = ?", arguments: [existing])
            try database.execute(sql: "DELETE FROM expected WHERE id = ?", arguments: [existing])
        default: if let existing { try write(database, existing, text, keys) }
        }
    }

    private func write(_ database: Database, _ id: Int64, _ text: String, _ keys: HeldKeys) throws {
        let value = try keys.seal(text, at: place(id))
        try database.execute(
            sql: "INSERT INTO secret VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value",
            arguments: [id, value])
        try database.execute(
            sql: "INSERT INTO expected VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text",
            arguments: [id, text])
    }
}
