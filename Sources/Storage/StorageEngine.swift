package import KeyModel

/// A database, through one of the drivers; nothing above this protocol knows which.
///
/// Calls block on executors of the driver's own, never on the shared pool.
package protocol StorageEngine: Sendable {
    /// What stands in messages and proofs, such as `sqlite 3.40.1`.
    var description: String { get }

    /// How windows are best divided.
    var tuning: BatchTuning { get }

    /// Whether it is a server that may come back by itself after it was lost.
    var mayComeBack: Bool { get }

    /// Whether a column holds only what its type says.
    var bindsTypes: Bool { get }

    /// Where bytes of overwritten values may remain on this engine, in words, for the proof.
    var placesOfOldBytes: [String] { get }

    /// Runs statements that only read, on one consistent view, which ends with the call.
    ///
    /// - Throws: ``StorageError``, or what `body` throws.
    func read<Value: Sendable>(_ body: @escaping @Sendable (any StorageSession) throws -> Value) async throws -> Value

    /// Runs a transaction: committed when `body` returns, rolled back when it throws.
    ///
    /// Durable when the call returns. Cancelling the task before `body` starts runs nothing; once started, it ends.
    ///
    /// - Throws: ``StorageError``, or what `body` throws.
    func write<Value: Sendable>(_ body: @escaping @Sendable (any StorageSession) throws -> Value) async throws -> Value

    /// Waits until every transaction that began before the call has ended, so that none of them can still write
    /// under an older fence.
    ///
    /// - Throws: ``StorageError`` with `storeBusy` when that takes longer than `limit`; the message names the oldest.
    func waitForOlderTransactions(limit: Duration) async throws

    /// The bytes on disk that a table, its indexes and what belongs to it take now; the whole database where the engine
    /// cannot tell them apart.
    func sizeOnDisk(of table: TableName) async throws -> Int64

    /// What keeps the engine from reusing the room of overwritten rows, in words: an old snapshot and who holds it; nil
    /// where nothing does.
    func reuseHindrance() async throws -> String?

    /// Gives the room of overwritten rows back for reuse, where that takes a command of its own.
    func reclaim(_ table: TableName) async throws

    /// What rewriting so many values takes on disk, about, from their bytes before and after and those of the table with its
    /// indexes.
    func rewriteCost(rows: Int64, bytesBefore: Int64, bytesAfter: Int64, tableBytes: Int64) -> RewriteCost

    /// The room for these tables to grow, and for a write-ahead log, as far as it is known.
    func diskRoom(for tables: [TableName]) async throws -> DiskRoom

    /// Gives back connections and files.
    func close() async
}

extension StorageEngine {
    /// A file does not.
    package var mayComeBack: Bool { false }

    /// A server's do.
    package var bindsTypes: Bool { true }
}

