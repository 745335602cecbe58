import Backups
import ControlStore
import KeyModel
import Testing

struct RetentionTests {
    private let now = Timestamp(milliseconds: 1_800_000_000_000)

    private func backup(
        _ id: Int64, daysAgo: Int64, level: BackupLevel = .checksums, pinned: Bool = false, run: Int64? = nil
    ) -> BackupRecord {
        let time = now.advanced(by: .seconds(-86_400 * daysAgo))
        return BackupRecord(
            id: id, method: "sqlite", location: "/\(id)", bytes: 1, sha256: "", startedAt: time, finishedAt: time,
            run: run, stage: .manual, level: level, verifiedAt: time, expiresAt: nil, isPinned: pinned, isScanned: true,
            dataKeys: [], wrappedKeys: [], wrappers: [], manifest: "")
    }

    private func going(
        _ backups: [BackupRecord], keep: Int? = nil, days: Int64? = nil, pitr: Int64? = nil, openRun: Int64? = nil,
        owed: Bool = false
    ) -> [Int64] {
        let declaration = BackupDeclaration(
            directory: "/", keep: keep, keepFor: days.map { .seconds(86_400 * $0) },
            pitr: pitr.map { .seconds(86_400 * $0) })
        return Retention(declaration).expendable(backups, openRun: openRun, owed: owed, now: now).map(\.id)
    }

    @Test func nothingGoesUnlessSomethingIsDeclared() {
        #expect(going((1...9).map { backup($0, daysAgo: 10 - $0) }) == [])
    }

    @Test func whatIsBothManyAndOldGoesOldestFirst() {
        let all = (1...6).map { backup($0, daysAgo: 60 - $0 * 10) }
        #expect(going(all, keep: 3) == [1, 2, 3])
        #expect(going(all, days: 35) == [1, 2])
        #expect(going(all, keep: 5, days: 35) == [1])
    }

    @Test func twoVerifiedOnesStayWhateverTheirAge() {
        let old = [backup(1, daysAgo: 900), backup(2, daysAgo: 800), backup(3, daysAgo: 700)]
        #expect(going(old, days: 1) == [1])
        let doubtful = [backup(4, daysAgo: 5, level: .format), backup(5, daysAgo: 4, level: .claimed)]
        #expect(going(old + doubtful, days: 1) == [1, 4], "those that are not verified stand in for none")
    }

    @Test func whatFailedItsProofStandsInForNoneAndIsLeftToPeople() {
        let all = (1...4).map { backup($0, daysAgo: 10 - $0, level: $0 == 4 ? .claimed : .restored) }
        #expect(going(all, keep: 2) == [1])
    }

    @Test func pinsTheOpenRunAndAnOwedBackupHoldOthersBack() {
        let all =
            [backup(1, daysAgo: 50, pinned: true), backup(2, daysAgo: 40, run: 7)]
            + (3...6).map { backup($0, daysAgo: 30 - $0) }
        #expect(going(all, keep: 2) == [2, 3, 4])
        #expect(going(all, keep: 2, openRun: 7) == [3, 4])
        #expect(going(all, keep: 2, owed: true) == [])
    }

    @Test func theBackupFromWhichTheLogArchiveReachesBackStays() {
        let all = (1...6).map { backup($0, daysAgo: 60 - $0 * 10) }
        #expect(going(all, keep: 2, pitr: 25) == [1, 2], "3 is 30 days old: what came 25 days ago begins from it")
    }
}
