internal import Backups
internal import Control
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Logging
internal import PluginKit
internal import ProviderHost
internal import Providers
internal import Rotation
internal import Scripting

/// Puts the instance of a directory together from the parts that are built in.
struct LocalInstance: InstanceSource {
    let directory: InstanceDirectory
    let logger: Logger
    /// Told which providers the instance has once it is open.
    let hosted: HostedProviders
    /// The texts as they were loaded.
    private let shelf = ScriptShelf()

    init(directory: InstanceDirectory, logger: Logger, hosted: HostedProviders) {
        self.directory = directory
        self.logger = logger
        self.hosted = hosted
    }

    func configuration() async throws -> Configuration {
        let description = try directory.read()
        let (configuration, script) = try await loadScript(description.configuration)
        shelf.put(script, for: configuration.hash)
        return configuration
    }

    func script(of configuration: Configuration) async throws -> ConfigurationScript {
        if let script = shelf.script(of: configuration.hash) { return script }
        let (present, script) = try await loadScript(configuration.file)
        guard present.hash == configuration.hash else {
            throw CommandError(
                .callerFile,
                "\(quoted(configuration.file)) or the scripts beside it have changed since they were loaded",
                hint: "Take them up first: keyturn call configuration.load.")
        }
        shelf.put(script, for: configuration.hash)
        return script
    }

    private func loadScript(_ file: String) async throws -> (configuration: Configuration, script: ConfigurationScript)
    {
        try await ConfigurationLoader(cores: Parts().cores.descriptors).loadScript(
            file: file, scripts: directory.scripts)
    }

    func open(_ configuration: Configuration, beginsJournal: Bool) async throws -> Instance {
        shelf.keep(configuration.hash)
        if beginsJournal { try directory.beginJournal(of: try directory.read().instance) }
        let parts = try Parts()
        let store = try await Parts.connect(configuration.database)
        let control = ControlStore(engine: store)
        let providers = try await parts.providers(
            of: configuration, local: try LocalProvider(opening: directory.rootKey), control: control, logger: logger)
        hosted.hold(providers)
        var context = try parts.context(
            control: control, providers: providers.providers,
            journal: NodeJournal(reading: directory.journal), signer: SigningKey(opening: directory.signingKey),
            logger: logger
        )
        context.backupObstacle = Self.backupObstacle(configuration, directory, context)
        // Brings the schema up to date, and refuses a database of somebody else's, before anything else is done with it.
        _ = try await RotationEngine(context: context, configurationHash: configuration.hash)
        return Instance(directory: directory, configuration: configuration, context: context)
    }

    func takeProviderCalls() async -> [Name: ProviderCalls] {
        // Where no instance is open, nobody was asked.
        (try? hosted.current())?.takeCalls() ?? [:]
    }

    func instance(_ instance: Instance, takingUp configuration: Configuration) async throws -> Instance {
        shelf.keep(configuration.hash)
        var instance = instance
        let next = try await Parts().providers(
            of: configuration, local: try LocalProvider(opening: directory.rootKey), control: instance.context.control,
            logger: logger)
        let merged = try hosted.merge(next)
        instance.configuration = configuration
        instance.context.providers = merged.providers
        instance.context.backupObstacle = Self.backupObstacle(configuration, directory, instance.context)
        return instance
    }

    /// What says whether the next backup fits where the configuration wants it; nil where it declares none.
    private static func backupObstacle(
        _ configuration: Configuration, _ directory: InstanceDirectory, _ context: RotationContext
    ) -> (@Sendable () async throws -> String?)? {
        // A command's own program knows what it needs.
        guard let backup = configuration.backup, backup.method != .command else { return nil }
        let (control, cores, providers) = (context.control, context.cores, context.providers)
        return {
            let service = try BackupService(
                control: control, configuration: configuration, directory: directory, cores: cores,
                providers: providers, actor: "keyturn")
            return try await service.room().obstacle
        }
    }

    func close() async { await hosted.close() }

    func checkOutput(_ path: String, for what: String, of instance: Instance) async throws {
        let configuration = instance.configuration
        let named = ProviderRegistry.directories(
            of: configuration.providers,
            relativeTo: URL(filePath: configuration.file).deletingLastPathComponent().path)
        try await PluginCatalogue(instance.context.control).checkOutput(path, for: what, and: named)
    }

    func exportRootKey(to recipients: [String], into descriptor: Int32) async throws {
        let escrow = RootKeyEscrow(
            file: RootKeyFile(path: directory.rootKey), environment: ProcessInfo.processInfo.environment)
        if recipients.isEmpty {
            try escrow.exportWithPassphrase(into: descriptor)
        } else {
            try escrow.export(into: descriptor, recipients: recipients)
        }
    }
}
