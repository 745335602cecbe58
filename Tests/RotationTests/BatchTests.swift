import ControlStore
import PluginKit
import Storage
import Testing

@testable import Rotation

/// How a batch is cut for a run that is held down.
struct BatchTests {
    private static func batch(replacing count: Int, keeping kept: Int, quarantining doubtful: Int) -> Batch {
        let sealed = StoredValue([0x79], as: .text)
        var outcomes = [ColumnCipher.Outcome](repeating: .replace(sealed, setsAssignments: false), count: count)
        outcomes += [ColumnCipher.Outcome](repeating: .keep, count: kept)
        outcomes += [ColumnCipher.Outcome](repeating: .quarantine(reason: "dataMalformed"), count: doubtful)
        let rows = outcomes.indices.map {
            StoredRow(key: RowKey([.integer(Int64($0))]), value: StoredValue([0x78], as: .text), isMatching: true)
        }
        return Batch(rows.indices, of: rows, outcomes: outcomes)
    }

    @Test(arguments: [1, 2, 3, 7, 10, 11, .max])
    func piecesTogetherAreTheBatch(limit: Int) {
        let batch = Self.batch(replacing: 10, keeping: 4, quarantining: 3)
        let pieces = batch.pieces(ofAtMost: limit)
        #expect(pieces.allSatisfy { $0.swaps.count <= limit })
        #expect(pieces.flatMap { $0.swaps.map(\.key) } == batch.swaps.map(\.key))
        #expect(pieces.reduce(0) { $0 + $1.rows } == batch.rows)
        #expect(pieces.reduce(0) { $0 + $1.counts.read } == 17 && pieces.reduce(0) { $0 + $1.counts.quarantined } == 3)
    }

    @Test func aBatchWithoutSwapsIsOnePiece() {
        #expect(Self.batch(replacing: 0, keeping: 3, quarantining: 2).pieces(ofAtMost: 1).count == 1)
    }

    @Test(arguments: [0, 1, 9, 10, 11, 97, 1000], [1, 2, 10, 12])
    func stridesTakeEachRowOnceAndAreEven(rows count: Int, batches: Int) {
        let rows = (0..<count).map {
            StoredRow(key: RowKey([.integer(Int64($0))]), value: .text([0x78]), isMatching: true)
        }
        let outcomes = [ColumnCipher.Outcome](repeating: .keep, count: count)
        let window = DecidedWindow(number: 1, rows: rows, outcomes: outcomes, isLast: true)
        let strides = (0..<batches).map { window.stride(turn: $0, of: batches) }
        #expect(strides.flatMap(\.self).sorted() == Array(0..<count))
        #expect(strides.allSatisfy { $0 == $0.sorted() })
        // Of ten neighbours each batch takes one.
        for stride in strides { #expect(Set(stride.map { $0 / batches }).count == stride.count) }
    }

    @Test(arguments: [(1.0, 1), (10, 2), (400, 100), (1e12, 1_000_000)])
    func aThrottleWritesAQuarterSecondAtOnce(rate: Double, rows: Int) {
        #expect(Throttle(rowsPerSecond: rate).rowsAtOnce == rows)
        #expect(Throttle().rowsAtOnce == .max)
    }

    private static let tuning = BatchTuning(
        windowRows: 8000, batchesPerWindow: 10, isStrided: true, interleavedWindows: 4, writers: 2, readsApart: true)

    @Test(arguments: [(1.0, 8_000), (4_999, 8_000), (5_000, 500), (10_000, 1_000), (20_000, 2_000), (1e12, 8_000)])
    func aThrottledRunThatIsFeltWritesAHundredthOfASecondABatch(rate: Double, windowRows: Int) {
        let adapted = Throttle(rowsPerSecond: rate).adapt(Self.tuning)
        #expect(adapted.windowRows == windowRows)
        #expect(adapted.windowsAtOnce == ((5_000...20_000).contains(rate) ? 1 : 8))
    }

    @Test func othersWriteAsTheEngineLikesIt() {
        #expect(Throttle().adapt(Self.tuning) == Self.tuning)
        #expect(Throttle(dutyCycle: 0.5).adapt(Self.tuning) == Self.tuning)
    }
}
