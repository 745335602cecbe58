internal import Foundation
internal import GRDB
internal import GRDBSQLite
package import Storage
internal import Synchronization

/// A database file of SQLite, through one writing and one reading connection.
///
/// Two plain connections rather than a pool: a pool would switch the file to WAL, and the journal mode belongs to the
/// application. In WAL mode the next window is read while a batch is written; in the other modes the two take turns,
/// so windows and batches are short. Each connection works on a dispatch queue of its own.
package final class SQLiteEngine: StorageEngine {
    /// `sqlite` and the version of the library, such as `sqlite 3.40.1`.
    package let description = "sqlite \(String(cString: sqlite3_libversion()))"
    /// Batches of a thousand neighbours, since the write lock is then held for milliseconds, and neighbours share pages.
    ///
    /// Windows of four, so that small tables too are read, decided and written at the same time.
    package let tuning = BatchTuning(windowRows: 4_000, batchesPerWindow: 4, isStrided: false)

    /// A column takes values of any type.
    package let bindsTypes = false

    /// Free pages are overwritten (`secure_delete`), a log that was not yet reset and copies of the file are not.
    package let placesOfOldBytes = [
        "the write-ahead log or rollback journal until it is reset", "backups and other copies of the file",
    ]

    /// The log takes at least so much.
    private static let leastLogBytes: Int64 = 16 << 20

    /// Above so many pages that cannot be copied back, some reader is in the way; SQLite copies at 1,000 by itself.
    private static let mostUncopiedPages: Int32 = 16_384

    let file: DatabaseFile
    private let writer: DatabaseQueue?
    private let reader: DatabaseQueue
    private let memory = SchemaMemory()

    /// Opens a database file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - isReadOnly: Whether the file is opened such that nothing can be written to it or beside it.
    ///   - create: Whether a missing file is created, readable by its owner alone.
    ///   - busyTimeout: How long a call waits for a lock that another connection holds.
    /// - Throws: ``StorageError`` with `storeUnavailable`, `storeDamaged`, `storeBusy` or `storeFull`.
    package init(
        path: String, isReadOnly: Bool = false, create: Bool = false, busyTimeout: Duration = .seconds(5)
    ) throws {
        file = DatabaseFile(path: path, busyTimeout: busyTimeout)
        try file.check(creating: create && !isReadOnly)
        writer = isReadOnly ? nil : try file.open(.writing)
        do {
            reader = try file.open(isReadOnly ? .readingOnly : .reading)
        } catch {
            try? writer?.close()
            throw error
        }
    }

    /// Reads through the second connection, in one deferred transaction.
    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value {
        try await transaction(.deferred, on: reader, body)
    }

    /// Writes through the first connection, in one immediate transaction.
    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value {
        guard let writer else { throw file.readOnly }
        return try await transaction(.immediate, on: writer, body)
    }

    /// Waits until every transaction that began before the call has ended.
    ///
    /// SQLite has one writer, so taking its lock once proves that the older ones are gone. A transaction that has only
    /// read so far cannot write after that: WAL refuses to upgrade a stale snapshot, and in the other modes a commit
    /// waits for every reader.
    package func waitForOlderTransactions(limit: Duration) async throws {
        guard let writer else { return }
        let file = file
        try await perform(on: writer) { database, _ in
            sqlite3_busy_timeout(database.sqliteConnection, limit.milliseconds)
            defer { sqlite3_busy_timeout(database.sqliteConnection, file.busyTimeout.milliseconds) }
            do {
                try database.inTransaction(.immediate) { .rollback }
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
                throw StorageError(
                    .storeBusy,
                    "cannot wait for older transactions of \(file): another connection has held the write lock"
                        + " for more than \(limit)",
                    hint: "End the transaction that the application left open, then retry.")
            }
        }
    }

    /// The file and the log beside it; SQLite does not tell tables apart without being built for it.
    package func sizeOnDisk(of table: TableName) async throws -> Int64 { file.sizeOnDisk }

    /// A reader that has kept the write-ahead log from being reset for long.
    package func reuseHindrance() async throws -> String? {
        guard let writer else { return nil }
        return try await perform(on: writer) { database, _ in
            var (logged, copied): (Int32, Int32) = (0, 0)
            let code = sqlite3_wal_checkpoint_v2(
                database.sqliteConnection, nil, SQLITE_CHECKPOINT_PASSIVE, &logged, &copied)
            guard code == SQLITE_OK, logged - copied > Self.mostUncopiedPages else { return nil }
            return "a reader of the file keeps \(logged - copied) pages of the write-ahead log from being reused"
        }
    }

    /// Does nothing: overwritten rows are reused at once.
    package func reclaim(_ table: TableName) async throws {}

    /// What the values grow by, and the log of what is not copied into the file yet.
    package func rewriteCost(rows: Int64, bytesBefore: Int64, bytesAfter: Int64, tableBytes: Int64) -> RewriteCost {
        RewriteCost(tables: max(0, bytesAfter - bytesBefore) + max(Self.leastLogBytes, tableBytes / 10))
    }

    /// The room left where the file stands.
    package func diskRoom(for tables: [TableName]) async throws -> DiskRoom { DiskRoom(tables: try file.freeBytes()) }

    /// Closes both connections behind the work that is queued on them.
    package func close() async {
        for queue in [reader, writer].compactMap(\.self) { await Self.close(queue) }
    }
}

extension SQLiteEngine {
    /// Closes a connection behind the work that is queued on it; there is nobody to tell where that fails.
    private static func close(_ queue: DatabaseQueue) async {
        await withCheckedContinuation { continuation in
            queue.asyncWriteWithoutTransaction { _ in continuation.resume() }
        }
        try? queue.close()
    }

    private func transaction<Value: Sendable>(
        _ kind: Database.TransactionKind, on queue: DatabaseQueue,
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value {
        let (file, memory) = (file, memory)
        return try await perform(on: queue) { database, isCancelled in
            if database.isInsideTransaction { try database.rollback() }
            var result: Value?
            try database.inTransaction(kind) {
                if isCancelled() { throw CancellationError() }
                result = try body(SQLiteSession(database: database, file: file, memory: memory))
                return .commit
            }
            guard let result else { throw file.unexpected("a transaction ended without a result") }
            return result
        }
    }

    /// Runs work on the queue of a connection; cancelling the task drops it while it waits and never interrupts it later.
    ///
    /// GRDB's own async calls are left aside, since they interrupt a running statement when the task is cancelled.
    private func perform<Value: Sendable>(
        on queue: DatabaseQueue, _ work: @escaping @Sendable (Database, () -> Bool) throws -> Value
    ) async throws -> Value {
        let cancellation = Cancellation()
        let file = file
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                queue.asyncWriteWithoutTransaction { database in
                    continuation.resume(
                        with: Result {
                            if cancellation.isCancelled { throw CancellationError() }
                            guard database.sqliteConnection != nil else { throw file.closed }
                            do { return try work(database) { cancellation.isCancelled } } catch let error
                                as DatabaseError
                            {
                                throw file.error(of: error)
                            }
                        })
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
    }
}

/// Whether the task that asked for some work has given up.
private final class Cancellation: Sendable {
    private let flag = Atomic(false)

    var isCancelled: Bool { flag.load(ordering: .relaxed) }

    func cancel() { flag.store(true, ordering: .relaxed) }
}

extension Duration {
    /// Whole milliseconds, at least 0, at most about eleven days.
    var milliseconds: CInt {
        let whole = min(max(0, components.seconds), 1_000_000)
        return CInt(whole * 1000 + max(0, components.attoseconds) / 1_000_000_000_000_000)
    }
}
