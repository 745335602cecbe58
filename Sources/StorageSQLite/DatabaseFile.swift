internal import Foundation
internal import GRDB
internal import GRDBSQLite
internal import KeyModel
internal import Storage

/// The file of a database: how it is opened, and how it is named in messages.
struct DatabaseFile: Sendable, CustomStringConvertible {
    /// What a connection is for.
    enum Purpose {
        /// It writes.
        case writing
        /// It reads beside a writing one. It may still recover what a dead application left half-written.
        case reading
        /// It reads, and nothing may change, not even by recovery.
        case readingOnly
    }

    let path: String
    let busyTimeout: Duration

    /// Takes a path as one, also where SQLite would take it for a URI or for a database in memory.
    init(path: String, busyTimeout: Duration) {
        self.path = path.hasPrefix("/") ? path : "./\(path)"
        self.busyTimeout = busyTimeout
    }

    /// The file as messages name it.
    var description: String { quoted(path) }

    /// Checks that there is a file that could be a database, and makes an empty one where that is asked for.
    func check(creating: Bool) throws {
        guard !path.utf8.contains(0) else { throw unavailable("the path holds a zero byte") }
        var status = stat()
        if stat(path, &status) != 0 {
            guard errno == ENOENT else { throw unavailable(Self.errnoText) }
            guard creating else {
                throw StorageError(
                    .storeUnavailable, "cannot open \(self): there is no such file",
                    hint: "Check the path; a database is only created where that was asked for.")
            }
            return try create()
        }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw unavailable("it is a directory") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw unavailable("it is not a regular file") }
    }

    /// Opens a connection and reads from the file once, so that what is no database is told now.
    func open(_ purpose: Purpose) throws -> DatabaseQueue {
        do {
            let queue = try DatabaseQueue(path: path, configuration: configuration(purpose))
            try queue.inDatabase { database in
                _ = try Row.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema")
            }
            return queue
        } catch { throw self.error(of: error, doing: "open") }
    }

    /// The bytes of the file and of the log or journal beside it.
    var sizeOnDisk: Int64 {
        ["", "-wal", "-journal"].reduce(0) { sum, suffix in
            var status = stat()
            return stat(path + suffix, &status) == 0 ? sum + Int64(status.st_size) : sum
        }
    }

    /// The room left where the file stands, in bytes.
    func freeBytes() throws -> Int64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw unavailable(Self.errnoText) }
        return Int64(
            clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }

    private func configuration(_ purpose: Purpose) -> Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(TimeInterval(busyTimeout.milliseconds) / 1000)
        configuration.readonly = purpose == .readingOnly
        // Else a rollback that the disk refuses would be a trap; the next transaction ends what is left instead.
        configuration.allowsUnsafeTransactions = true
        // An update checks a foreign key only where it changes a column of one, so this costs ours nothing, keeps the
        // references within the control schema as other engines do, and refuses rather than breaks the application's.
        configuration.foreignKeysEnabled = true
        // Triggers of the application run inside our updates, and may hold string literals in double quotes.
        configuration.acceptsDoubleQuotedStringLiterals = purpose == .writing
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA secure_delete = ON")
            // FULL, and in the rollback modes the directory too, so that a commit is durable once it returns.
            try database.execute(sql: "PRAGMA synchronous = EXTRA")
            if purpose == .reading { try database.execute(sql: "PRAGMA query_only = ON") }
        }
        return configuration
    }

    private func create() throws {
        let descriptor = Foundation.open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw unavailable(Self.errnoText) }
        Foundation.close(descriptor)
    }

    private static var errnoText: String { String(cString: strerror(errno)).lowercased() }
}
