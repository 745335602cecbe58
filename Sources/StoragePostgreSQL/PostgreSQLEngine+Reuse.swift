package import Storage

extension PostgreSQLEngine {
    /// A table with its indexes, its out-of-line values and its partitions.
    package func sizeOnDisk(of table: TableName) async throws -> Int64 {
        try await read { try $0.describe(table)?.estimatedBytes } ?? 0
    }

    /// What values grow by, the room of old rows until it is used again, and their log; measured on tables of a hundred
    /// thousand to ten million rows.
    package func rewriteCost(rows: Int64, bytesBefore: Int64, bytesAfter: Int64, tableBytes: Int64) -> RewriteCost {
        let growth = max(0, bytesAfter - bytesBefore) + max(Self.leastGrowth, tableBytes / 100 * Self.growthPercentage)
        return RewriteCost(tables: growth, log: rows * Self.logBytesOfRow + bytesAfter / 2 * Self.logBytesOfTwo)
    }

    /// A server of this machine that tells where its files are, to a process that may look there.
    package func diskRoom(for tables: [TableName]) async throws -> DiskRoom {
        try await readers.run { connection in
            let files = try connection.transaction("ISOLATION LEVEL REPEATABLE READ READ ONLY") { session in
                try ServerFiles(session, of: tables)
            }
            return files?.room ?? DiskRoom()
        }
    }

    /// What is older than the last batches and holds a snapshot: the server may not prune what it could still see.
    ///
    /// The oldest of sessions, prepared transactions and replication slots, where it has stood for some seconds.
    package func reuseHindrance() async throws -> String? {
        let query: SQL = """
            SELECT who FROM (
                SELECT 'process ' || pid || ' (' || coalesce(nullif(application_name, ''), 'unnamed') || ', '
                        || coalesce(state, 'background') || ') holds a snapshot' AS who,
                    backend_xmin AS horizon, coalesce(xact_start, clock_timestamp()) AS since
                FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND application_name <> 'keyturn'
                    AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())
                UNION ALL
                SELECT 'prepared transaction ' || quote_literal(gid) || ' is open', transaction, prepared
                FROM pg_prepared_xacts WHERE database = current_database()
                UNION ALL
                SELECT 'replication slot ' || quote_literal(slot_name) || ' holds rows back', coalesce(xmin, catalog_xmin),
                    CASE WHEN age(coalesce(xmin, catalog_xmin)) > \(Self.mostSlotAge) THEN '-infinity'::timestamptz
                        ELSE clock_timestamp() END
                FROM pg_replication_slots WHERE xmin IS NOT NULL
            ) AS holders (who, horizon, since)
            WHERE since < clock_timestamp() - interval '\(raw: Self.shortestHindrance)'
            ORDER BY age(horizon) DESC LIMIT 1
            """
        return try await read { try $0.query(query).first?.text(0) }
    }

    /// Has the server mark dead rows and out-of-line values for reuse; the table stays as long as it is.
    package func reclaim(_ table: TableName) async throws {
        try await vacuum(table)
    }

    /// Tables and indexes grow at least by so much, what is recorded of a run included.
    private static let leastGrowth: Int64 = 16 << 20

    /// Tables and indexes grow by so much of a hundred.
    private static let growthPercentage: Int64 = 13

    /// What the log takes for a row besides its value.
    private static let logBytesOfRow: Int64 = 275

    /// What it takes for every two bytes of a value: the new one, marks of the old, and pages as a whole now and then.
    private static let logBytesOfTwo: Int64 = 5

    /// Transactions after which a slot is in the way.
    private static let mostSlotAge = 1000

    /// What ends sooner than this hinders little.
    private static let shortestHindrance = "5 seconds"
}
