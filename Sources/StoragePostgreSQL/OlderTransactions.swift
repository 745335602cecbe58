internal import KeyModel
internal import Storage

/// Transactions that could still write by what they saw before a moment: those with a snapshot or a number of their
/// own, and prepared ones.
///
/// A transaction that holds neither sees what was committed meanwhile with its next statement.
struct OlderTransactions: Sendable {
    private struct Transaction: Hashable, Sendable {
        /// A virtual transaction, or the number of a prepared one.
        let id: String
        let name: String
        let ageInSeconds: Int64
        let hint: String
    }

    private let transactions: [Transaction]

    /// What a role that may not look into other sessions sees of them instead of their snapshot is their lock.
    private static func query(all: Bool) -> String {
        """
        SELECT l.virtualtransaction || '/' || l.pid, 'process ' || l.pid || ' (' || coalesce(nullif(a.application_name, ''),
            'unnamed') || ')', coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::pg_catalog.int8,
            'End it with SELECT pg_terminate_backend(' || l.pid || '), then retry.'
        FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
        WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock' AND l.pid <> pg_backend_pid()
            AND a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND coalesce(a.backend_type, '') NOT IN ('walsender', 'autovacuum worker', 'parallel worker')
            AND (\(all) OR a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL OR a.query = '<insufficient privilege>')
        UNION ALL
        SELECT transaction::pg_catalog.text, 'prepared transaction ' || quote_literal(gid),
            extract(epoch FROM clock_timestamp() - prepared)::pg_catalog.int8,
            'End it with COMMIT PREPARED or ROLLBACK PREPARED, then retry.'
        FROM pg_prepared_xacts WHERE database = current_database()
        """
    }

    /// Those that there are now.
    init(on connection: Connection) throws {
        transactions = try Self.present(on: connection)
    }

    private init(_ transactions: [Transaction]) { self.transactions = transactions }

    /// Whether there are none.
    var isEmpty: Bool { transactions.isEmpty }

    /// Those of them that have not ended yet.
    func remaining(on connection: Connection) throws -> OlderTransactions {
        let present = Set(try Self.present(on: connection, all: true).map(\.id))
        return OlderTransactions(transactions.filter { present.contains($0.id) })
    }

    /// Says which is the oldest.
    func storageError(after limit: Duration) -> StorageError {
        let oldest = transactions.max { $0.ageInSeconds < $1.ageInSeconds }
        let name = oldest.map { "\($0.name), open for \($0.ageInSeconds) s," } ?? "one of them"
        return StorageError(
            .storeBusy, "cannot wait for older transactions: \(quoted(name)) has not ended within \(limit)",
            hint: oldest?.hint)
    }

    private static func present(on connection: Connection, all: Bool = false) throws -> [Transaction] {
        // Once it is older, a transaction counts until it ends, also while it holds no snapshot between two statements.
        let rows = try connection.execute(query(all: all), [], doing: "read", "the open transactions")
        return (0..<rows.rowCount).map { row in
            func text(_ column: Int) -> String { String(decoding: rows.bytes(row, column), as: UTF8.self) }
            return Transaction(id: text(0), name: text(1), ageInSeconds: Int64(text(2)) ?? 0, hint: text(3))
        }
    }
}
