package import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

/// Makes, proves, restores and removes backups of an instance's database, and keeps their catalogue.
///
/// The catalogue is part of the database; it lists a backup only once the file stands under its name, was proved, and has
/// its manifest beside it. Cancelling any call leaves the catalogue as it was and no temporary file behind.
package struct BackupService: Sendable {
    let control: ControlStore
    let declaration: BackupDeclaration
    let location: DatabaseLocation
    let seams: BackupSeams

    /// Makes a service for a database.
    ///
    /// - Throws: ``BackupError`` with `callerRequestInvalid` where the configuration declares no backups.
    package init(
        control: ControlStore, declaration: BackupDeclaration?, location: DatabaseLocation, seams: BackupSeams
    ) throws(BackupError) {
        guard let declaration else {
            throw BackupError(
                .callerRequestInvalid, "no backups are declared",
                hint: "Add to keyturn.lua: backup { directory = \"…\", recipient = \"age1…\" }.")
        }
        self.control = control
        self.declaration = declaration
        self.location = location
        self.seams = seams
    }

    /// All backups, newest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func list() async throws -> [BackupEntry] {
        clearLeftovers()
        return try await control.read { try $0.backups() }.map { BackupEntry($0, isPresent: isPresent($0)) }
    }

    /// One backup with its manifest.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func show(_ id: Int64) async throws -> (entry: BackupEntry, manifest: BackupManifest) {
        let record = try await control.read { try $0.backup(id) }
        return (
            BackupEntry(record, isPresent: isPresent(record)),
            try BackupManifest.decode(record.manifest, of: record.location)
        )
    }

    /// Keeps a backup whatever its age, or no longer.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func pin(_ id: Int64, _ isPinned: Bool = true) async throws -> BackupEntry {
        let record = try await control.write { [seams] session in
            var record = try session.backup(id)
            record.isPinned = isPinned
            try session.update(record)
            try seams.alongside(session)
            return record
        }
        return BackupEntry(record, isPresent: isPresent(record))
    }

    /// The newest drills, newest first.
    ///
    /// - Throws: ``StorageError``.
    package func drills() async throws -> [DrillResult] {
        try await control.read { try $0.drills() }.map {
            DrillResult(
                backup: $0.backup, isPassed: $0.isPassed, milliseconds: $0.milliseconds, report: $0.report)
        }
    }

    /// Does something short while no backup is made or removed in the folder.
    ///
    /// - Parameters:
    ///   - patience: How long it waits for one that is being made or removed.
    ///   - body: What is done; backups that are begun meanwhile wait for it.
    /// - Returns: What the body returns.
    /// - Throws: ``BackupError`` with `callerPolicyForbids` while one is, or what the body throws.
    package func holdingFolder<Value>(
        waiting patience: Duration = .zero, _ body: () async throws -> Value
    ) async throws -> Value {
        let lock = try await DirectoryLock.taking(declaration.directory, waiting: patience)
        defer { lock.release() }
        return try await body()
    }

    /// Removes the unencrypted copies that a process which was killed has left behind, unless somebody works on them.
    package func clearLeftovers() {
        for parent in Set([declaration.directory, scratchParent]) { ScratchFolder.clear(in: parent) }
        guard DirectoryLock.hasPartials(in: declaration.directory),
            let lock = try? DirectoryLock(taking: declaration.directory)
        else { return }
        defer { lock.release() }
        lock.clearPartials()
    }

    /// What the next backup takes, and what there is.
    ///
    /// - Throws: ``BackupError``, or ``StorageError``.
    package func room() async throws -> RoomReport { try await room(for: try engine()) }

    /// Whether the file of a backup stands where it should, as large as it was.
    func isPresent(_ record: BackupRecord) -> Bool { record.isPresent }

    /// The way in which backups are made.
    func engine() throws(BackupError) -> any BackupEngine { try engine(declaration.method) }

    /// The engine that made a backup; nil for one that a command made.
    func engine(of record: BackupRecord) throws(BackupError) -> (any BackupEngine)? {
        guard let method = BackupDeclaration.Method(rawValue: record.method) else {
            throw BackupError(.dataDamaged, "backup \(record.id) was made in a way that this build does not know")
        }
        return method == .command ? nil : try engine(method)
    }

    private func engine(_ method: BackupDeclaration.Method?) throws(BackupError) -> any BackupEngine {
        switch (location, method) {
        case (.sqlite(let path), nil), (.sqlite(let path), .sqlite):
            return SQLiteBackupEngine(path: path, seams: seams, bytesPerSecond: declaration.bytesPerSecond)
        case (.postgresql, nil), (.postgresql, .logical):
            return LogicalBackupEngine(server: try requireServer(), patience: declaration.patience)
        case (.postgresql, .physical):
            return PhysicalBackupEngine(
                server: try requireServer(), patience: declaration.patience,
                bytesPerSecond: declaration.bytesPerSecond)
        case (_, let method):
            throw BackupError(
                .callerRequestInvalid,
                "method \"\(method?.rawValue ?? "")\" makes no backup of a database of \(location.engineName)")
        }
    }

    /// The operator's own programs; nil where none are declared.
    func command() -> CommandBackupEngine? {
        declaration.commands.map {
            CommandBackupEngine(server: server, commands: $0, seams: seams, patience: declaration.patience)
        }
    }

    private var server: PostgreSQLServer? {
        guard case .postgresql(let url) = location else { return nil }
        return PostgreSQLServer(url: url, engine: control.engine, seams: seams)
    }

    private func requireServer() throws(BackupError) -> PostgreSQLServer {
        guard let server else {
            throw BackupError(.callerRequestInvalid, "the database is none of PostgreSQL")
        }
        return server
    }

    /// Where backups are restored to be proved: beside them, or, since a server never runs as root, where others can look in.
    var scratchParent: String {
        if case .postgresql = location, geteuid() == 0 { return seams.environment["TMPDIR"] ?? "/var/tmp" }
        return declaration.directory
    }

    func room(for engine: any BackupEngine) async throws -> RoomReport {
        try Folder.make(declaration.directory)
        let room = try await engine.room()
        return RoomReport(
            database: room.database, log: room.log, directory: declaration.directory, needed: room.target,
            free: try Folder.freeBytes(at: declaration.directory), scratch: scratchParent,
            scratchNeeded: room.scratch, scratchFree: try Folder.freeBytes(at: scratchParent))
    }
}

extension DatabaseLocation {
    fileprivate var engineName: String {
        switch self {
        case .sqlite: "SQLite"
        case .postgresql: "PostgreSQL"
        }
    }
}