/// A connection inside a transaction or a consistent view; must not leave the closure it was given to.
package protocol StorageSession {
    /// Runs a statement and returns its rows, at most 100 000.
    ///
    /// - Throws: ``StorageError``.
    func query(_ sql: SQL) throws -> [SQLRow]

    /// Runs a statement and returns how many rows it changed.
    ///
    /// - Throws: ``StorageError``.
    @discardableResult func execute(_ sql: SQL) throws -> Int

    /// Runs a statement no later than the transaction commits; what becomes of it is known only then.
    ///
    /// - Throws: ``StorageError``.
    func postpone(_ sql: SQL) throws

    /// What follows a `SELECT` of one row of ours so that nobody changes the row before the transaction ends; nothing where
    /// there is one writer.
    var sharedRowLock: SQL { get }

    /// What follows a `SELECT` of one row of ours that this transaction is about to change; nothing where there is one writer.
    var exclusiveRowLock: SQL { get }

    /// The database's own clock, read now.
    func currentTime() throws -> Timestamp

    /// Ends this transaction should this process stand still in its midst for longer; nothing where one process works alone.
    func limitIdleTime(_ limit: Duration) throws

    /// Ends the transactions of other processes of ours that have stood still for so long, with the locks that they hold;
    /// nothing where one process works alone.
    ///
    /// - Throws: ``StorageError``.
    func endAbandonedTransactions(idleFor limit: Duration) throws

    /// The engine's word for a column type of the control schema.
    func columnType(_ type: ControlType) -> SQL

    /// Makes room for the control schema itself (a schema on PostgreSQL, nothing on SQLite).
    func createControlSchema() throws

    /// The names of the control tables that exist, without their prefix.
    func controlTables() throws -> Set<String>

    /// The tables of the application, those of ours left out.
    func tables() throws -> [TableName]

    /// Describes a table; nil where there is none.
    func describe(_ table: TableName) throws -> TableDescription?

    /// About how many rows of a column a pass over it reads: those with a value, in the scope.
    ///
    /// Small tables are counted; of larger ones it is an estimate that costs no reading of the table.
    func estimatedRows(of target: ColumnTarget, scope: RowScope) throws -> Int64

    /// Checks that SQL from the configuration is one expression over a table's columns, without side effects.
    ///
    /// - Throws: ``StorageError`` with `callerSQLMalformed`.
    func checkPredicate(_ predicate: String, on table: TableName) throws

    /// Reads the next rows of a column in key order; drained before it returns.
    ///
    /// - Throws: ``StorageError``; `storeUnexpected` names a row whose key cannot be used.
    func readWindow(_ request: WindowRequest) throws -> Window

    /// Reads single rows again by their keys; those that are gone are left out.
    func readRows(_ keys: [RowKey], of target: ColumnTarget) throws -> [StoredRow]

    /// Replaces values, each only if the old one still stands there byte for byte and the predicate still picks the row.
    ///
    /// - Returns: For each swap, in order, whether the row was written.
    /// - Throws: ``StorageError`` with `storeValueAltered` where ``ColumnTarget/readsBack`` finds another value, or
    ///   `storeRowLocked`.
    func swap(_ swaps: [Swap], in target: ColumnTarget, _ lockedRows: LockedRows) throws -> [Bool]

    /// Lets a transaction that swaps after this commit without waiting for the disk, where the engine can: a server that
    /// dies may lose it, whole, until a later transaction has waited.
    func commitAsynchronously()

    /// Installs the fence of a column, or replaces it: a trigger that refuses, where the value changes, whatever the
    /// rows of the control table `fences` for this column do not admit.
    func installFence(_ fence: Fence) throws

    /// Removes the fence of a column.
    func removeFence(_ fence: Fence) throws
}

/// What becomes of a row that another transaction has locked.
package enum LockedRows: Sendable {
    /// It is waited for briefly, then the whole batch fails.
    case awaited
    /// It is passed over and counts as not written, where the engine locks single rows.
    case skipped
}

extension StorageSession {
    /// Changes nothing: the engine always waits.
    package func commitAsynchronously() {}

    /// Replaces values as ``swap(_:in:_:)`` does, and waits for rows that are locked.
    package func swap(_ swaps: [Swap], in target: ColumnTarget) throws -> [Bool] {
        try swap(swaps, in: target, .awaited)
    }
}

/// Types of the control schema's columns.
package enum ControlType: String, CaseIterable, Sendable {
    /// Whole numbers of 64 bits.
    case integer
    /// Text, compared byte by byte.
    case text
    /// Bytes.
    case blob
}

/// A fence: which column it guards and what it lets pass besides the marks.
///
/// The marks themselves stand in the control table `fences (column_id, form, first_at, first, second_at, second)`: a value
/// of that form passes where its bytes at `first_at` (1-based) are `first` and those at `second_at` are `second`
/// (or that is null). NULL and empty values always pass.
package struct Fence: Hashable, Sendable {
    /// The column's number in the control schema.
    package let columnID: Int64
    /// The column.
    package let target: ColumnTarget

    /// Makes a fence.
    package init(columnID: Int64, target: ColumnTarget) {
        self.columnID = columnID
        self.target = target
    }
}

extension StorageSession {
    /// At once, where that costs no way to a server and back.
    package func postpone(_ sql: SQL) throws { try execute(sql) }
}
