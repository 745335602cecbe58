import CPostgreSQL
import Dispatch
import Synchronization

/// A connection as an application holds it, that Keyturn has not touched.
package final class ApplicationConnection: Sendable {
    // Safety: libpq wants one caller at a time, which the lock sees to.
    private struct Handle: @unchecked Sendable { let pointer: OpaquePointer? }

    private let handle: Mutex<Handle>
    private let queue = DispatchQueue(label: "application")

    /// What a row holds, in text form; nil for no value.
    package typealias Row = [String?]

    /// Connects.
    ///
    /// - Throws: ``ApplicationError``.
    package init(_ url: String) throws {
        let pointer = PQconnectdb(url)
        PQsetNoticeProcessor(pointer, { _, _ in }, nil)
        handle = Mutex(Handle(pointer: pointer))
        guard PQstatus(pointer) == CONNECTION_OK else {
            throw ApplicationError(description: PQerrorMessage(pointer).map { String(cString: $0) } ?? "")
        }
    }

    deinit { handle.withLock { PQfinish($0.pointer) } }

    /// Runs statements, as many as the text holds, and returns the rows of the last one.
    ///
    /// - Throws: ``ApplicationError`` with the server's words.
    @discardableResult
    package func run(_ sql: String) throws -> [Row] {
        try handle.withLock { handle in
            let result = PQexec(handle.pointer, sql)
            defer { PQclear(result) }
            guard [PGRES_COMMAND_OK, PGRES_TUPLES_OK].contains(PQresultStatus(result)) else {
                throw ApplicationError(description: PQerrorMessage(handle.pointer).map { String(cString: $0) } ?? "")
            }
            return (0..<PQntuples(result)).map { row in
                (0..<PQnfields(result)).map { column in
                    PQgetisnull(result, row, column) != 0
                        ? nil : PQgetvalue(result, row, column).map { String(cString: $0) }
                }
            }
        }
    }

    /// Runs statements off the shared pool; they may wait for a lock.
    ///
    /// - Throws: ``ApplicationError`` with the server's words.
    @discardableResult
    package func runAside(_ sql: String) async throws -> [Row] {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.run(sql) }) }
        }
    }
}

/// What the server said to an application.
package struct ApplicationError: Error, CustomStringConvertible {
    /// Its words.
    package let description: String
}
