internal import ControlStore
internal import KeyModel
internal import Logging
internal import PluginKit
internal import Storage

/// One walk over a column in key order: reads windows, decides in memory, writes short batches.
///
/// Nothing is computed inside a write transaction, and the next windows are read and decided while others are written. The
/// cursor is the end of the windows that are finished without a gap; a walk that is cut off goes on from there, and what
/// was written beyond it is recognised when it is read again.
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
    let table: TableDescription
    let maxExtraDisk: Int64?
    let report: @Sendable (ColumnProgress) -> Void

    /// Walks on from where `progress` stands.
    ///
    /// - Returns: Why it ended; `progress` is what was committed.
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``RotationError``; everything committed stays.
    func walk(_ progress: inout ColumnProgress) async throws -> End {
        try await takeUpLeftovers(&progress)
        let watched = WatchedProgress(progress, report: report)
        let writer = WindowWriter(pass: self, phase: progress.phase, watched: watched)
        var source = WindowSource(pass: self, after: progress.cursor)
        var ledger = WindowLedger()
        var walked = progress
        var growth = try await GrowthWatch(context.engine, table, limit: maxExtraDisk)
        let end = try await withThrowingTaskGroup(of: WindowWriter.Written.self) { writers in
            var inFlight = 0
            var end: End?
            while end == nil, let group = try await source.next() {
                let isFull = inFlight == context.engine.tuning.writers
                let written = isFull ? try await writers.next() : nil
                if written?.end == nil {
                    // Under way before the group before it is booked, so that no writer waits for the booking; and above
                    // the deciding of the next one, behind whose pieces each of its steps would queue otherwise.
                    writers.addTask(priority: .high) { try await writer.write(group) }
                    inFlight += isFull ? 0 : 1
                }
                if let written { end = try await fold(written, &ledger, &walked, &growth) }
            }
            while let written = try await writers.next() {
                let last = try await fold(written, &ledger, &walked, &growth)
                end = end ?? last
            }
            return end ?? .finished
        }
        progress = walked
        return end
    }

    /// Reads the window after a key.
    func read(after cursor: RowKey?) async throws -> Window {
        let request = WindowRequest(
            target: cipher.target, scope: cipher.scope, after: cursor, rowLimit: context.engine.tuning.windowRows
        )
        return try await persistent { try await context.engine.read { try $0.readWindow(request) } }
    }

    /// Decides for the rows of a window.
    func decide(_ window: Window, number: Int64) async -> DecidedWindow {
        let outcomes = await parallelMap(window.rows) { cipher.outcomes(of: $0) }
        return DecidedWindow(number: number, rows: window.rows, outcomes: outcomes, isLast: window.isLast)
    }

    /// Counts what a walk that was cut off had written beyond its cursor; the rows themselves are read again.
    private func takeUpLeftovers(_ progress: inout ColumnProgress) async throws {
        let (column, phase) = (progress.columnID, progress.phase)
        let marks = try await context.control.read { [run] in
            try $0.windowMarks(run: run).filter { $0.columnID == column && $0.phase == phase }
        }
        guard let last = marks.last else { return }
        for mark in marks { progress.counts.account(for: mark) }
        let held = try await lease.current()
        try await context.control.write { [run, progress] session in
            try session.checkLease(held)
            try session.save(progress, run: run)
            try session.removeWindowMarks(run: run, column: column, phase: phase, through: last.number)
        }
    }

    /// Puts into the run's history what makes it cost more room than it should.
    private func warn(_ hindrance: String) async throws {
        context.logger.warning("room is not reused", metadata: ["run.id": "\(run)", "why": "\(hindrance)"])
        let held = try await lease.current()
        let now = context.now()
        try await context.control.write { [run, phase = RunPhase.reencrypt] session in
            try session.checkLease(held)
            try session.addStep("warning: \(hindrance)", in: phase, of: run, at: now)
        }
    }

    /// Takes a group that was written into the column's progress and says whether the walk must end.
    private func fold(
        _ written: WindowWriter.Written, _ ledger: inout WindowLedger, _ progress: inout ColumnProgress,
        _ growth: inout GrowthWatch
    ) async throws -> End? {
        for window in written.windows { ledger.finish(window) }
        let ready = ledger.takeContiguous()
        guard let last = ready.last else { return written.end }
        for window in ready { progress.counts += window.counts }
        progress.cursor = last.cursor ?? progress.cursor
        progress.isDone = last.isLast
        let held = try await lease.current()
        let request = try await persistent { [run, progress] in
            try await context.control.write { session in
                try session.checkLease(held)
                try session.save(progress, run: run)
                try session.removeWindowMarks(
                    run: run, column: progress.columnID, phase: progress.phase, through: last.number
                )
                return try session.request(of: run)
            }
        }
        context.reached(.windowFinished)
        report(progress)
        if let hindrance = try await growth.look(rows: progress.counts.written) { try await warn(hindrance) }
        if let end = written.end { return end }
        if request != .none, !progress.isDone { return .requested(request) }
        return interrupt.isSet && !progress.isDone ? .interrupted : nil
    }
}

/// The rows of a window with what was decided for them.
struct DecidedWindow: Sendable {
    let number: Int64
    let rows: [StoredRow]
    let outcomes: [ColumnCipher.Outcome]
    /// Whether the column ends with it.
    let isLast: Bool
}

/// Hands out groups of windows in key order.
private struct WindowSource {
    private let pass: ColumnPass
    private var cursor: RowKey?
    private var number: Int64 = 0
    private var ahead: Window?
    private var isDone = false

    init(pass: ColumnPass, after cursor: RowKey?) {
        self.pass = pass
        self.cursor = cursor
    }

    /// The next group; nil after the end.
    mutating func next() async throws -> [DecidedWindow]? {
        guard !isDone else { return nil }
        var group: [DecidedWindow] = []
        while !isDone, group.count < pass.context.engine.tuning.interleavedWindows {
            number += 1
            let window = if let ahead { ahead } else { try await pass.read(after: cursor) }
            cursor = window.rows.last?.key ?? cursor
            isDone = window.isLast
            // The window that follows is read while this one is decided.
            async let following = isDone ? nil : pass.read(after: cursor)
            group.append(await pass.decide(window, number: number))
            ahead = try await following
        }
        return group
    }
}

/// Knows which windows are finished, so that the cursor only passes those without a gap before them.
struct WindowLedger: Sendable {
    private var finished: [Int64: FinishedWindow] = [:]
    private var next: Int64 = 1

    /// Takes note of a finished window.
    mutating func finish(_ window: FinishedWindow) { finished[window.number] = window }

    /// The windows that have become contiguous with those before them, in order.
    mutating func takeContiguous() -> [FinishedWindow] {
        var ready: [FinishedWindow] = []
        while let window = finished.removeValue(forKey: next) {
            ready.append(window)
            next += 1
        }
        return ready
    }
}

/// A window whose batches are all committed.
struct FinishedWindow: Sendable {
    let number: Int64
    /// Its last row; nil where it had none.
    let cursor: RowKey?
    /// Whether the column ends with it.
    let isLast: Bool
    /// What it came to.
    let counts: RowCounts
}

extension RowCounts {
    /// Adds what a mark says was written; what was read is counted when the window is finished.
    mutating func account(for mark: WindowMark) {
        written += mark.written
        missed += mark.missed
        bytes += mark.bytes
    }
}
