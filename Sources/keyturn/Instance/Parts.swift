internal import ControlStore
internal import Fernet
internal import Foundation
internal import KR1
internal import KeyModel
internal import Logging
internal import PluginKit
internal import ProviderHost
internal import Providers
internal import Rotation
internal import Scripting
internal import Storage
internal import StoragePostgreSQL
internal import StorageSQLite

extension SigningKey: ProofSigner {}

/// The built-in parts from which instances are put together.
struct Parts {
    let cores: CoreCatalogue
    let death: DieAtPoint?

    init() throws {
        cores = try CoreCatalogue([Fernet.self, KR1.self])
        death = try DieAtPoint(environment: ProcessInfo.processInfo.environment)
    }

    func load(_ file: String, scripts: String? = nil) async throws -> Configuration {
        try await ConfigurationLoader(cores: cores.descriptors).load(file: file, scripts: scripts)
    }

    static func connect(_ location: DatabaseLocation) async throws -> any StorageEngine {
        switch location {
        case .sqlite(let path): try SQLiteEngine(path: path)
        case .postgresql(let url): try await PostgreSQLEngine(url: url)
        }
    }

    /// The providers that a configuration declares, with the built-in one; none is asked yet.
    func providers(
        of configuration: Configuration, local: LocalProvider, control: ControlStore,
        logger: Logger = Logger(label: "keyturn") { StreamLogHandler.standardError(label: $0) }
    ) async throws -> ProviderRegistry {
        let plugins = try await PluginCatalogue(control).list()
        let surroundings = ProviderRegistry.Surroundings(
            directory: URL(filePath: configuration.file).deletingLastPathComponent().path,
            environment: ProcessInfo.processInfo.environment, secrets: ProcessHardening.secrets
        ) { name, urgency, line in
            logger.log(level: .init(urgency: urgency), "\(line)", metadata: ["provider": "\(name)"])
        }
        let instance = try await control.read { try $0.instance()?.id }
        let externalID = try await control.read { try $0.byok()?.externalID }
        let agreed = CustomerTerms(instance: instance, externalID: externalID, plugins: plugins)
        return ProviderRegistry(
            try configuration.providers.map(agreed.complete), local: local, plugins: plugins,
            surroundings: surroundings)
    }

    func context(
        control: ControlStore, providers: [Name: any KeyProvider], journal: NodeJournal, signer: SigningKey,
        logger: Logger = Logger(label: "keyturn") { StreamLogHandler.standardError(label: $0) }
    ) throws -> RotationContext {
        RotationContext(
            control: control, cores: cores, providers: providers, memory: NodeMemory(journal),
            signer: signer, actor: Self.actor, holder: "\(ProcessInfo.processInfo.hostName), process \(getpid())",
            now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) },
            reached: { [death] in death?.reached($0.rawValue) },
            logger: logger
        )
    }

    /// Who acts: the process's real user, never anything that the environment says.
    static var actor: String {
        let uid = getuid()
        let name = getpwuid(uid).map { String(cString: $0.pointee.pw_name) } ?? "?"
        return "\(name) (uid \(uid))"
    }
}

extension Logger.Level {
    /// The level of what a plugin says; what it merely tells is not worth a line of ours.
    fileprivate init(urgency: Int) {
        self =
            switch urgency {
            case ...3: .error
            case 4: .warning
            case 5: .notice
            default: .debug
            }
    }
}

extension InstanceDirectory {
    /// Begins a journal where there is none; it knows no nonce, so that nothing works before the database is accepted.
    func beginJournal(of instance: String) throws {
        guard !FileManager.default.fileExists(atPath: journal) else { return }
        let node = UUID().uuidString.lowercased()
        _ = try NodeJournal(creating: journal, with: .init(node: node, instance: instance, nonce: "", epoch: 0))
    }
}

extension InstanceLock {
    /// Holds the lock while `body` works.
    borrowing func holding<Value>(_ body: () async throws -> Value) async throws -> Value { try await body() }
}
