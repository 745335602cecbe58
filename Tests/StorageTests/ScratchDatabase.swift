import Foundation
import GRDB
import Storage
import StorageSQLite
import StorageTesting

/// A database file of its own in a directory of its own.
struct ScratchDatabase: ConformanceDatabase {
    /// How the file keeps its journal.
    enum JournalMode: String, CaseIterable, Sendable {
        case wal, delete
    }

    let directory: URL
    let path: String
    private let application: DatabaseQueue

    /// Makes a database.
    ///
    /// - Parameters:
    ///   - journalMode: How it keeps its journal.
    ///   - encoding: How it keeps text.
    /// - Throws: What SQLite or the file system throws.
    init(_ journalMode: JournalMode = .wal, encoding: String = "UTF-8") throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "keyturn-storage-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        path = directory.appending(path: "scratch.db").path
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.foreignKeysEnabled = false
        configuration.allowsUnsafeTransactions = true
        configuration.acceptsDoubleQuotedStringLiterals = true
        application = try DatabaseQueue(path: path, configuration: configuration)
        try run("PRAGMA encoding = '\(encoding)'")
        try run("PRAGMA journal_mode = \(journalMode.rawValue)")
        try run("CREATE TABLE made_first (x); DROP TABLE made_first")
    }

    var dialect: ConformanceDialect { .sqlite }

    func openEngine() async throws -> any StorageEngine { try SQLiteEngine(path: path) }

    func runAsApplication(_ sql: String) async throws { try run(sql) }

    func dispose() async {
        try? application.close()
        try? FileManager.default.removeItem(at: directory)
    }

    /// Changes how a database keeps its journal, on a connection that is closed again.
    static func setJournalMode(_ mode: JournalMode, of path: String) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.inDatabase { try $0.execute(sql: "PRAGMA journal_mode = \(mode.rawValue)") }
        try queue.close()
    }

    /// Runs SQL on the application's connection.
    func run(_ sql: String) throws {
        try application.inDatabase { try $0.execute(sql: sql) }
    }

    /// The first column of the first row that a query on the application's connection gives, as text.
    func text(_ sql: String) throws -> String? {
        try application.inDatabase { try String.fetchOne($0, sql: sql) }
    }
}

extension ConformanceDialect {
    /// SQLite, whose text takes any bytes.
    static let sqlite = ConformanceDialect(
        textType: "TEXT", foldedTextType: "TEXT COLLATE NOCASE", blobType: "BLOB", uuidType: "TEXT",
        storesAnyBytesAsText: true,
        textLiteral: { "CAST(x'\(hex($0))' AS TEXT)" }, blobLiteral: { "x'\(hex($0))'" },
        alteringTrigger: { table, column in
            """
            CREATE TRIGGER altering AFTER UPDATE OF \(column) ON \(table) WHEN NEW.\(column) NOT LIKE '%!'
            BEGIN UPDATE \(table) SET \(column) = NEW.\(column) || '!' WHERE rowid = NEW.rowid; END
            """
        },
        refusingTrigger: { table, message in
            "CREATE TRIGGER refusing BEFORE UPDATE ON \(table) BEGIN SELECT RAISE(ABORT, '\(message)'); END"
        })

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// Runs `body` with a database and an engine on it, and throws both away.
func withScratch(
    _ journalMode: ScratchDatabase.JournalMode = .wal, encoding: String = "UTF-8",
    _ body: (ScratchDatabase, any StorageEngine) async throws -> Void
) async throws {
    let database = try ScratchDatabase(journalMode, encoding: encoding)
    let result: Result<Void, any Error>
    do {
        let engine = try await database.openEngine()
        do {
            try await body(database, engine)
            result = .success(())
        } catch { result = .failure(error) }
        await engine.close()
    } catch { result = .failure(error) }
    await database.dispose()
    try result.get()
}
