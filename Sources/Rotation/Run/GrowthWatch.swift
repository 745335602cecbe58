internal import KeyModel
internal import Storage

/// Watches what rewriting a table costs on disk: has room reclaimed in time, and says when something hinders its reuse.
struct GrowthWatch: Sendable {
    private let engine: any StorageEngine
    private let table: TableName
    private let limit: Int64?
    private let sizeBefore: Int64
    /// Rows between two reclaimings; nil where overwriting frees room by itself.
    let reclaimEvery: Int64?
    private var reclaimedAt: Int64 = 0
    private var lastLook: ContinuousClock.Instant?
    private var lastHindrance: String?

    /// Values out of line ask for a reclaiming each time this part of the table is rewritten.
    private static let reclaimings: Int64 = 20

    /// How long between two looks at the server.
    private static let interval = Duration.seconds(2)

    /// Begins to watch a table, which may grow by at most `limit` bytes; nil for no limit.
    ///
    /// - Throws: ``StorageError``.
    init(_ engine: any StorageEngine, _ description: TableDescription, limit: Int64?) async throws {
        self.engine = engine
        self.limit = limit
        table = description.name
        sizeBefore = try await engine.sizeOnDisk(of: description.name)
        reclaimEvery = description.storesOutOfLine ? max(1, description.estimatedRows / Self.reclaimings) : nil
    }

    /// Looks after a window is written.
    ///
    /// - Parameter rows: Rows rewritten so far.
    /// - Returns: A hindrance that was not reported before; nil otherwise.
    /// - Throws: ``RotationError`` with `storeFull` where the table has grown beyond the limit.
    mutating func look(rows: Int64) async throws -> String? {
        if let reclaimEvery, rows - reclaimedAt >= reclaimEvery {
            try await engine.reclaim(table)
            reclaimedAt = rows
        }
        let now = ContinuousClock.now
        guard lastLook.map({ now - $0 >= Self.interval }) ?? true else { return nil }
        lastLook = now
        let hindrance = try await engine.reuseHindrance()
        if let limit, case let growth = try await engine.sizeOnDisk(of: table) - sizeBefore, growth > limit {
            throw RotationError(
                .storeFull, "table \"\(table)\" has grown by \(growth) bytes, the limit is \(limit)",
                hint: (hindrance.map { "The cause is likely that \($0). " } ?? "")
                    + "Resume the run when there is room."
            )
        }
        defer { lastHindrance = hindrance }
        return hindrance == lastHindrance ? nil : hindrance
    }
}
