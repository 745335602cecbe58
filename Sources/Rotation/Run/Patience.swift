internal import KeyModel
internal import Logging
internal import Storage
internal import Synchronization

/// How long work waits for a database server that has gone away: for a minute from the first call that failed, over all
/// calls together, and no longer than nobody asks it to end.
///
/// The task that drives a run carries it, so that every step of the run waits and no other command does.
final class Patience: Sendable {
    /// The patience of the task at hand; nil where an outage is an error at once.
    @TaskLocal static var current: Patience?

    private let interrupt: Interrupt
    private let logger: Logger
    private let limit: Duration
    private let outage = Mutex<ContinuousClock.Instant?>(nil)

    /// Between two attempts; short, since a server that is back should be used again at once.
    private static let longestPause = Duration.seconds(1)

    init(interrupt: Interrupt, logger: Logger, limit: Duration = .seconds(60)) {
        self.interrupt = interrupt
        self.logger = logger
        self.limit = limit
    }

    /// Does work with patience where the database may come back.
    static func during<Value>(
        _ context: RotationContext, until interrupt: Interrupt, _ body: () async throws -> Value
    ) async throws -> Value {
        guard context.engine.mayComeBack else { return try await body() }
        return try await $current.withValue(Patience(interrupt: interrupt, logger: context.logger)) { try await body() }
    }

    /// Repeats a call that does not reach the database.
    ///
    /// - Throws: What the call throws; when it is waited for no longer, why it could not be reached.
    func outlasting<Value>(_ body: () async throws -> Value) async throws -> Value {
        var pause = Duration.milliseconds(50)
        while true {
            do {
                let value = try await body()
                ended()
                return value
            } catch let error as StorageError where error.code == .storeUnavailable {
                try await wait(pause, for: error)
                pause = min(pause * 2, Self.longestPause)
            }
        }
    }

    private func wait(_ pause: Duration, for error: StorageError) async throws {
        let now = ContinuousClock.now
        let (since, isNew) = outage.withLock { outage in
            let since = outage ?? now
            defer { outage = since }
            return (since, outage == nil)
        }
        if isNew {
            logger.warning("database lost, waiting for it", metadata: ["why": "\(error.message)", "limit": "\(limit)"])
        }
        guard now - since < limit else {
            throw StorageError(
                .storeUnavailable, "\(error.message); waited \(limit) for it to come back", hint: error.hint,
                cause: error)
        }
        guard !interrupt.isSet else { throw error }
        try await Task.sleep(for: pause)
    }

    private func ended() {
        let since = outage.withLock { outage in
            defer { outage = nil }
            return outage
        }
        if let since { logger.info("database is back", metadata: ["after": "\(ContinuousClock.now - since)"]) }
    }
}

/// A server that may go away and come back, as a run uses it: with the ``Patience`` of the task.
struct PatientEngine: StorageEngine {
    private let base: any StorageEngine

    init(_ base: any StorageEngine) { self.base = base }

    var description: String { base.description }
    var tuning: BatchTuning { base.tuning }
    var bindsTypes: Bool { base.bindsTypes }
    var placesOfOldBytes: [String] { base.placesOfOldBytes }
    var mayComeBack: Bool { base.mayComeBack }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value { try await outlasting { try await base.read(body) } }

    /// Repeated also where it is not known whether the transaction was committed: what a run writes may be written twice.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value { try await outlasting { try await base.write(body) } }

    func waitForOlderTransactions(limit: Duration) async throws {
        try await outlasting { try await base.waitForOlderTransactions(limit: limit) }
    }

    func sizeOnDisk(of table: TableName) async throws -> Int64 {
        try await outlasting { try await base.sizeOnDisk(of: table) }
    }

    func reuseHindrance() async throws -> String? { try await outlasting { try await base.reuseHindrance() } }

    func reclaim(_ table: TableName) async throws { try await outlasting { try await base.reclaim(table) } }

    func rewriteCost(rows: Int64, bytesBefore: Int64, bytesAfter: Int64, tableBytes: Int64) -> RewriteCost {
        base.rewriteCost(rows: rows, bytesBefore: bytesBefore, bytesAfter: bytesAfter, tableBytes: tableBytes)
    }

    func diskRoom(for tables: [TableName]) async throws -> DiskRoom {
        try await outlasting { try await base.diskRoom(for: tables) }
    }

    func close() async { await base.close() }

    private func outlasting<Value>(_ body: () async throws -> Value) async throws -> Value {
        guard let patience = Patience.current else { return try await body() }
        return try await patience.outlasting(body)
    }
}
