internal import Foundation
internal import GRDB
internal import GRDBSQLite
internal import KeyModel
internal import Storage

/// Copies database files with SQLite's online backup, while others read and write them.
package struct SQLiteFileCopier: Sendable {
    /// The version of the library, such as `3.40.1`.
    package let version = String(cString: sqlite3_libversion())

    /// Copied between two looks at the clock and at whether to stop.
    private static let pagesPerStep: CInt = 1024
    /// After so many beginnings the writers are held off instead.
    private static let mostRestarts = 3

    private let patience: Duration

    /// Makes a copier that waits so long for those who hold what it is to replace.
    package init(patience: Duration = .seconds(10)) { self.patience = patience }

    /// Copies a database as it is at one instant to a new file, durable when the call returns.
    ///
    /// In WAL mode one view is held to the end, and writers go on. In the other modes a writer makes the copy begin anew; after
    /// three times the rest is copied in one step, during which writers wait.
    ///
    /// - Throws: ``StorageError``, or `CancellationError`; nothing is left behind then.
    package func copy(
        _ source: String, to target: String, bytesPerSecond: Int64?, isCancelled: @escaping @Sendable () -> Bool
    ) throws {
        let from = DatabaseFile(path: source, busyTimeout: .seconds(60))
        let to = DatabaseFile(path: target, busyTimeout: .seconds(5))
        try from.check(creating: false)
        guard access(target, F_OK) != 0 else {
            throw StorageError(.storeUnavailable, "cannot write \(to): a file stands there")
        }
        do {
            try to.check(creating: true)
            let input = try from.open(.reading)
            defer { try? input.close() }
            // No journal beside the copy: it is whole or it is removed.
            let output = try DatabaseQueue(path: to.path)
            do {
                try output.inDatabase { try $0.execute(sql: "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF") }
                let pace = Pace(bytesPerSecond: bytesPerSecond, isCancelled: isCancelled)
                try input.inDatabase { database in try output.inDatabase { try copy(database, to: $0, pace) } }
                try output.close()
            } catch {
                try? output.close()
                throw to.error(of: error, doing: "write")
            }
            try synchronize(target)
        } catch {
            for suffix in ["", "-journal", "-wal", "-shm"] { unlink(target + suffix) }
            throw error
        }
    }

    /// Checks every page and index of a database file.
    ///
    /// - Throws: ``StorageError`` with `storeDamaged`, among others.
    package func check(_ path: String) throws {
        let file = DatabaseFile(path: path, busyTimeout: .seconds(5))
        try file.check(creating: false)
        let queue = try file.open(.reading)
        defer { try? queue.close() }
        do {
            let found = try queue.inDatabase { try String.fetchOne($0, sql: "PRAGMA integrity_check(1)") }
            guard found == "ok" else {
                throw StorageError(.storeDamaged, "\(file) is damaged: \(quoted(found ?? "no answer"))")
            }
        } catch { throw file.error(of: error, doing: "check") }
    }

    /// Writes a database over another one, in one transaction of the other one.
    ///
    /// The file stays the same one: whoever has it open sees the old database up to the commit and the new one from then on,
    /// and what any of them writes or closes later belongs to what stands there. A crash leaves the one or the other.
    ///
    /// - Throws: ``StorageError`` with `storeBusy` where others hold it for too long, `storeDamaged` where what stands there is
    ///   no database, or `storeFull`; nothing was changed then.
    package func replace(_ path: String, with source: String) throws {
        let (from, to) = (
            DatabaseFile(path: source, busyTimeout: .seconds(5)), DatabaseFile(path: path, busyTimeout: patience)
        )
        try from.check(creating: false)
        try to.check(creating: false)
        let input = try from.open(.reading)
        defer { try? input.close() }
        let output = try to.open(.writing)
        defer { try? output.close() }
        do {
            let size = try input.inDatabase { try Int.fetchOne($0, sql: "PRAGMA page_size") }
            try output.inDatabase { database in
                let isLogged = try String.fetchOne(database, sql: "PRAGMA journal_mode") == "wal"
                let present = try Int.fetchOne(database, sql: "PRAGMA page_size")
                guard !isLogged || present == size else {
                    throw StorageError(
                        .storeUnavailable,
                        "cannot replace \(to): its pages are of another size, which its log does not allow",
                        hint: "Restore to a new file, stop whatever uses the old one, and put the new one in its place."
                    )
                }
            }
            try input.inDatabase { database in try output.inDatabase { try database.backup(to: $0) } }
        } catch { throw to.error(of: error, doing: "replace") }
        // So that the file alone is complete; where a reader holds the log, whoever closes last sees to it.
        _ = try? output.inDatabase { try Int.fetchOne($0, sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
    }

    private func copy(_ source: Database, to target: Database, _ pace: Pace) throws {
        let mode = try String.fetchOne(source, sql: "PRAGMA journal_mode")
        let size = try Int64.fetchOne(source, sql: "PRAGMA page_size") ?? 4096
        guard mode != "wal" else {
            try source.execute(sql: "BEGIN DEFERRED")
            defer { try? source.execute(sql: "ROLLBACK") }
            _ = try Int64.fetchOne(source, sql: "SELECT count(*) FROM sqlite_schema")
            return try source.backup(to: target, pagesPerStep: Self.pagesPerStep) { try pace.step($0, size) }
        }
        var last = Int.max
        var restarts = 0
        do {
            try source.backup(to: target, pagesPerStep: Self.pagesPerStep) { progress in
                if progress.remainingPageCount > last { restarts += 1 }
                last = progress.remainingPageCount
                guard restarts < Self.mostRestarts else { throw Restarted() }
                try pace.step(progress, size)
            }
        } catch is Restarted {
            try source.backup(to: target)
        }
    }

    private func synchronize(_ path: String) throws {
        let file = DatabaseFile(path: path, busyTimeout: .zero)
        let descriptor = Foundation.open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw file.unavailable(String(cString: strerror(errno))) }
        defer { Foundation.close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw file.storageError(SQLITE_FULL, String(cString: strerror(errno)), doing: "write")
        }
    }

    private struct Restarted: Error {}
}

/// Holds a copy back to a pace, and stops it where nobody wants it any more.
private struct Pace {
    let bytesPerSecond: Int64?
    let isCancelled: @Sendable () -> Bool
    private let start = ContinuousClock.now

    init(bytesPerSecond: Int64?, isCancelled: @escaping @Sendable () -> Bool) {
        self.bytesPerSecond = bytesPerSecond
        self.isCancelled = isCancelled
    }

    func step(_ progress: DatabaseBackupProgress, _ pageSize: Int64) throws {
        if isCancelled() { throw CancellationError() }
        guard let bytesPerSecond, bytesPerSecond > 0 else { return }
        let copied = Int64(progress.totalPageCount - progress.remainingPageCount) * pageSize
        let due = start + .seconds(Double(copied) / Double(bytesPerSecond))
        while ContinuousClock.now < due {
            if isCancelled() { throw CancellationError() }
            poll(nil, 0, 50)
        }
    }
}
