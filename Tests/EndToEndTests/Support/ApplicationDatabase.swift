import Foundation
import GRDB
import ToolTesting

/// The application's own connection to its database.
struct ApplicationDatabase {
    private let queue: DatabaseQueue

    /// Opens a database, made where there is none.
    init(_ path: String) throws {
        var configuration = Configuration()
        configuration.busyMode = .timeout(20)
        queue = try DatabaseQueue(path: path, configuration: configuration)
    }

    /// Runs SQL.
    func run(_ sql: String, _ arguments: [(any DatabaseValueConvertible)?] = []) throws {
        try queue.writeWithoutTransaction { try $0.execute(sql: sql, arguments: StatementArguments(arguments)) }
    }

    /// Does several things in one transaction.
    func transaction(_ body: @Sendable (Database) throws -> Void) throws { try queue.write(body) }

    /// Reads rows of two columns, the first of them the key.
    func values(_ sql: String) throws -> [Int64: DatabaseValue] {
        try queue.read { database in
            Dictionary(uniqueKeysWithValues: try Row.fetchAll(database, sql: sql).map { ($0[0], $0[1]) })
        }
    }

    /// Reads one number.
    func integer(_ sql: String) throws -> Int? { try queue.read { try Int.fetchOne($0, sql: sql) } }

    /// Reads one text.
    func text(_ sql: String) throws -> String? { try queue.read { try String.fetchOne($0, sql: sql) } }

    /// Waits until a number is read that is not zero.
    ///
    /// - Throws: ``EndToEndError`` after `limit`.
    func waitFor(_ sql: String, limit: Duration = .seconds(60)) async throws {
        let deadline = ContinuousClock.now + limit
        while try integer(sql) ?? 0 == 0 {
            guard ContinuousClock.now < deadline else { throw EndToEndError("waited \(limit) in vain for: \(sql)") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
