internal import KeyModel

/// Says why the database did not do what was asked.
package struct StorageError: Error, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, Sendable {
        /// A text names no column; correcting it helps.
        case callerNameMalformed
        /// A `where` or another piece of SQL from the configuration does not parse; correcting it helps.
        case callerSQLMalformed
        /// The database cannot be opened or reached; a retry can help.
        case storeUnavailable
        /// Another connection held a lock for too long; a retry helps.
        case storeBusy
        /// A row of the batch is locked by another transaction; fewer rows at a time, or a retry, help.
        case storeRowLocked
        /// The disk, or the database's own limit, is full; nothing of the transaction was written.
        case storeFull
        /// The database or its file may only be read.
        case storeReadOnly
        /// A table or a column is not there.
        case storeObjectMissing
        /// A constraint or a trigger of the database refused a row; nothing of the transaction was written.
        case storeRowRefused
        /// What stands in the row after writing is not what was written: a trigger or a type changed it; rolled back.
        case storeValueAltered
        /// A fence of ours refused a value.
        case storeFenceRefused
        /// The file is damaged.
        case storeDamaged
        /// The database answered something that it should not have.
        case storeUnexpected
    }

    /// Which of them.
    package let code: Code
    /// What could not be done, and why; lower case, one line, without bound values.
    package let message: String
    /// What to do about it.
    package var hint: String?
    /// What lay beneath.
    package var cause: (any Error)?

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause
    }

    /// Whether the same call may succeed a moment later.
    package var isTransient: Bool { code == .storeBusy || code == .storeUnavailable }
}

extension StorageError: CodedError {
    /// The stable name of the code.
    package var codeName: String { code.rawValue }
}
