internal import ControlStore
internal import KeyModel
internal import Storage

/// The rows of one transaction with what was decided for them.
struct Batch: Sendable {
    /// How many rows there are.
    let rows: Int
    /// The values to replace, in key order.
    let swaps: [Swap]
    /// What was read; what is written is counted when it is.
    let counts: RowCounts
    private let doubtful: [(key: RowKey, reason: String)]

    /// Takes the batch of a window whose turn it is.
    init(_ window: DecidedWindow, turn: Int, tuning: BatchTuning) {
        let count = window.rows.count
        let batches = tuning.batchesPerWindow
        if tuning.isStrided {
            self.init(window.stride(turn: turn, of: batches), of: window.rows, outcomes: window.outcomes)
        } else {
            let size = (tuning.windowRows + batches - 1) / batches
            let range = min(count, turn * size)..<min(count, (turn + 1) * size)
            self.init(range, of: window.rows, outcomes: window.outcomes)
        }
    }

    /// Takes the rows at some places, with what was decided for them.
    init(_ places: some Collection<Int>, of rows: [StoredRow], outcomes: [ColumnCipher.Outcome]) {
        var swaps: [Swap] = []
        var counts = RowCounts()
        var doubtful: [(key: RowKey, reason: String)] = []
        swaps.reserveCapacity(places.count)
        for place in places {
            counts.read += 1
            switch outcomes[place] {
            case .keep: counts.skipped += 1
            case .replace(let value, let setsAssignments):
                swaps.append(
                    Swap(
                        key: rows[place].key, old: rows[place].value, new: value, setsAssignments: setsAssignments))
            case .quarantine(let reason):
                counts.quarantined += 1
                doubtful.append((rows[place].key, reason))
            }
        }
        self.init(rows: places.count, swaps: swaps, counts: counts, doubtful: doubtful)
    }

    /// Whether nothing is to be written, not even a quarantine record.
    var isEmpty: Bool { swaps.isEmpty && doubtful.isEmpty }

    /// The batch in two; nil where it has at most one value to replace.
    var halves: (Batch, Batch)? {
        guard swaps.count > 1 else { return nil }
        let middle = swaps.count / 2
        return (
            Batch(rows: middle, swaps: Array(swaps[..<middle]), counts: counts, doubtful: doubtful),
            Batch(rows: rows - middle, swaps: Array(swaps[middle...]), counts: RowCounts(), doubtful: [])
        )
    }

    /// The batch in pieces of at most so many values to replace; what was read is counted with the first.
    func pieces(ofAtMost limit: Int) -> [Batch] {
        guard swaps.count > limit else { return [self] }
        return stride(from: 0, to: swaps.count, by: limit).map { start in
            let part = Array(swaps[start..<min(start + limit, swaps.count)])
            return start == 0
                ? Batch(rows: rows - swaps.count + part.count, swaps: part, counts: counts, doubtful: doubtful)
                : Batch(rows: part.count, swaps: part, counts: RowCounts(), doubtful: [])
        }
    }

    /// The values that could not be opened, as records.
    func quarantined(column: Int64, at time: Timestamp) -> [QuarantineRecord] {
        doubtful.map { QuarantineRecord(columnID: column, key: $0.key, reason: $0.reason, at: time) }
    }

    private init(rows: Int, swaps: [Swap], counts: RowCounts, doubtful: [(key: RowKey, reason: String)]) {
        self.rows = rows
        self.swaps = swaps
        self.counts = counts
        self.doubtful = doubtful
    }
}

extension DecidedWindow {
    /// The places of the rows of one of several batches: from each run of as many neighbours as there are batches, one.
    ///
    /// Which one differs from run to run of neighbours, and from walk to walk. Rows that left their page together when
    /// the table was rewritten before stand on one page now; always the same tenth row would take all of them at once,
    /// and find no room there.
    func stride(turn: Int, of batches: Int) -> [Int] {
        let steps = (1...max(1, batches)).filter { Self.greatestDivisor($0, batches) == 1 }
        return Swift.stride(from: 0, to: rows.count, by: batches).compactMap { start in
            var mixed = salt &+ UInt64(start) &* 0x9E37_79B9_7F4A_7C15
            mixed = (mixed ^ mixed >> 31) &* 0xBF58_476D_1CE4_E5B9
            mixed ^= mixed >> 29
            // A step that shares no divisor with the number of batches visits each neighbour once.
            let step = steps[Int(mixed >> 33) % steps.count]
            let place = start + (Int(mixed & 0xFFFF_FFFF) + turn * step) % batches
            return place < rows.count ? place : nil
        }
    }

    private static func greatestDivisor(_ first: Int, _ second: Int) -> Int {
        second == 0 ? first : greatestDivisor(second, first % second)
    }
}
