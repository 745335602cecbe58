internal import GRDB
internal import GRDBSQLite
internal import KeyModel
internal import PluginKit
internal import Storage

/// A connection of SQLite inside a transaction.
final class SQLiteSession: StorageSession {
    /// The most rows that a query hands back.
    static let rowLimit = 100_000

    let database: Database
    let file: DatabaseFile
    /// What was found out about the columns used so far; a transaction sees one state of the schema.
    var shapes: [ColumnTarget: ColumnShape] = [:]
    /// What earlier transactions found out.
    let memory: SchemaMemory

    init(database: Database, file: DatabaseFile, memory: SchemaMemory) {
        self.database = database
        self.file = file
        self.memory = memory
    }

    func query(_ sql: Storage.SQL) throws -> [SQLRow] {
        let (text, parameters) = sql.rendered()
        return try rows(text, parameters)
    }

    @discardableResult
    func execute(_ sql: Storage.SQL) throws -> Int {
        let (text, parameters) = sql.rendered()
        let before = sqlite3_total_changes(database.sqliteConnection)
        let statement = try SQLiteStatement(text, in: self, doing: "use")
        defer { statement.reset() }
        for (index, value) in parameters.enumerated() { try statement.bind(value, at: CInt(index + 1)) }
        try statement.run()
        shapes = [:]
        // A statement that changes no rows at all, such as CREATE TABLE, leaves the last count standing.
        let didChange = sqlite3_total_changes(database.sqliteConnection) != before
        return didChange ? Int(sqlite3_changes(database.sqliteConnection)) : 0
    }

    /// Nothing: a writing transaction is the only one.
    var sharedRowLock: Storage.SQL { "" }

    /// Nothing, for the same reason.
    var exclusiveRowLock: Storage.SQL { "" }

    func currentTime() throws -> Timestamp {
        let now: Storage.SQL = "SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
        return Timestamp(milliseconds: try query(now).first?.integer(0) ?? 0)
    }

    /// Nothing: the instance lock keeps other processes out, and the system releases the file of one that dies.
    func limitIdleTime(_ limit: Duration) throws {}

    func endAbandonedTransactions(idleFor limit: Duration) throws {}

    func columnType(_ type: ControlType) -> Storage.SQL {
        switch type {
        case .integer: "INTEGER"
        case .text: "TEXT"
        case .blob: "BLOB"
        }
    }

    func createControlSchema() throws {}

    /// Runs a statement of text that is ours and values that are bound.
    func rows(_ text: String, _ parameters: [SQLValue] = []) throws -> [SQLRow] {
        let statement = try SQLiteStatement(text, in: self, doing: "use")
        defer { statement.reset() }
        for (index, value) in parameters.enumerated() { try statement.bind(value, at: CInt(index + 1)) }
        var rows: [SQLRow] = []
        while try statement.step() {
            guard rows.count < Self.rowLimit else {
                throw file.unexpected("a query gave more than \(Self.rowLimit) rows")
            }
            rows.append(SQLRow(try (0..<statement.columnCount).map(statement.value)))
        }
        return rows
    }
}
