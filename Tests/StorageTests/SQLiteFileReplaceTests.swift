import Foundation
import GRDB
import Storage
import StorageSQLite
import Testing

/// A database that is written over while others have it open.
struct SQLiteFileReplaceTests {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-replace-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private func open(_ name: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.busyMode = .timeout(20)
        configuration.allowsUnsafeTransactions = true
        return try DatabaseQueue(path: path(name), configuration: configuration)
    }

    /// Makes a database with one table of rows that hold its name.
    private func make(_ name: String, mode: String, pageSize: Int = 4096, rows: Int = 50) throws {
        let queue = try open(name)
        try queue.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA page_size = \(pageSize); PRAGMA journal_mode = \(mode)")
            try database.execute(sql: "CREATE TABLE t (id INTEGER PRIMARY KEY, what TEXT)")
            for row in 1...rows {
                try database.execute(sql: "INSERT INTO t VALUES (?, ?)", arguments: [row, name])
            }
        }
        try queue.close()
    }

    private func names(_ queue: DatabaseQueue) throws -> [String] {
        try queue.inDatabase { try String.fetchAll($0, sql: "SELECT what FROM t GROUP BY what ORDER BY what") }
    }

    private func dispose() { try? FileManager.default.removeItem(at: folder) }

    @Test(arguments: ["wal", "delete"])
    func whoHadItOpenGoesOnWithTheNewOneAndTakesNothingOfItAwayByClosing(mode: String) throws {
        defer { dispose() }
        try make("live", mode: mode)
        try make("new", mode: "wal", rows: 70)
        let old = try open("live")
        #expect(try names(old) == ["live"])
        try SQLiteFileCopier().replace(path("live"), with: path("new"))
        #expect(try names(old) == ["new"], "the connection from before sees what stands there now")
        let young = try open("live")
        try young.inDatabase { try $0.execute(sql: "INSERT INTO t VALUES (1000, 'later')") }
        try old.inDatabase { try $0.execute(sql: "INSERT INTO t VALUES (1001, 'last')") }
        try old.close()
        #expect(try names(young) == ["last", "later", "new"])
        try young.close()
        try SQLiteFileCopier().check(path("live"))
        #expect(try names(try open("live")) == ["last", "later", "new"])
    }

    @Test func aReaderKeepsWhatItSeesToTheEndOfItsTransaction() throws {
        defer { dispose() }
        try make("live", mode: "wal")
        try make("new", mode: "wal")
        let reader = try open("live")
        try reader.inDatabase { database in
            try database.execute(sql: "BEGIN")
            _ = try Int.fetchOne(database, sql: "SELECT count(*) FROM t")
        }
        try SQLiteFileCopier().replace(path("live"), with: path("new"))
        #expect(try names(reader) == ["live"])
        try reader.inDatabase { try $0.execute(sql: "COMMIT") }
        #expect(try names(reader) == ["new"])
    }

    @Test func whoeverWritesIsWaitedForAndKeepsWhatItHasIfThatLastsTooLong() throws {
        defer { dispose() }
        try make("live", mode: "wal")
        try make("new", mode: "wal")
        let writer = try open("live")
        try writer.inDatabase { try $0.execute(sql: "BEGIN IMMEDIATE; UPDATE t SET what = 'mine'") }
        let error = #expect(throws: StorageError.self) {
            try SQLiteFileCopier(patience: .milliseconds(300)).replace(path("live"), with: path("new"))
        }
        #expect(error?.code == .storeBusy)
        try writer.inDatabase { try $0.execute(sql: "COMMIT") }
        #expect(try names(writer) == ["mine"])
    }

    @Test func whatIsNoDatabaseOrOfOtherPagesStaysAsItIs() throws {
        defer { dispose() }
        try make("new", mode: "wal")
        try make("live", mode: "wal", pageSize: 1024)
        let sizes = #expect(throws: StorageError.self) {
            try SQLiteFileCopier().replace(path("live"), with: path("new"))
        }
        #expect(sizes?.code == .storeUnavailable && sizes?.message.contains("another size") == true)
        #expect(try names(try open("live")) == ["live"])
        let noise = Data((0..<8192).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try noise.write(to: URL(filePath: path("noise")))
        let damaged = #expect(throws: StorageError.self) {
            try SQLiteFileCopier().replace(path("noise"), with: path("new"))
        }
        #expect(damaged?.code == .storeDamaged)
        #expect(try Data(contentsOf: URL(filePath: path("noise"))) == noise)
    }
}
