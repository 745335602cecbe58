internal import GRDB
internal import GRDBSQLite
internal import PluginKit
internal import Storage

/// A prepared statement that is bound and stepped through the C interface.
///
/// Values go in and come out byte for byte, which GRDB's own conversions do not promise for text.
struct SQLiteStatement {
    private let statement: Statement
    private let file: DatabaseFile
    private let action: String
    private let object: String?
    // Safety: the handle lives as long as `statement`, and both stay on the queue of their connection.
    private let handle: OpaquePointer

    /// Prepares a statement, or takes it from the connection's cache.
    ///
    /// - Parameters:
    ///   - sql: One statement.
    ///   - session: The session.
    ///   - isCached: Whether it is kept for the next time.
    ///   - action: The verb that a message begins with.
    ///   - object: What it is done to, for messages; nil for the file as a whole.
    /// - Throws: ``StorageError`` where the statement does not compile.
    init(
        _ sql: String, in session: SQLiteSession, isCached: Bool = true, doing action: String, _ object: String? = nil
    ) throws {
        file = session.file
        self.action = action
        self.object = object
        do {
            let database = session.database
            statement =
                isCached ? try database.cachedStatement(sql: sql) : try database.makeStatement(sql: sql)
        } catch { throw session.file.error(of: error, doing: action, object) }
        handle = statement.sqliteStatement
        reset()
    }

    /// Whether the statement changes nothing.
    var isReadOnly: Bool { sqlite3_stmt_readonly(handle) != 0 }
    /// How many values are to be bound.
    var parameterCount: Int { Int(sqlite3_bind_parameter_count(handle)) }
    /// How many columns a row has.
    var columnCount: CInt { sqlite3_column_count(handle) }

    /// Makes the statement ready for its next run and lets go of what was bound.
    func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    /// Advances to the next row; false at the end.
    func step() throws -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure()
        }
    }

    /// Runs to the end; the caller makes ready again.
    func run() throws { while try step() {} }

    private func failure() -> StorageError {
        let connection = sqlite3_db_handle(handle)
        let detail = String(cString: sqlite3_errmsg(connection))
        return file.storageError(sqlite3_extended_errcode(connection), detail, doing: action, object)
    }

    private func check(_ code: CInt) throws {
        guard code == SQLITE_OK else { throw failure() }
    }
}

extension SQLiteStatement {
    /// Binds a value of the control schema; positions begin at 1.
    func bind(_ value: SQLValue, at index: CInt) throws {
        switch value {
        case .null: try check(sqlite3_bind_null(handle, index))
        case .integer(let number): try check(sqlite3_bind_int64(handle, index, number))
        case .real(let number): try check(sqlite3_bind_double(handle, index, number))
        case .text(let text):
            var text = text
            try text.withUTF8 { try bindText($0, at: index) }
        case .blob(let bytes): try bytes.withUnsafeBufferPointer { try bindBlob($0, at: index) }
        }
    }

    /// Binds a component of a key with the very type it was read with.
    func bind(_ component: KeyComponent, at index: CInt) throws {
        switch component {
        case .integer(let number): try check(sqlite3_bind_int64(handle, index, number))
        case .text(let bytes): try bytes.withUnsafeBufferPointer { try bindText($0, at: index) }
        case .uuid(let text): try bind(SQLValue.text(text), at: index)
        case .blob(let bytes): try bytes.withUnsafeBufferPointer { try bindBlob($0, at: index) }
        }
    }

    /// Binds a stored value; a number is bound in its text form.
    func bind(_ value: StoredValue, at index: CInt) throws {
        switch value {
        case .null: try check(sqlite3_bind_null(handle, index))
        case .text(let bytes): try bytes.withUnsafeBufferPointer { try bindText($0, at: index) }
        case .blob(let bytes): try bytes.withUnsafeBufferPointer { try bindBlob($0, at: index) }
        case .other(let text): try bind(SQLValue.text(text), at: index)
        }
    }

    private func bindText(_ bytes: UnsafeBufferPointer<UInt8>, at index: CInt) throws {
        try bytes.withMemoryRebound(to: CChar.self) { characters in
            // An empty array has no address, and no address would bind NULL.
            guard let start = characters.baseAddress, !characters.isEmpty else {
                return try check(sqlite3_bind_text(handle, index, "", 0, Self.copying))
            }
            let count = sqlite3_uint64(characters.count)
            try check(sqlite3_bind_text64(handle, index, start, count, Self.copying, UInt8(SQLITE_UTF8)))
        }
    }

    private func bindBlob(_ bytes: UnsafeBufferPointer<UInt8>, at index: CInt) throws {
        guard let start = bytes.baseAddress, !bytes.isEmpty else {
            return try check(sqlite3_bind_zeroblob(handle, index, 0))
        }
        try check(sqlite3_bind_blob64(handle, index, start, sqlite3_uint64(bytes.count), Self.copying))
    }

    /// SQLITE_TRANSIENT: SQLite takes a copy before the call returns.
    private static var copying: sqlite3_destructor_type {
        unsafeBitCast(OpaquePointer(bitPattern: -1), to: sqlite3_destructor_type.self)
    }
}

extension SQLiteStatement {
    /// The value of a column of the control schema or the catalogue; positions begin at 0.
    func value(_ column: CInt) throws -> SQLValue {
        switch sqlite3_column_type(handle, column) {
        case SQLITE_NULL: .null
        case SQLITE_INTEGER: .integer(sqlite3_column_int64(handle, column))
        case SQLITE_FLOAT: .real(sqlite3_column_double(handle, column))
        case SQLITE_TEXT: .text(String(decoding: try text(column), as: UTF8.self))
        default: .blob(try blob(column))
        }
    }

    /// The value of an encrypted column, byte for byte.
    func storedValue(_ column: CInt) throws -> StoredValue {
        switch sqlite3_column_type(handle, column) {
        case SQLITE_NULL: .null
        case SQLITE_TEXT: .text(try text(column))
        case SQLITE_BLOB: .blob(try blob(column))
        default: .other(String(decoding: try text(column), as: UTF8.self))
        }
    }

    /// The value of a key column; nil where it is of a type that cannot name a row.
    func keyComponent(_ column: CInt) throws -> KeyComponent? {
        switch sqlite3_column_type(handle, column) {
        case SQLITE_INTEGER: .integer(sqlite3_column_int64(handle, column))
        case SQLITE_TEXT: .text(try text(column))
        case SQLITE_BLOB: .blob(try blob(column))
        default: nil
        }
    }

    /// Whether the value of a column is a number other than 0.
    func isTrue(_ column: CInt) -> Bool { sqlite3_column_int64(handle, column) != 0 }

    private func text(_ column: CInt) throws -> Bytes {
        // The pointer first: asking for it converts a value of a UTF-16 database, and with it the count.
        guard let start = sqlite3_column_text(handle, column) else { throw failure() }
        return Bytes(UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }

    private func blob(_ column: CInt) throws -> Bytes {
        guard let start = sqlite3_column_blob(handle, column) else {
            // An empty blob has no address; neither has one that memory did not suffice for.
            guard sqlite3_errcode(sqlite3_db_handle(handle)) != SQLITE_NOMEM else { throw failure() }
            return []
        }
        return Bytes(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }
}
