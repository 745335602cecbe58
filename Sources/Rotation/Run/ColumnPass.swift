internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage

/// One walk over a column in key order: reads windows, decides in memory, writes short batches.
///
/// Nothing is computed inside a write transaction; the next window is read and decided while the present one is written.
/// Each batch commits with its cursor, so a walk that is cut off goes on after the last batch.
struct ColumnPass: Sendable {
    /// Why a walk ended.
    enum End: Sendable {
        case finished
        case requested(RunRequest)
        case interrupted
    }

    let context: RotationContext
    let run: Int64
    let cipher: ColumnCipher
    let lease: LeaseKeeper
    let meter: SealMeter
    let interrupt: Interrupt
    let throttle: Throttle
    let report: @Sendable (ColumnProgress) -> Void

    /// How often values that someone else wrote first are tried again before they are left to a sweep.
    private static let mostRetries = 3

    /// A window with what was decided for its rows.
    private struct Decided: Sendable {
        let rows: [StoredRow]
        let outcomes: [ColumnCipher.Outcome]
        let isLast: Bool
    }

    /// Walks on from where `progress` stands.
    ///
    /// - Returns: Why it ended; `progress` is what was committed.
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``RotationError``; everything committed stays.
    func walk(_ progress: inout ColumnProgress) async throws -> End {
        var upcoming = try await decide(after: progress.cursor)
        while true {
            let window = upcoming
            async let next = window.isLast ? nil : decide(after: window.rows.last?.key)
            let end = try await write(window, progress: &progress)
            guard let following = try await next, case .finished = end else {
                return end
            }
            upcoming = following
        }
    }

    private func decide(after cursor: RowKey?) async throws -> Decided {
        let tuning = context.engine.tuning
        let request = WindowRequest(
            target: cipher.target, scope: cipher.scope, after: cursor, rowLimit: tuning.windowRows)
        let window = try await context.engine.read { try $0.readWindow(request) }
        let outcomes = await parallelMap(window.rows) { cipher.outcomes(of: $0) }
        return Decided(rows: window.rows, outcomes: outcomes, isLast: window.isLast)
    }

    private func write(_ window: Decided, progress: inout ColumnProgress) async throws -> End {
        let rows = window.rows.count
        let size = max(
            1,
            (context.engine.tuning.windowRows + context.engine.tuning.batchesPerWindow - 1)
                / context.engine.tuning.batchesPerWindow)
        var missed: [RowKey] = []
        var start = 0
        repeat {
            guard !interrupt.isSet else { return .interrupted }
            let range = start..<min(rows, start + size)
            let isLast = window.isLast && range.upperBound == rows
            let (misses, request) = try await commit(window, range, isLast: isLast, progress: &progress)
            missed += misses
            start = range.upperBound
            report(progress)
            if request != .none { return .requested(request) }
            await throttle.pause(after: range.count)
        } while start < rows
        try await retry(missed, progress: &progress)
        return .finished
    }

    /// Commits a run of rows with its cursor and returns the keys whose rows someone else wrote first.
    private func commit(
        _ window: Decided, _ range: Range<Int>, isLast: Bool, progress: inout ColumnProgress
    ) async throws -> ([RowKey], RunRequest) {
        let batch = Batch(rows: window.rows[range], outcomes: window.outcomes[range])
        try await meter.take(batch.swaps.count)
        let held = try await lease.current()
        var moved = progress
        moved.cursor = window.rows[range].last?.key ?? progress.cursor
        moved.isDone = isLast
        moved.counts += batch.counts
        let (saved, missed, request) = try await persistent {
            [
                moved, target = cipher.target, column = cipher.column.id, run, control = context.control,
                now = context.now()
            ] in
            try await control.write { session in
                try session.checkLease(held)
                var saved = moved
                let hits = try session.storage.swap(batch.swaps, in: target)
                let missed = zip(batch.swaps, hits).filter { !$0.1 }.map(\.0.key)
                saved.counts.account(for: batch.swaps, hits: hits)
                try session.quarantine(batch.quarantined(column: column, at: now), run: run)
                try session.save(saved, run: run)
                return (saved, missed, try session.request(of: run))
            }
        }
        progress = saved
        context.reached(.batchCommitted)
        return (missed, request)
    }

