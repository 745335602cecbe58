internal import KeyModel
package import Storage

/// A database of PostgreSQL, through two reading and two writing connections of libpq.
///
/// Each connection works on a dispatch queue of its own. The two writing ones let the engine above interleave windows;
/// windows are read on the others, drained before anything is written, so that no snapshot of ours stands in the way of
/// the server's pruning.
package final class PostgreSQLEngine: StorageEngine {
    /// `postgresql` and the version of the server, such as `postgresql 15.20`.
    package let description: String
    /// Every tenth row a batch: the room that the first batch leaves on a page holds the new versions of the others.
    ///
    /// Two connections write; each takes four windows in turns, so that neither's last commit is what the other's next batch
    /// could still need to see.
    package let tuning = BatchTuning(
        windowRows: 8000, batchesPerWindow: 10, isStrided: true, interleavedWindows: 4, writers: 2, readsApart: true
    )

    /// A server is restarted, or another one takes its place.
    package var mayComeBack: Bool { true }

    /// An update leaves the old version of its row where it was.
    package let placesOfOldBytes = [
        "dead rows of the table until VACUUM has overwritten or returned their pages",
        "the write-ahead log and its archive", "replicas and their logs", "backups",
    ]

    let readers: ConnectionPool
    private let writers: ConnectionPool
    private let watch: ServerWatch

    /// Connects to a database.
    ///
    /// - Parameters:
    ///   - url: A connection string in any form that libpq takes; never printed.
    ///   - batchLockTimeout: How long a batch waits for a row that another transaction has locked.
    ///   - limits: How long the server may leave a call without an answer.
    /// - Throws: ``StorageError`` with `storeUnavailable`.
    package init(
        url: String, batchLockTimeout: Duration = .milliseconds(100), limits: AnswerLimits = AnswerLimits()
    ) async throws {
        let place = try ConnectionString(url)
        let settings = SessionSettings(batchLockTimeout: batchLockTimeout, statementTimeout: limits.statement)
        func pool(_ kind: String) -> ConnectionPool {
            ConnectionPool((1...2).map { Connection(to: place, settings: settings, label: "keyturn.\(kind).\($0)") })
        }
        readers = pool("reader")
        writers = pool("writer")
        watch = ServerWatch(place, (readers.connections + writers.connections).map(\.wait), limits)
        description = "postgresql \(try await readers.run { try $0.serverVersion() })"
    }

    /// Reads on one snapshot, which ends with the call.
    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value {
        try await readers.run { try $0.transaction("ISOLATION LEVEL REPEATABLE READ READ ONLY", body) }
    }

    /// Writes in one transaction, in which each statement sees what was committed before it.
    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value {
        try await writers.run { try $0.transaction("ISOLATION LEVEL READ COMMITTED", body) }
    }

    /// Waits, without a snapshot of its own, until what held one or had written before the call has ended.
    package func waitForOlderTransactions(limit: Duration) async throws {
        let clock = ContinuousClock()
        let end = clock.now + limit
        var older = try await readers.run { try OlderTransactions(on: $0) }
        var pause = Duration.milliseconds(5)
        while !older.isEmpty {
            guard clock.now < end else { throw older.storageError(after: limit) }
            try await Task.sleep(for: min(pause, end - clock.now))
            pause = min(pause * 2, .milliseconds(200))
            older = try await readers.run { [older] in try older.remaining(on: $0) }
        }
    }

    /// Runs VACUUM on a table, outside of any transaction and for as long as it takes.
    func vacuum(_ table: TableName) async throws {
        try await writers.run { connection in
            let name = table.parts.map(quotedIdentifier).joined(separator: ".")
            try connection.withoutTimeLimit {
                _ = try connection.run("VACUUM (TRUNCATE false) \(name)", doing: "reclaim room of", quoted(name))
            }
        }
    }

    /// Closes the connections behind the work that waits for them.
    package func close() async {
        await readers.close()
        await writers.close()
        watch.end()
    }
}
