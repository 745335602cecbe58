internal import KeyModel
package import Storage

/// Keyturn's own tables, inside the database that they describe.
///
/// Progress therefore commits with the rows it speaks of, and a backup of the database is complete save for the key-encryption key.
package struct ControlStore: Sendable {
    /// The database.
    package let engine: any StorageEngine

    /// Makes a store on a database; touches nothing.
    package init(engine: any StorageEngine) { self.engine = engine }

    /// Reads on one consistent view.
    ///
    /// - Throws: ``StorageError``, or what `body` throws.
    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (ControlSession) throws -> Value
    ) async throws -> Value {
        try await engine.read { try body(ControlSession($0)) }
    }

    /// Writes in one transaction: committed when `body` returns, rolled back when it throws.
    ///
    /// - Throws: ``StorageError``, or what `body` throws.
    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (ControlSession) throws -> Value
    ) async throws -> Value {
        try await engine.write { try body(ControlSession($0)) }
    }
}

/// The typed queries on Keyturn's tables, inside one transaction or view; must not leave its closure.
package struct ControlSession {
    /// The connection beneath, for the application's own tables.
    package let storage: any StorageSession

    /// Makes a session on a connection.
    package init(_ storage: any StorageSession) { self.storage = storage }
}
