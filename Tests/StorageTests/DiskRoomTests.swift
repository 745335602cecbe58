internal import Storage
internal import Testing

struct DiskRoomTests {
    private static let mebibyte: Int64 = 1 << 20

    private func shortages(
        tables: Int64?, log: Int64? = nil, logGrowth: Int64? = nil, isShared: Bool = false
    ) -> [String] {
        let room = DiskRoom(
            tables: tables.map { $0 * Self.mebibyte }, log: log.map { $0 * Self.mebibyte },
            logGrowth: logGrowth.map { $0 * Self.mebibyte }, isShared: isShared)
        return room.shortages(for: RewriteCost(tables: 20 * Self.mebibyte, log: 50 * Self.mebibyte))
    }

    @Test func whatIsNotKnownStandsAgainstNothing() {
        #expect(shortages(tables: nil) == [])
        #expect(shortages(tables: 20) == [])
        #expect(shortages(tables: 20, log: 50) == [])
    }

    @Test func eachDiskIsReckonedByItself() {
        #expect(shortages(tables: 19, log: 50).count == 1)
        #expect(shortages(tables: 19) == ["the rewriting needs about 20.0 MiB of disk, 19.0 MiB are free"])
        #expect(shortages(tables: 20, log: 49).first?.contains("for the write-ahead log, 49.0 MiB are free") == true)
        #expect(shortages(tables: 0, log: 0).count == 2)
    }

    @Test func oneDiskHoldsBoth() {
        #expect(shortages(tables: 70, isShared: true) == [])
        #expect(shortages(tables: 69, isShared: true).first?.contains("50.0 MiB of it for the write-ahead log") == true)
    }

    /// The engine uses the log's room again before all of it is written.
    @Test func theLogGrowsNoFurtherThanItsEngineLetsIt() {
        #expect(shortages(tables: 25, logGrowth: 5, isShared: true) == [])
        #expect(shortages(tables: 24, logGrowth: 5, isShared: true).count == 1)
        #expect(shortages(tables: 20, log: 5, logGrowth: 5) == [])
        #expect(shortages(tables: 20, log: 0, logGrowth: 0) == [])
    }

    @Test func costsAddUp() {
        let sum = RewriteCost(tables: 1, log: nil) + RewriteCost(tables: 2, log: 5) + RewriteCost(tables: 3, log: 6)
        #expect(sum == RewriteCost(tables: 6, log: 11))
        #expect((RewriteCost(tables: 1) + RewriteCost(tables: 1)).log == nil)
    }
}
