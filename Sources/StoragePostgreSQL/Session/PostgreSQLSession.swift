internal import KeyModel
internal import PluginKit
internal import Storage

/// A connection of PostgreSQL inside a transaction.
final class PostgreSQLSession: StorageSession {
    /// The most rows that a query hands back.
    static let rowLimit = 100_000

    let connection: Connection
    /// What was found out about the columns used so far in this transaction.
    var shapes: [ColumnTarget: ColumnShape] = [:]
    /// Whether the commit need not wait for the disk.
    private(set) var commitsAsynchronously = false

    init(connection: Connection) { self.connection = connection }

    func query(_ sql: SQL) throws -> [SQLRow] {
        let (text, parameters) = sql.rendered()
        return try rows(of: connection.execute(text, parameters, isPrepared: Self.isWorthPreparing(text)))
    }

    @discardableResult
    func execute(_ sql: SQL) throws -> Int {
        let (text, parameters) = sql.rendered()
        shapes = [:]
        return try connection.execute(text, parameters, isPrepared: Self.isWorthPreparing(text)).changedRows
    }

    func postpone(_ sql: SQL) throws {
        let (text, parameters) = sql.rendered()
        connection.waiting.append(
            Statement(text: text, parameters: parameters, isPrepared: Self.isWorthPreparing(text)))
    }

    func commitAsynchronously() { commitsAsynchronously = true }

    var sharedRowLock: SQL { "FOR SHARE" }

    var exclusiveRowLock: SQL { "FOR UPDATE" }

    func currentTime() throws -> Timestamp {
        let now: SQL = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::pg_catalog.int8"
        return Timestamp(milliseconds: try query(now).first?.integer(0) ?? 0)
    }

    func limitIdleTime(_ limit: Duration) throws {
        let milliseconds = limit.wholeMilliseconds
        _ = try connection.run("SET LOCAL idle_in_transaction_session_timeout = \(milliseconds)")
    }

    func endAbandonedTransactions(idleFor limit: Duration) throws {
        _ = try rows(
            """
            SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
            WHERE application_name = 'keyturn' AND datname = current_database() AND usename = current_user
                AND pid <> pg_catalog.pg_backend_pid() AND state LIKE 'idle in transaction%'
                AND state_change < clock_timestamp() - $1::pg_catalog.int8 * interval '1 millisecond'
            """, [.integer(Int64(limit.wholeMilliseconds))])
    }

    func columnType(_ type: ControlType) -> SQL {
        switch type {
        case .integer: "bigint"
        case .text: "text COLLATE pg_catalog.\"C\""
        case .blob: "bytea"
        }
    }

    func createControlSchema() throws {
        // Asked first, since making it takes a right that using it does not.
        let found = try rows("SELECT 1 FROM pg_namespace WHERE nspname = $1::name", [.text(controlSchema)])
        guard found.isEmpty else { return }
        _ = try connection.run("CREATE SCHEMA \(quotedIdentifier(controlSchema))", doing: "write", "the schema keyturn")
    }

    /// Runs a statement of text that is ours and values that are bound.
    func rows(_ text: String, _ parameters: [SQLValue] = []) throws -> [SQLRow] {
        try rows(of: connection.execute(text, parameters.map { Parameter($0) }, doing: "read", "the catalogue"))
    }

    /// Runs `body` such that its failure leaves the transaction as it was before.
    func withSavepoint<Value>(_ body: () throws -> Value) throws -> Value {
        _ = try connection.run("SAVEPOINT keyturn_step")
        do {
            let value = try body()
            _ = try connection.run("RELEASE SAVEPOINT keyturn_step")
            return value
        } catch {
            // Where the connection is gone so is the transaction, and the first error says more.
            _ = try? connection.run("ROLLBACK TO SAVEPOINT keyturn_step; RELEASE SAVEPOINT keyturn_step")
            throw error
        }
    }

    /// A failure that names a column.
    func unexpected(_ shape: ColumnShape, doing action: String, _ reason: String, hint: String? = nil) -> StorageError {
        StorageError(.storeUnexpected, "cannot \(action) \(shape.name): \(reason)", hint: hint)
    }

    /// An answer's rows.
    func rows(of result: ResultSet) throws -> [SQLRow] {
        guard result.rowCount <= Self.rowLimit else {
            throw StorageError(
                .storeUnexpected,
                "cannot use \(connection.place): a query gave more than \(Self.rowLimit) rows")
        }
        return (0..<result.rowCount).map { row in
            SQLRow((0..<result.columnCount).map { result.value(row, $0) })
        }
    }

    private static func isWorthPreparing(_ text: String) -> Bool {
        ["SELECT", "INSERT", "UPDATE", "DELETE"].contains { text.hasPrefix($0) }
    }
}
