internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage
internal import Synchronization

/// Writes groups of decided windows in short transactions, each with its mark in its window's row.
struct WindowWriter: Sendable {
    /// What writing a group came to.
    struct Written: Sendable {
        /// The windows that are finished; none where it was cut short.
        let windows: [FinishedWindow]
        /// Why it was cut short; nil where it was not.
        let end: ColumnPass.End?
    }

    let pass: ColumnPass
    let phase: RunPhase
    let watched: WatchedProgress
    let tuning: BatchTuning

    /// How often values that someone else wrote first are tried again before they are left to a sweep.
    private static let mostRetries = 3

    private var context: RotationContext { pass.context }

    /// The next sweep of a settling run waits for whoever holds a row now; a batch need not.
    private var lockedRows: LockedRows { phase == .settle ? .skipped : .awaited }

    /// Writes a group: the first batch of each window, then the second of each, and so on.
    ///
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``RotationError``; everything committed stays.
    func write(_ group: [DecidedWindow]) async throws -> Written {
        var marks = group.map { WindowMark(columnID: pass.cipher.column.id, phase: phase, number: $0.number) }
        var counts = group.map { _ in RowCounts() }
        var missed: [RowKey] = []
        for turn in 0..<tuning.batchesPerWindow {
            for (place, window) in group.enumerated() {
                let batch = Batch(window, turn: turn, tuning: tuning)
                guard batch.rows > 0 else { continue }
                counts[place] += batch.counts
                for piece in batch.pieces(ofAtMost: pass.throttle.rowsAtOnce) {
                    if pass.interrupt.isSet { return Written(windows: [], end: .interrupted) }
                    let begun = ContinuousClock.now
                    let request = try await commit(piece, &marks[place], missed: &missed)
                    // What was read of a batch counts with its first piece; a watcher sees what is written, piece by piece.
                    var done = piece.counts
                    done.read = Int64(piece.rows)
                    watched.add(done)
                    if request != .none { return Written(windows: [], end: .requested(request)) }
                    try await pass.throttle.pause(
                        after: piece.swaps.count, taking: ContinuousClock.now - begun, while: goesOn)
                }
            }
        }
        try await retry(missed, &marks)
        let windows = group.indices.map { place in
            counts[place].account(for: marks[place])
            let window = group[place]
            return FinishedWindow(
                number: window.number, cursor: window.rows.last?.key, isLast: window.isLast, counts: counts[place]
            )
        }
        return Written(windows: windows, end: nil)
    }

    /// Whether nobody wants the run to stop; keeps the lease meanwhile.
    private func goesOn() async throws -> Bool {
        guard !pass.interrupt.isSet else { return false }
        try await pass.grant.renewIfDue()
        return try await persistent {
            _ = try await pass.lease.current()
            return try await context.control.read { [run = pass.run] in try $0.request(of: run) } == .none
        }
    }

    /// Commits a batch with its mark; a batch that needs nothing written costs no transaction.
    private func commit(_ batch: Batch, _ mark: inout WindowMark, missed: inout [RowKey]) async throws -> RunRequest {
        guard !batch.isEmpty else { return .none }
        try await pass.grant.renewIfDue()
        try await pass.meter.take(batch.swaps.count)
        let (moved, misses, request) = try await write(batch, mark)
        mark = moved
        missed += misses
        context.reached(.batchCommitted)
        return request
    }

    private func write(_ batch: Batch, _ mark: WindowMark) async throws -> (WindowMark, [RowKey], RunRequest) {
        try await pass.noteReappeared(in: phase)
        do {
            return try await persistent {
                let held = try await pass.lease.current()
                return try await context.control.write { [pass, lockedRows, now = context.now()] session in
                    let request = try session.request(of: pass.run, under: held)
                    // What is lost with its mark is found again by the sweep of the settling.
                    session.storage.commitAsynchronously()
                    let hits = try session.storage.swap(batch.swaps, in: pass.cipher.target, lockedRows)
                    try session.quarantine(batch.quarantined(column: mark.columnID, at: now), run: pass.run)
                    var moved = mark
                    moved.account(for: batch.swaps, hits: hits)
                    try session.save(moved, run: pass.run)
                    let missed = hits.indices.filter { !hits[$0] }.map { batch.swaps[$0].key }
                    return (moved, missed, request)
                }
            }
        } catch let error as StorageError where error.code == .storeRowLocked {
            return try await writeInHalves(batch, mark)
        }
    }

    /// Leaves a single locked row to a sweep, and tries a batch that met one in two halves.
    private func writeInHalves(_ batch: Batch, _ mark: WindowMark) async throws -> (WindowMark, [RowKey], RunRequest) {
        guard let (first, second) = batch.halves else {
            var skipped = mark
            skipped.missed += Int64(batch.swaps.count)
            return (skipped, [], .none)
        }
        let (between, missedFirst, _) = try await write(first, mark)
        let (moved, missedSecond, request) = try await write(second, between)
        return (moved, missedFirst + missedSecond, request)
    }

    /// Reads rows that someone else wrote first again, and tries them anew; what is missed each time is left to a sweep.
    private func retry(_ keys: [RowKey], _ marks: inout [WindowMark]) async throws {
        var left = keys
        for _ in 0..<Self.mostRetries where !left.isEmpty {
            let rows = try await persistent { [left] in
                try await context.engine.read { [target = pass.cipher.target] in try $0.readRows(left, of: target) }
            }
            let batch = Batch(rows.indices, of: rows, outcomes: pass.cipher.outcomes(of: rows))
            guard !batch.isEmpty, let mark = marks.last else { return }
            try await pass.meter.take(batch.swaps.count)
            let (moved, missed, _) = try await write(batch, mark)
            marks[marks.count - 1] = moved
            left = missed
            context.reached(.missesCommitted)
        }
    }
}

extension WindowMark {
    /// Adds what a batch's swaps came to.
    fileprivate mutating func account(for swaps: [Swap], hits: [Bool]) {
        batchesDone += 1
        for index in swaps.indices {
            if hits[index] {
                written += 1
                bytes += Int64(swaps[index].new.bytes?.count ?? 0)
            } else {
                missed += 1
            }
        }
    }
}

/// Adds up what several writers have done, for whoever watches; what counts is in the database.
final class WatchedProgress: Sendable {
    private let progress: Mutex<ColumnProgress>
    private let report: @Sendable (ColumnProgress) -> Void

    init(_ progress: ColumnProgress, report: @escaping @Sendable (ColumnProgress) -> Void) {
        self.progress = Mutex(progress)
        self.report = report
    }

    func add(_ counts: RowCounts) {
        report(
            progress.withLock { progress in
                progress.counts += counts
                return progress
            }
        )
    }
}
