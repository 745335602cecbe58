package import ControlStore
internal import KeyModel
internal import PluginKit
package import Storage

/// Turns keys: makes plans, drives runs, counts, and answers what stands where.
///
/// One engine serves one process; runs on a database are driven by whoever holds its lease.
package struct RotationEngine: Sendable {
    let context: RotationContext
    let keys: KeyAccess
    /// The instance that the database belongs to, as it was when the engine was made.
    package let instance: InstanceRecord
    let configurationHash: String

    /// Makes an engine on a database that belongs to an instance.
    ///
    /// - Throws: ``ControlStoreError`` with `storeSchemaState` where it belongs to none, `storeSetBack` where it belongs to
    ///   another, or `storeSchemaNewer`; or ``StorageError``.
    package init(context: RotationContext, configurationHash: String) async throws {
        let context = context.patient
        self.context = context
        self.configurationHash = configurationHash
        keys = KeyAccess(control: context.control, cores: context.cores, providers: context.providers)
        let version = try await context.control.read { try $0.schemaVersion() }
        guard version > 0 else { throw Self.noInstance }
        // A newer schema is refused before anything of it is read.
        if version > ControlSession.schemaVersion { try await context.control.read { try $0.refuseNewerSchema() } }
        guard let found = try await context.control.read({ try $0.instance() }) else { throw Self.noInstance }
        let own = await context.memory.entry.instance
        guard found.id == own else {
            throw ControlStoreError(
                .storeSetBack, "the database belongs to instance \(found.id), this directory to \(own)",
                hint: "Check that \"database\" in keyturn.lua names the right one; nothing was changed."
            )
        }
        if version != ControlSession.schemaVersion {
            try await context.control.write { [now = context.now()] in try $0.migrate(at: now) }
        }
        instance = found
    }

    /// Refuses a database that was set back or replaced; only opening works then.
    ///
    /// - Throws: ``ControlStoreError`` with `storeSetBack`.
    package func requireCurrent() async throws {
        // Read anew: runs that this very engine drove have raised the epoch since it was made.
        guard let present = try await context.control.read({ try $0.instance() }) else { throw Self.noInstance }
        try await context.memory.check(present)
    }

    /// Brings the records in line with a configuration, with the key columns that the database names filled in.
    ///
    /// What `alongside` records commits with it.
    ///
    /// - Throws: ``ControlStoreError`` with `callerConfigurationConflict` or `storeSetBack`, ``RotationError`` with `callerNotFound` for a
    ///   table or column that is not there, or ``StorageError``.
    package func apply(
        _ configuration: Configuration, alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws {
        try await requireCurrent()
        var complete = configuration
        complete.columns = try await context.engine.read { session in
            try configuration.columns.map { try Self.complete($0, in: session) }
        }
        let now = context.now()
        try await context.control.write { [complete, actor = context.actor] session in
            try session.apply(complete, at: now, actor: actor)
            try alongside(session)
        }
    }

    /// Takes a configuration up if it is not the one that holds.
    ///
    /// - Throws: As ``apply(_:)``.
    package func apply(ifChanged configuration: Configuration) async throws {
        guard try await context.control.read({ try $0.configurationHash() }) != configuration.hash else { return }
        try await apply(configuration)
    }

    /// Makes sure that the database has the tables and columns that a configuration declares.
    ///
    /// - Throws: ``RotationError`` with `callerNotFound`, or ``StorageError``.
    package static func check(_ configuration: Configuration, on engine: any StorageEngine) async throws {
        try await engine.read { session in
            for column in configuration.columns { _ = try complete(column, in: session) }
        }
    }

    /// Makes a plan.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, ``RotationError`` with `keyNotUnwrapped`, or ``StorageError``.
    package func plan(_ request: PlanRequest) async throws -> Plan { try await planner.plan(request) }

    /// The number of the declared column of this name.
    ///
    /// - Throws: ``RotationError`` with `callerNotFound`, whose hint names the nearest one.
    package func column(_ path: ColumnPath) async throws -> ColumnRecord {
        let declared = try await context.control.read { try $0.columns().filter(\.isDeclared) }
        if let found = declared.first(where: { $0.declaration.path == path }) { return found }
        let names = declared.map(\.declaration.path.description)
        throw RotationError(
            .callerNotFound, "column \(quoted(path.description)) is not declared in keyturn.lua",
            hint: nearest(to: path.description, among: names).map { "Did you mean \"\($0)\"?" }
                ?? "Declare it: column \"\(path)\" { keyring = \"…\" }."
        )
    }

    private static var noInstance: ControlStoreError {
        ControlStoreError(
            .storeSchemaState, "the database belongs to no instance of Keyturn",
            hint: "Run \"keyturn init\", or check that \"database\" in keyturn.lua names the right one."
        )
    }

    var planner: Planner {
        Planner(context: context, keys: keys, instance: instance, configurationHash: configurationHash)
    }

    private static func complete(
        _ declaration: ColumnDeclaration, in session: any StorageSession
    ) throws -> ColumnDeclaration {
        let path = declaration.path
        guard let table = try session.describe(path.table) else {
            let names = try session.tables().map(\.description)
            throw RotationError(
                .callerNotFound, "column \"\(path)\": the database has no table \"\(path.table)\"",
                hint: nearest(to: path.table.description, among: names).map { "Did you mean \"\($0)\"?" }
            )
        }
        guard table.column(path.column) != nil else {
            throw RotationError(
                .callerNotFound, "column \"\(path)\": table \"\(path.table)\" has no column \"\(path.column)\"",
                hint: nearest(to: path.column, among: table.columns.map(\.name)).map { "Did you mean \"\($0)\"?" }
            )
        }
        var complete = declaration
        if complete.key.isEmpty { complete.key = table.primaryKey }
        return complete
    }
}
