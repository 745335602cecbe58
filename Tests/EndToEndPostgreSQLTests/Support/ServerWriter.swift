import Foundation
import PluginKit
import PostgreSQLTesting
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
/// It updates, inserts, deletes and replaces rows of `secret`, several a transaction and in the order of their keys, so
/// that two writers never lock each other out. What it commits stands in `expected` too, by the same transaction.
final class ServerWriter: Sendable {
    /// What it has done so far.
    struct Tally {
        var transactions = 0
        var refusals = 0
        var longest = Duration.zero
        var failure: String?
        var isEnded = false
        fileprivate var isStopping = false
    }

    private let state = Mutex(Tally())
    private let keys: SharedKeys
    private let place: @Sendable (String) -> ValueContext
    private let number: Int
    private let rows: Int

    /// Starts a writer; its inserts have ids that no other number's have.
    init(
        _ number: Int, _ connection: ApplicationConnection, rows: Int, keys: SharedKeys, seed: UInt64,
        place: @escaping @Sendable (String) -> ValueContext
    ) {
        self.keys = keys
        self.place = place
        self.number = number
        self.rows = rows
        Thread.detachNewThread { [self] in
            do { try work(connection, SeededGenerator(seed: seed &+ UInt64(number))) } catch {
                state.withLock { $0.failure = "\(error)" }
            }
            state.withLock { $0.isEnded = true }
        }
    }

    var tally: Tally { state.withLock { $0 } }

    /// Ends it after the transaction in hand.
    ///
    /// - Throws: ``EndToEndError`` where it had failed.
    func stop() async throws {
        state.withLock { $0.isStopping = true }
        while !tally.isEnded { try await Task.sleep(for: .milliseconds(5)) }
        if let failure = tally.failure { throw EndToEndError("writer \(number) failed: \(failure)") }
    }

    private func work(_ connection: ApplicationConnection, _ seeded: SeededGenerator) throws {
        var random = seeded
        var serial = 0
        while !tally.isStopping {
            serial += 1
            let ids = Set((0..<6).map { _ in Int.random(in: 1...rows, using: &random) }).sorted()
            var statements = try ids.map { try change($0, "\(number)-\(serial)-\($0)", &random) }
            statements.append(try write(rows + serial * 10 + number, "\(number)-\(serial)", "INSERT"))
            let begun = ContinuousClock.now
            do {
                try connection.run("BEGIN; \(statements.joined(separator: "; ")); COMMIT")
                let took = ContinuousClock.now - begun
                state.withLock { state in
                    state.transactions += 1
                    state.longest = max(state.longest, took)
                }
            } catch let error as ApplicationError where error.description.contains("keyturn") {
                // The fence: these keys may no longer seal. An application fetches the new ones and tries again.
                try connection.run("ROLLBACK")
                state.withLock { $0.refusals += 1 }
            }
            Thread.sleep(forTimeInterval: 0.003)
        }
    }

    private func change(_ id: Int, _ text: String, _ random: inout SeededGenerator) throws -> String {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: "DELETE FROM secret WHERE id = \(id); DELETE FROM expected WHERE id = \(id)"
        case 1: "SELECT FROM secret WHERE id = \(id) FOR UPDATE; " + (try write(id, text, "UPDATE"))
        case 2, 3: try write(id, text, "UPDATE")
        default: try write(id, text, "INSERT")
        }
    }

    private func write(_ id: Int, _ text: String, _ kind: String) throws -> String {
        let value = try keys.present.seal(text, at: place("\(id)"))
        return [("secret", value), ("expected", text)].map { table, value in
            kind == "UPDATE"
                ? "UPDATE \(table) SET value = '\(value)' WHERE id = \(id)"
                : "INSERT INTO \(table) VALUES (\(id), '\(value)') ON CONFLICT (id) DO UPDATE SET value = excluded.value"
        }.joined(separator: "; ")
    }
}