    /// Reads rows that someone else wrote first again, and tries them anew; what is missed each time is left to a sweep.
    private func retry(_ keys: [RowKey], progress: inout ColumnProgress) async throws {
        var left = keys
        for _ in 0..<Self.mostRetries where !left.isEmpty {
            let asked = left
            let target = cipher.target
            let rows = try await context.engine.read { try $0.readRows(asked, of: target) }
            let window = Decided(rows: rows, outcomes: cipher.outcomes(of: rows), isLast: progress.isDone)
            let held = try await lease.current()
            let batch = Batch(rows: window.rows[...], outcomes: window.outcomes[...])
            try await meter.take(batch.swaps.count)
            let before = progress
            let (saved, missed) = try await context.control.write {
                [run, column = cipher.column.id, now = context.now()] session in
                try session.checkLease(held)
                var saved = before
                let hits = try session.storage.swap(batch.swaps, in: target)
                saved.counts.account(for: batch.swaps, hits: hits)
                try session.quarantine(batch.quarantined(column: column, at: now), run: run)
                try session.save(saved, run: run)
                return (saved, zip(batch.swaps, hits).filter { !$0.1 }.map(\.0.key))
            }
            progress = saved
            left = missed
            context.reached(.missesCommitted)
        }
    }
}

/// The rows of one transaction with what was decided for them.
private struct Batch: Sendable {
    let swaps: [Swap]
    let counts: RowCounts
    private let doubtful: [(key: RowKey, reason: String)]

    init(rows: ArraySlice<StoredRow>, outcomes: ArraySlice<ColumnCipher.Outcome>) {
        var swaps: [Swap] = []
        var counts = RowCounts()
        var doubtful: [(key: RowKey, reason: String)] = []
        swaps.reserveCapacity(rows.count)
        for (row, outcome) in zip(rows, outcomes) {
            counts.read += 1
            switch outcome {
            case .keep: counts.skipped += 1
            case .replace(let value, let isAdopted):
                swaps.append(Swap(key: row.key, old: row.value, new: value, setsAssignments: isAdopted))
            case .quarantine(let reason):
                counts.quarantined += 1
                doubtful.append((row.key, reason))
            }
        }
        self.swaps = swaps
        self.counts = counts
        self.doubtful = doubtful
    }

    func quarantined(column: Int64, at time: Timestamp) -> [QuarantineRecord] {
        doubtful.map { QuarantineRecord(columnID: column, key: $0.key, reason: $0.reason, at: time) }
    }
}

extension RowCounts {
    /// Adds what a batch's swaps came to.
    fileprivate mutating func account(for swaps: [Swap], hits: [Bool]) {
        for (swap, isHit) in zip(swaps, hits) {
            if isHit {
                written += 1
                bytes += Int64(swap.new.bytes?.count ?? 0)
            } else {
                missed += 1
            }
        }
    }
}

/// Maps an array in chunks over the processors, keeping its order.
func parallelMap<Element: Sendable, Value: Sendable>(
    _ elements: [Element], _ transform: @escaping @Sendable ([Element]) -> [Value]
) async -> [Value] {
    let chunk = 512
    guard elements.count > chunk else { return transform(elements) }
    let starts = Array(stride(from: 0, to: elements.count, by: chunk))
    return await withTaskGroup(of: (Int, [Value]).self) { group in
        for (number, start) in starts.enumerated() {
            group.addTask { (number, transform(Array(elements[start..<min(start + chunk, elements.count)]))) }
        }
        var parts = [[Value]](repeating: [], count: starts.count)
        for await (number, part) in group { parts[number] = part }
        return parts.flatMap { $0 }
    }
}

/// Repeats a transaction that met a lock or a lost connection, with growing pauses, for half a minute at the most.
func persistent<Value>(_ body: () async throws -> Value) async throws -> Value {
    var pause = Duration.milliseconds(50)
    while true {
        do {
            return try await body()
        } catch let error as StorageError where error.isTransient && pause < .seconds(16) {
            try await Task.sleep(for: pause)
            pause *= 2
        }
    }
}
