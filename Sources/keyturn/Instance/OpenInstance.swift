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
    let configuration: Configuration

    /// Opens an instance and brings its records in line with its configuration.
    ///
    /// - Parameters:
    ///   - directory: The instance's directory.
    ///   - appliesConfiguration: Whether a changed `keyturn.lua` is taken up; commands that only look do not.
    ///   - beginsJournal: Whether a journal that is missing is begun anew, as only `keyturn recover` may.
    /// - Returns: The instance, its database connected.
    /// - Throws: Whatever stands in the way, from the file that cannot be read to the database that cannot be reached.
    static func open(
        _ directory: InstanceDirectory, appliesConfiguration: Bool, beginsJournal: Bool = false
    ) async throws -> OpenInstance {
        let description = try directory.read()
        if beginsJournal { try directory.beginJournal(of: description.instance) }
        let parts = try Parts()
        let configuration = try await parts.load(description.configuration, scripts: directory.scripts)
        let store = try await Parts.connect(configuration.database)
        let provider = try LocalProvider(opening: directory.rootKey)
        let control = ControlStore(engine: store)
        let context = try parts.context(
            control: control, provider: provider, journal: NodeJournal(reading: directory.journal),
            signer: SigningKey(opening: directory.signingKey)
        )
        let engine = try await RotationEngine(context: context, configurationHash: configuration.hash)
        if appliesConfiguration { try await engine.apply(ifChanged: configuration) }
        return OpenInstance(
            directory: directory, engine: engine, store: store, control: control, provider: provider,
            configuration: configuration)
    }

    /// Does work while no other process of the node does any; waits `patience` for one that does.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`, or what `body` throws.
    func locked<Value>(within patience: Duration = .zero, _ body: () async throws -> Value) async throws -> Value {
        let lock = try await takeLock(until: .now + patience)
        return try await lock.holding(body)
    }

    private func takeLock(until deadline: ContinuousClock.Instant) async throws -> InstanceLock {
        while true {
            do {
                return try InstanceLock(taking: directory)
            } catch let error as ControlStoreError where error.code == .storeLeaseHeld && .now < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }
}

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

    func context(
        control: ControlStore, provider: LocalProvider, journal: NodeJournal, signer: SigningKey,
        logger: Logger = Logger(label: "keyturn") { StreamLogHandler.standardError(label: $0) }
    ) throws -> RotationContext {
        RotationContext(
            control: control, cores: cores, providers: [try Name("local"): provider], memory: NodeMemory(journal),
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
