internal import Backups
internal import Control
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Providers
internal import Rotation
internal import Storage
internal import StoragePostgreSQL
internal import StorageSQLite

extension SQLiteFileCopier: DatabaseFileCopier {}

extension BackupError: ExitCoded {
    /// 2 where something cannot be reached, 3 where it is refused, 4 where time ran out, 1 otherwise.
    package var exitCode: Int32 {
        switch code {
        case .providerProgramMissing, .providerProgramTooOld, .storeUnavailable, .keyIdentityMissing: 2
        case .callerTargetExists, .callerPolicyForbids, .storeFull: 3
        case .providerTimedOut: 4
        case .callerRequestInvalid, .callerNotFound, .providerProgramFailed, .dataDamaged, .dataForeign,
            .dataKeyringMissing:
            1
        }
    }
}

/// Opens restored copies through the engine's own cores, with a root key that a backup brought along where there is one.
private struct InstanceOpener: RestoredOpener {
    let cores: CoreCatalogue
    let providers: [Name: any KeyProvider]

    func examine(_ engine: any StorageEngine, rootKey: Int32?, opensValues: Bool) async throws -> Examination {
        var providers = providers
        if let rootKey { providers[try Name("local")] = try LocalProvider(reading: rootKey) }
        return try await DatabaseExaminer(cores: cores, providers: providers).examine(engine, opensValues: opensValues)
    }
}

extension BackupService {
    /// The service for an instance's backups, acting for somebody.
    ///
    /// - Throws: ``BackupError`` where the configuration declares none.
    init(
        control: ControlStore, configuration: Configuration, directory: InstanceDirectory, cores: CoreCatalogue,
        providers: [Name: any KeyProvider], actor: String,
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) throws {
        let (rootKey, environment) = (directory.rootKey, ProcessInfo.processInfo.environment)
        let death = try DieAtPoint(environment: environment)
        try self.init(
            control: control, declaration: configuration.backup, location: configuration.database,
            seams: BackupSeams(
                opener: InstanceOpener(cores: cores, providers: providers), copier: SQLiteFileCopier(),
                connect: { try await Parts.connect($0) }, reach: { try ProgramEnvironment.variables(of: $0) },
                escrow: { path, recipients in
                    try RootKeyEscrow(file: RootKeyFile(path: rootKey), environment: environment)
                        .export(to: path, recipients: recipients)
                },
                now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) },
                reached: { [death] in death?.reached($0.rawValue) }, alongside: alongside,
                environment: environment, actor: actor))
    }
}
