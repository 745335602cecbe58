import Foundation
import PluginKit
import Storage
import StorageSQLite
import Testing

struct SQLiteOpeningTests {
    @Test
    func aMissingFileIsNotCreatedUnasked() async throws {
        try await withDirectory { directory in
            let path = directory.appending(path: "none.db").path
            try expectFailure(.storeUnavailable, naming: path) { try SQLiteEngine(path: path) }
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test
    func aFileIsCreatedForItsOwnerAlone() async throws {
        try await withDirectory { directory in
            let path = directory.appending(path: "new.db").path
            let engine = try SQLiteEngine(path: path, create: true)
            try await engine.write { _ = try $0.execute("CREATE TABLE t (x)") }
            await engine.close()
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        }
    }

    @Test
    func whatIsNoDatabaseIsToldWhenOpened() async throws {
        try await withDirectory { directory in
            let text = directory.appending(path: "text.db")
            try Data(repeating: 0x41, count: 4096).write(to: text)
            try expectFailure(.storeDamaged, naming: text.path) { try SQLiteEngine(path: text.path) }
            try expectFailure(.storeUnavailable, naming: directory.path) { try SQLiteEngine(path: directory.path) }
            try expectFailure(.storeUnavailable, naming: "/dev/null") { try SQLiteEngine(path: "/dev/null") }
            let within = text.appending(path: "x.db").path
            try expectFailure(.storeUnavailable, naming: within) { try SQLiteEngine(path: within) }
            try expectFailure(.storeUnavailable, naming: "x") { try SQLiteEngine(path: "/tmp/x\0.db") }
        }
    }

    @Test(arguments: ["file:odd?mode=memory", ":memory:"])
    func aPathIsNeverTakenForAURI(name: String) async throws {
        try expectFailure(.storeUnavailable, naming: name) { try SQLiteEngine(path: name) }
    }

    @Test
    func aDamagedFileIsToldWhenRead() async throws {
        let scratch = try ScratchDatabase(.delete)
        try scratch.run("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)")
        try scratch.run(
            """
            INSERT INTO t SELECT value, hex(randomblob(500)) FROM
            (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 500) SELECT value FROM n)
            """)
        let handle = try FileHandle(forUpdating: URL(filePath: scratch.path))
        try handle.seek(toOffset: 4096)
        try handle.write(contentsOf: Data(repeating: 0xEE, count: 200_000))
        try handle.close()
        let engine = try SQLiteEngine(path: scratch.path)
        await #expect {
            try await engine.read { try $0.readWindow(WindowRequest(target: plain, scope: .all)) }
        } throws: {
            ($0 as? StorageError)?.code == .storeDamaged
        }
        await engine.close()
        await scratch.dispose()
    }

    @Test(arguments: ScratchDatabase.JournalMode.allCases)
    func aDatabaseOpenedForReadingIsReadAndNotWritten(mode: ScratchDatabase.JournalMode) async throws {
        let scratch = try ScratchDatabase(mode)
        try scratch.run("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT); INSERT INTO t VALUES (1, 'a')")
        let engine = try SQLiteEngine(path: scratch.path, isReadOnly: true)
        let window = try await engine.read { try $0.readWindow(WindowRequest(target: plain, scope: .all)) }
        #expect(window.rows.map(\.value) == [.text(Array("a".utf8))])
        await #expect { try await engine.write { try $0.tables() } } throws: {
            ($0 as? StorageError)?.code == .storeReadOnly
        }
        await engine.close()
        await scratch.dispose()
    }

    @Test(arguments: ScratchDatabase.JournalMode.allCases)
    func theJournalModeStaysAsItWas(mode: ScratchDatabase.JournalMode) async throws {
        try await withScratch(mode) { scratch, engine in
            try scratch.run("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT); INSERT INTO t VALUES (1, 'a')")
            let swap = Swap(key: RowKey([.integer(1)]), old: .text([0x61]), new: .text([0x62]))
            #expect(try await engine.write { try $0.swap([swap], in: plain) } == [true])
            await engine.close()
            #expect(try scratch.text("PRAGMA journal_mode") == mode.rawValue)
        }
    }

    @Test(arguments: [
        ("PRAGMA secure_delete", 1), ("PRAGMA synchronous", 3), ("PRAGMA foreign_keys", 1),
    ])
    func eachConnectionIsSetUpForSafety(pragma: String, value: Int64) async throws {
        try await withScratch { _, engine in
            let sql: SQL = "\(raw: pragma)"
            let found = [
                try await engine.write { try $0.query(sql)[0].integer(0) },
                try await engine.read { try $0.query(sql)[0].integer(0) },
            ]
            #expect(found == [value, value])
        }
    }

    @Test
    func aLockThatIsHeldTooLongIsBusy() async throws {
        let scratch = try ScratchDatabase()
        let engine = try SQLiteEngine(path: scratch.path, busyTimeout: .milliseconds(10))
        try scratch.run("BEGIN IMMEDIATE")
        await #expect { try await engine.write { try $0.tables() } } throws: {
            ($0 as? StorageError)?.code == .storeBusy && ($0 as? StorageError)?.isTransient == true
        }
        try scratch.run("ROLLBACK")
        #expect(try await engine.write { try $0.tables() }.isEmpty)
        await engine.close()
        await scratch.dispose()
    }
}

/// The column `c` of the table `t` with its key `id`.
let plain = ColumnTarget(path: ColumnPath(table: TableName(name: "t"), column: "c"), key: ["id"])

/// Runs `body` with a directory that vanishes afterwards.
func withDirectory(_ body: (URL) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "keyturn-storage-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let result: Result<Void, any Error>
    do { result = .success(try await body(directory)) } catch { result = .failure(error) }
    try FileManager.default.removeItem(at: directory)
    try result.get()
}

/// Expects an error with a code whose message names a file.
private func expectFailure(_ code: StorageError.Code, naming path: String, _ body: () throws -> SQLiteEngine) throws {
    #expect {
        _ = try body()
    } throws: { error in
        let error = error as? StorageError
        return error?.code == code && error?.message.contains(path) == true
    }
}
