internal import ControlStore
internal import Fernet
internal import Foundation
internal import KR1
internal import KeyModel
internal import Logging
internal import PluginKit
internal import Providers
internal import Rotation
internal import Scripting
internal import Storage
internal import StoragePostgreSQL
internal import StorageSQLite

extension SigningKey: ProofSigner {}

/// An instance with its engine, for the length of one command.
struct OpenInstance {
    let directory: InstanceDirectory
    let engine: RotationEngine
    let store: any StorageEngine
    let control: ControlStore
    let provider: LocalProvider

    /// Opens an instance and brings its records in line with its configuration.
    ///
    /// - Parameters:
    ///   - directory: The instance's directory.
    ///   - appliesConfiguration: Whether a changed `keyturn.lua` is taken up; commands that only look do not.
    static func open(_ directory: InstanceDirectory, appliesConfiguration: Bool) async throws -> OpenInstance {
        let description = try directory.read()
        let parts = try Parts()
        let configuration = try await parts.load(description.configuration)
        let store = try await Parts.connect(configuration.database)
        let provider = try LocalProvider(opening: directory.rootKey)
        let control = ControlStore(engine: store)
        let context = try parts.context(
            control: control, provider: provider, journal: NodeJournal(reading: directory.journal),
            signer: SigningKey(opening: directory.signingKey)
        )
        let engine = try await RotationEngine(context: context, configurationHash: configuration.hash)
        if appliesConfiguration { try await engine.apply(ifChanged: configuration) }
        return OpenInstance(directory: directory, engine: engine, store: store, control: control, provider: provider)
    }

    /// Does work while no other process of the node does any.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`, or what `body` throws.
    func locked<Value>(_ body: () async throws -> Value) async throws -> Value {
        try await InstanceLock(taking: directory).holding(body)
    }
}

/// The built-in parts from which instances are put together.
struct Parts {
    let cores: CoreCatalogue
    private let death: DieAtPoint?

    init() throws {
        cores = try CoreCatalogue([Fernet.self, KR1.self])
        death = try DieAtPoint(environment: ProcessInfo.processInfo.environment)
    }

    func load(_ file: String) async throws -> Configuration {
        try await ConfigurationLoader(cores: cores.descriptors).load(file: file)
    }

    static func connect(_ location: DatabaseLocation) async throws -> any StorageEngine {
        switch location {
        case .sqlite(let path): try SQLiteEngine(path: path)
        case .postgresql(let url): try await PostgreSQLEngine(url: url)
        }
    }

    func context(
        control: ControlStore, provider: LocalProvider, journal: NodeJournal, signer: SigningKey
    ) throws -> RotationContext {
        RotationContext(
            control: control, cores: cores, providers: [try Name("local"): provider], memory: NodeMemory(journal),
            signer: signer, actor: Self.actor, holder: "\(ProcessInfo.processInfo.hostName), process \(getpid())",
            now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) },
            reached: { [death] in death?.reached($0) }, logger: Logger(label: "keyturn") { StreamLogHandler.standardError(label: $0) }
        )
    }

    /// Who acts: the process's real user, never anything that the environment says.
    static var actor: String {
        let uid = getuid()
        let name = getpwuid(uid).map { String(cString: $0.pointee.pw_name) } ?? "?"
        return "\(name) (uid \(uid))"
    }
}

extension InstanceLock {
    /// Holds the lock while `body` works.
    borrowing func holding<Value>(_ body: () async throws -> Value) async throws -> Value { try await body() }
}
