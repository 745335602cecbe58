package import ControlStore
package import KeyModel
package import Storage

/// Opens what a backup was restored to, with nothing but the keyring in it and a key-encryption key.
package protocol RestoredOpener: Sendable {
    /// Reads the keyring of a database and opens its values.
    ///
    /// - Parameters:
    ///   - engine: The database.
    ///   - rootKey: The descriptor of a copy of `root.key` to unwrap through; nil takes the instance's own providers.
    ///   - opensValues: Whether every value is opened; otherwise only the keyring is read.
    /// - Returns: What was found.
    /// - Throws: A ``CodedError``; a key that does not unwrap or whose canary does not open is one.
    func examine(_ engine: any StorageEngine, rootKey: Int32?, opensValues: Bool) async throws -> Examination
}

/// Copies a database file while others write to it, and checks a copy.
package protocol DatabaseFileCopier: Sendable {
    /// The name and version of the library.
    var version: String { get }

    /// Copies a database as it is at one instant to a new file, durable when the call returns.
    ///
    /// - Parameters:
    ///   - source: The database.
    ///   - target: A file that is not there yet.
    ///   - bytesPerSecond: The most that is copied; nil for no limit.
    ///   - isCancelled: Asked between pieces.
    /// - Throws: ``StorageError``, or `CancellationError`.
    func copy(
        _ source: String, to target: String, bytesPerSecond: Int64?, isCancelled: @escaping @Sendable () -> Bool
    ) throws

    /// Writes a database over another one in one transaction of the other one, so that whoever has that open goes on safely.
    ///
    /// - Throws: ``StorageError`` with `storeBusy` where others hold it, or `storeDamaged` for what is no database; nothing was
    ///   changed then.
    func replace(_ path: String, with source: String) throws

    /// Checks every page and index of a database file.
    ///
    /// - Throws: ``StorageError`` with `storeDamaged`.
    func check(_ path: String) throws
}

/// Everything that the service needs from outside.
package struct BackupSeams: Sendable {
    /// Opens restored databases.
    package let opener: any RestoredOpener
    /// Copies files of SQLite.
    package let copier: any DatabaseFileCopier
    /// Connects to a database.
    package let connect: @Sendable (DatabaseLocation) async throws -> any StorageEngine
    /// The variables by which programs of PostgreSQL reach the database of a connection string.
    package let reach: @Sendable (_ url: String) throws -> [String: String]
    /// Writes a copy of `root.key` that any of the recipients can open; nil where no built-in root key is used.
    package let escrow: (@Sendable (_ path: String, _ recipients: [String]) throws -> Void)?
    /// The time of day.
    package let now: @Sendable () -> Timestamp
    /// Told of each durable instant; does nothing outside of tests.
    package let reached: @Sendable (BackupPoint) -> Void
    /// Recorded in the same transaction as what is changed in the catalogue.
    package let alongside: @Sendable (ControlSession) throws -> Void
    /// The environment, for where programs are.
    package let environment: [String: String]
    /// Who acts, for the records.
    package let actor: String

    /// Puts the parts together.
    package init(
        opener: any RestoredOpener, copier: any DatabaseFileCopier,
        connect: @escaping @Sendable (DatabaseLocation) async throws -> any StorageEngine,
        reach: @escaping @Sendable (_ url: String) throws -> [String: String],
        escrow: (@Sendable (_ path: String, _ recipients: [String]) throws -> Void)?,
        now: @escaping @Sendable () -> Timestamp, reached: @escaping @Sendable (BackupPoint) -> Void = { _ in },
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in },
        environment: [String: String], actor: String
    ) {
        self.opener = opener
        self.copier = copier
        self.connect = connect
        self.reach = reach
        self.escrow = escrow
        self.now = now
        self.reached = reached
        self.alongside = alongside
        self.environment = environment
        self.actor = actor
    }
}
