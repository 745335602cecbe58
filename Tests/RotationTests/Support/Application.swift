internal import Foundation
internal import GRDB

/// The program whose database it is: a connection of its own, which knows nothing of Keyturn.
final class Application: Sendable {
    let path: String
    private let queue: DatabaseQueue

    init(path: String) throws {
        self.path = path
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        queue = try DatabaseQueue(path: path, configuration: configuration)
        try run("PRAGMA journal_mode = WAL")
    }

    func run(_ sql: String) throws {
        try queue.inDatabase { try $0.execute(sql: sql) }
    }

    func run(_ sql: String, texts: [String]) throws {
        try queue.inDatabase { try $0.execute(sql: sql, arguments: StatementArguments(texts)) }
    }

    func number(_ sql: String) throws -> Int {
        try queue.inDatabase { try Int.fetchOne($0, sql: sql) } ?? -1
    }

    func text(_ sql: String) throws -> String? {
        try queue.inDatabase { try String.fetchOne($0, sql: sql) }
    }

    func texts(_ sql: String) throws -> [String] {
        try queue.inDatabase { try String?.fetchAll($0, sql: sql) }.map { $0 ?? "NULL" }
    }

    /// Every row of every table of ours, as text: whatever is remembered shows here.
    func records() throws -> [String] {
        let names = try texts(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'keyturn_%' ORDER BY name")
        return try queue.inDatabase { database in
            try names.flatMap { name in
                try Row.fetchAll(database, sql: "SELECT * FROM \"\(name)\"").map { "\(name): \($0)" }
            }
        }
    }

    /// A copy of the file as a backup would take it.
    func copy(to other: String) throws {
        try run("VACUUM INTO ?", texts: [other])
    }

    func close() throws { try queue.close() }
}
