internal import ControlStore
internal import KeyModel
internal import Logging
internal import PluginKit
internal import Storage

/// One walk over a column in key order: reads windows, decides in memory, writes short batches.
///
/// Nothing is computed inside a write transaction. The next windows are decided while others are written or, where nothing
/// may be read meanwhile, while more are read. The cursor is the end of the windows that are finished without a gap; a
/// walk that is cut off goes on from there, and what was written beyond it is recognised when it is read again.
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
    let reappeared: ReappearedKeys
    let meter: SealMeter
    let grant: KeyGrant
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
        var ledger = WindowLedger()
        var walked = progress
        var growth = try await GrowthWatch(context.engine, table, limit: maxExtraDisk)
        let tuning = throttle.adapt(context.engine.tuning).adapted(reclaimingEvery: growth.reclaimEvery)
        let writer = WindowWriter(pass: self, phase: progress.phase, watched: watched, tuning: tuning)
        // Where a reader's snapshot would keep the room of replaced rows from being used again, nothing is read while
        // something is written. Deciding needs no snapshot: at full speed it fills the time in which is read.
        let decidesWhileReading = tuning.readsApart && !throttle.isHolding
        var decided = try await readAndDecide(following: nil, after: progress.cursor, tuning)
        var end: End?
        while end == nil, !decided.isEmpty {
            let present = decided
            let held =
                tuning.readsApart && !decidesWhileReading
                ? try await readWindows(following: present.last, tuning) : nil
            try await grant.renew()
            async let following = decidesWhileReading ? [] : decide(held, orAfter: present.last, tuning)
            for written in try await write(present, writer) {
                let last = try await fold(written, &ledger, &walked, &growth)
                end = end ?? last
            }
            decided = try await following
            if decidesWhileReading, end == nil { decided = try await readAndDecide(following: present.last, tuning) }
        }
        progress = walked
        return end ?? .finished
    }

    /// Reads as many windows as all writers take at a time, from behind a window; none after the last one.
    private func readWindows(
        following last: DecidedWindow?, after cursor: RowKey? = nil, _ tuning: BatchTuning,
        taking take: (NumberedWindow) -> Void = { _ in }
    ) async throws -> [NumberedWindow] {
        var windows: [NumberedWindow] = []
        var cursor = last?.rows.last?.key ?? cursor
        var isDone = last?.isLast ?? false
        while !isDone, windows.count < tuning.windowsAtOnce {
            let request = WindowRequest(
                target: cipher.target, scope: cipher.scope, after: cursor, rowLimit: tuning.windowRows,
                byteLimit: tuning.windowBytes)
            let window = try await persistent { try await context.engine.read { try $0.readWindow(request) } }
            let read = NumberedWindow(number: (last?.number ?? 0) + Int64(windows.count) + 1, window: window)
            windows.append(read)
            take(read)
            cursor = window.rows.last?.key ?? cursor
            isDone = window.isLast
        }
        return windows
    }

    /// Reads as many windows as all writers take at a time, and decides for each while the next one is read.
    private func readAndDecide(
        following last: DecidedWindow?, after cursor: RowKey? = nil, _ tuning: BatchTuning
    ) async throws -> [DecidedWindow] {
        try await withThrowingTaskGroup(of: DecidedWindow.self) { group in
            _ = try await readWindows(following: last, after: cursor, tuning) { window in
                group.addTask { await decide(window) }
            }
            return try await group.reduce(into: []) { $0.append($1) }.sorted { $0.number < $1.number }
        }
    }

    /// Decides for windows, which are read now where they were not yet.
    private func decide(
        _ windows: [NumberedWindow]?, orAfter last: DecidedWindow?, _ tuning: BatchTuning
    ) async throws -> [DecidedWindow] {
        if let windows { return await decide(windows) }
        return await decide(try await readWindows(following: last, tuning))
    }

    /// Decides for the rows of windows, one after the other.
    private func decide(_ windows: [NumberedWindow]) async -> [DecidedWindow] {
        var decided: [DecidedWindow] = []
        for window in windows { decided.append(await decide(window)) }
        return decided
    }

    private func decide(_ read: NumberedWindow) async -> DecidedWindow {
        let rows = read.window.rows
        // A run that is held down leaves the other processors to the application.
        let outcomes =
            throttle.isHolding
            ? await throttle.decide(rows, cipher.outcomes(of:)) : await parallelMap(rows) { cipher.outcomes(of: $0) }
        return DecidedWindow(number: read.number, rows: rows, outcomes: outcomes, isLast: read.window.isLast)
    }

    /// Writes windows, as many groups at a time as there are writers.
    private func write(_ windows: [DecidedWindow], _ writer: WindowWriter) async throws -> [WindowWriter.Written] {
        let size = (windows.count + writer.tuning.writers - 1) / writer.tuning.writers
        return try await withThrowingTaskGroup(of: WindowWriter.Written.self) { group in
            for start in stride(from: 0, to: windows.count, by: size) {
                let part = Array(windows[start..<min(start + size, windows.count)])
                // Above the deciding that goes on beside it, behind whose pieces each of its steps would queue otherwise.
                group.addTask(priority: .high) { try await writer.write(part) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
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

    /// Records, before the values are rewritten, that some lie under keys that were retired: their time counts anew.
    func noteReappeared(in phase: RunPhase) async throws {
        let keys = reappeared.unrecorded
        guard !keys.isEmpty else { return }
        let held = try await lease.current()
        let now = context.now()
        try await persistent {
            try await context.control.write { [run] session in
                try session.checkLease(held)
                for version in try session.noteReappeared(keys, at: now) {
                    let text = "values lie under key \(version.id) again, which was retired; its time counts anew"
                    try session.addStep(text, in: phase, of: run, at: now)
                }
            }
        }
        reappeared.settle(keys)
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

extension BatchTuning {
    /// Batches of fewer rows would cost more than what is in them.
    static let leastBatch = 10

    /// The same on a table whose room may have to be reclaimed every so many rows: what is written between two reclaimings
    /// must not be more than what is reclaimed.
    func adapted(reclaimingEvery rows: Int64?) -> BatchTuning {
        guard let rows else { return self }
        var tuning = self
        let most = max(Int64(Self.leastBatch * batchesPerWindow), rows / Int64(windowsAtOnce))
        tuning.windowRows = min(windowRows, Int(clamping: most))
        return tuning
    }

    /// How many windows are read, and then written, together.
    var windowsAtOnce: Int { writers * interleavedWindows }

    /// About the most bytes of values in a window, so that those written and those read next stay within some 150 MiB.
    var windowBytes: Int { min(8 << 20, (32 << 20) / windowsAtOnce) }
}

/// The rows of a window with what was decided for them.
struct DecidedWindow: Sendable {
    let number: Int64
    let rows: [StoredRow]
    let outcomes: [ColumnCipher.Outcome]
    /// Whether the column ends with it.
    let isLast: Bool
    /// By which its batches are drawn.
    let salt = UInt64.random(in: 0...UInt64.max)
}

/// The rows of a window as they were read, and its place in the walk.
private struct NumberedWindow: Sendable {
    let number: Int64
    let window: Window
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
