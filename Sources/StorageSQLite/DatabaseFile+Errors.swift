internal import GRDB
internal import GRDBSQLite
internal import KeyModel
internal import Storage

/// The one place where SQLite's result codes become errors of ours.
extension DatabaseFile {
    /// The text that a fence of ours refuses with; it is also how the refusal is recognised.
    static let fenceMessage = "keyturn: this column takes values sealed under the active key only"

    /// An error for whatever went wrong beneath; errors of others pass unchanged.
    func error(of error: any Error, doing action: String = "use", _ object: String? = nil) -> any Error {
        guard let error = error as? DatabaseError else { return error }
        return storageError(
            error.extendedResultCode.rawValue, error.message ?? "unknown", doing: action, object)
    }

    /// An error for a result code.
    ///
    /// - Parameters:
    ///   - code: The extended result code.
    ///   - detail: What SQLite says of it; never holds a bound value.
    ///   - action: A verb: `open`, `read`, `write`.
    ///   - object: What it was done to, where that is not the file as a whole.
    /// - Returns: The error, whose message names the file.
    func storageError(_ code: CInt, _ detail: String, doing action: String, _ object: String? = nil) -> StorageError {
        let place = object.map { "\($0) of \(self)" } ?? description
        let (kind, reason, hint) = Self.explain(code, detail)
        return StorageError(kind, "cannot \(action) \(place): \(reason)", hint: hint)
    }

    /// The file was opened for reading only.
    var readOnly: StorageError {
        StorageError(.storeReadOnly, "cannot write \(self): it was opened for reading only")
    }

    /// The engine has been closed.
    var closed: StorageError { StorageError(.storeUnavailable, "cannot use \(self): it has been closed") }

    /// The file cannot be opened.
    func unavailable(_ reason: String) -> StorageError {
        StorageError(.storeUnavailable, "cannot open \(self): \(reason)")
    }

    /// SQLite did what it should not.
    func unexpected(_ reason: String, hint: String? = nil) -> StorageError {
        StorageError(.storeUnexpected, "cannot use \(self): \(reason)", hint: hint)
    }

    private typealias Explanation = (StorageError.Code, String, String?)

    private static func explain(_ code: CInt, _ detail: String) -> Explanation {
        switch code {
        case Extended.sharedMemorySize: return full
        case Extended.shortRead: return (.storeDamaged, "the file is shorter than it should be", damagedHint)
        case Extended.readOnlyRollback, Extended.readOnlyRecovery, Extended.readOnlyCannotInitialise:
            return (
                .storeReadOnly, "what a dead connection left behind must be recovered, which needs writing",
                "Open the database once with a program that may write to it."
            )
        case Extended.readOnlyMoved:
            return (.storeUnavailable, "the file was moved or replaced while it was open", "Open it again.")
        default: return explain(primary: code & 0xFF, detail)
        }
    }

    private static func explain(primary code: CInt, _ detail: String) -> Explanation {
        switch code {
        case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL, SQLITE_SCHEMA:
            return (.storeBusy, "another connection held a lock for too long", "Retry once the application is quieter.")
        case SQLITE_FULL: return full
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
            return (
                .storeReadOnly, "it may only be read",
                "Check who may write to the file and to its directory, and how the disk is mounted."
            )
        case SQLITE_NOTADB:
            return (
                .storeDamaged, "it is not a database of SQLite, or the file is encrypted as a whole",
                "Check the path; files of SQLCipher and the like are not supported."
            )
        case SQLITE_CORRUPT: return (.storeDamaged, "the file is damaged", damagedHint)
        case SQLITE_CANTOPEN:
            return (
                .storeUnavailable, "the file cannot be opened",
                "Check the rights of the file and of its directory, in which SQLite keeps its journal."
            )
        case SQLITE_IOERR: return (.storeUnavailable, "the disk failed: \(quoted(detail))", nil)
        case SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_TOOBIG: return refused(detail)
        default: return explain(message: detail)
        }
    }

    /// Explains a plain failure, which SQLite tells apart by words only.
    private static func explain(message: String) -> Explanation {
        let missing = ["no such table", "no such column", "no such index", "has no column named"]
        if missing.contains(where: message.contains) { return (.storeObjectMissing, quoted(message), nil) }
        if message.contains("no such function") || message.contains("no such collation") {
            return (
                .storeUnexpected, quoted(message),
                "A trigger, index or predicate uses what only the application defines; it cannot run elsewhere."
            )
        }
        return (.storeUnexpected, quoted(message), nil)
    }

    private static func refused(_ detail: String) -> Explanation {
        detail == fenceMessage
            ? (
                .storeFenceRefused, "the fence takes values sealed under the active key only",
                "Seal the value first; where a run was refused, a trigger of the table changes what it writes."
            )
            : (.storeRowRefused, "a constraint or a trigger refused a row: \(quoted(detail))", nil)
    }

    private static var full: Explanation {
        (.storeFull, "the disk is full", "Make room; nothing of the transaction was written.")
    }

    private static var damagedHint: String { "Check it with PRAGMA integrity_check, and restore it from a backup." }
}

/// The extended codes that matter; they are macros with operators, which are not imported.
private enum Extended {
    static let shortRead = SQLITE_IOERR | 2 << 8
    static let sharedMemorySize = SQLITE_IOERR | 19 << 8
    static let readOnlyRecovery = SQLITE_READONLY | 1 << 8
    static let readOnlyRollback = SQLITE_READONLY | 3 << 8
    static let readOnlyMoved = SQLITE_READONLY | 4 << 8
    static let readOnlyCannotInitialise = SQLITE_READONLY | 5 << 8
}
