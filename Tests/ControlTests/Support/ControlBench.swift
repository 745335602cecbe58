import Control
import ControlStore
import Foundation
import Frames
import KR1
import KeyModel
import Logging
import PluginKit
import Providers
import Rotation
import Scripting
import Storage
import StorageSQLite
import Synchronization

extension SigningKey: ProofSigner {}

/// An instance on a database file of its own, served in process to as many callers as a test wants.
final class ControlBench: Sendable {
    let folder: URL
    let database: String
    let directory: InstanceDirectory
    let control: ControlStore
    let signer: SigningKey
    private let provider: LocalProvider
    private let declared: Mutex<Configuration>
    private let reached = Mutex<@Sendable (DurablePoint) -> Void>({ _ in })
    fileprivate let takingUp = Mutex<@Sendable (Configuration) async -> Void>({ _ in })

    /// Makes an instance whose table `secret` has rows 1…`rows` in clear; nothing is adopted.
    init(rows: Int = 5, databaseFolder: String? = nil) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-control-\(UUID().uuidString)")
        directory = InstanceDirectory(path: folder.appending(path: "instance").path)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try directory.make()
        database = (databaseFolder ?? folder.path) + "/app.db"
        let engine = try SQLiteEngine(path: database, create: true)
        try await engine.write { session in
            _ = try session.execute("CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT)")
            for id in 1...rows { _ = try session.execute("INSERT INTO secret VALUES (\(id), \("secret \(id)"))") }
        }
        provider = try LocalProvider.create(at: directory.rootKey, time: Timestamp(milliseconds: 1_795_248_550_000))
        signer = try SigningKey.create(at: directory.signingKey)
        _ = try NodeJournal(
            creating: directory.journal, with: .init(node: "node-1", instance: "instance-1", nonce: "n-1", epoch: 1))
        control = ControlStore(engine: engine)
        let now = Self.now()
        let record = InstanceRecord(
            id: "instance-1", namespace: "test", nonce: "n-1", epoch: 1, createdAt: now, rootKeyID: "root")
        try await control.write { session in
            try session.migrate(at: now)
            try session.insert(record)
        }
        declared = Mutex(
            Configuration(
                file: folder.path + "/keyturn.lua", hash: "hash-1", database: .sqlite(path: database),
                keyrings: [KeyringDeclaration(name: try Name("main"), core: "kr1", provider: try Name("local"))],
                columns: [
                    ColumnDeclaration(path: try ColumnPath("secret.value"), keyring: try Name("main"), context: .row)
                ]))
        try directory.write(.init(instance: "instance-1", configuration: folder.path + "/keyturn.lua"))
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// The configuration, as its file would stand now.
    var configuration: Configuration { declared.withLock { $0 } }

    /// Changes the configuration's file.
    func configure(_ change: (inout Configuration) -> Void) {
        declared.withLock { declared in
            change(&declared)
            declared.hash = "hash-\(UUID().uuidString)"
        }
    }

    /// Has something done at each durable instant.
    func atEachPoint(_ action: @escaping @Sendable (DurablePoint) -> Void) { reached.withLock { $0 = action } }

    /// Has something done whenever providers are set up for a configuration that is taken up.
    func whileTakingUp(_ action: @escaping @Sendable (Configuration) async -> Void) {
        takingUp.withLock { $0 = action }
    }

    /// A service as a process would make one.
    func service(
        _ life: InstanceService.Life = .command, api: [Entry] = API.builtIn, scripts: (any ScriptEngine)? = nil
    ) throws -> InstanceService {
        InstanceService(
            BenchSource(bench: self), api: try API(api), life: life, webhooks: NoWebhooks(), scripts: scripts,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// What the node's journal holds.
    func journal() throws -> NodeJournal.Entry { try NodeJournal(reading: directory.journal).entry }

    /// The whole audit log.
    func audit() async throws -> [AuditRecord] { try await control.read { try $0.audit(after: 0, limit: 10_000) } }

    /// Runs SQL as somebody with access to the database would.
    func tamper(_ sql: SQL) async throws { try await control.write { _ = try $0.storage.execute(sql) } }

    fileprivate func open(_ configuration: Configuration) throws -> Instance {
        let context = RotationContext(
            control: ControlStore(engine: try SQLiteEngine(path: database)), cores: try CoreCatalogue([KR1.self]),
            providers: [try Name("local"): provider], memory: NodeMemory(try NodeJournal(reading: directory.journal)),
            signer: signer, actor: "keyturn", holder: "here", now: Self.now,
            reached: { [weak self] point in self.map { $0.reached.withLock { $0 } }?(point) },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        return Instance(directory: directory, configuration: configuration, context: context)
    }

    @Sendable static func now() -> Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
}

/// Opens the bench's instance.
private struct BenchSource: InstanceSource {
    let bench: ControlBench

    var directory: InstanceDirectory { bench.directory }

    func configuration() async throws -> Configuration { bench.configuration }

    func open(_ configuration: Configuration, beginsJournal: Bool) async throws -> Instance {
        try bench.open(configuration)
    }

    func instance(_ instance: Instance, takingUp configuration: Configuration) async throws -> Instance {
        await bench.takingUp.withLock { $0 }(configuration)
        var instance = instance
        instance.configuration = configuration
        return instance
    }

    func exportRootKey(to recipients: [String], into descriptor: Int32) async throws {}
}

struct NoWebhooks: WebhookPoster {
    func post(_ body: [UInt8], to webhook: WebhookDeclaration) async throws -> Int { body.isEmpty ? 400 : 204 }
}

/// A caller whose answers are fixed beforehand, and who remembers what it was shown.
final class ScriptedClient: ControlClient {
    private let answers: Mutex<[String]>
    private let seen = Mutex<[ControlEvent]>([])
    private let asked = Mutex<[Question]>([])
    private let onEvent: @Sendable (ControlEvent) -> Void

    init(_ answers: String..., onEvent: @escaping @Sendable (ControlEvent) -> Void = { _ in }) {
        self.answers = Mutex(answers)
        self.onEvent = onEvent
    }

    var events: [ControlEvent] { seen.withLock { $0 } }
    var questions: [Question] { asked.withLock { $0 } }

    func show(_ event: ControlEvent) async {
        seen.withLock { $0.append(event) }
        onEvent(event)
    }

    func answer(_ question: Question) async -> String? {
        asked.withLock { $0.append(question) }
        return answers.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    }
}

extension Peer {
    /// The user of this process.
    static func me(_ way: Way = .call) -> Peer {
        Peer(uid: getuid(), gid: getgid(), pid: getpid(), user: "me", groups: [], way: way)
    }

    /// Somebody else.
    static func other(_ user: String, groups: Set<String> = []) -> Peer {
        Peer(uid: 4_000_000, gid: 4_000_000, pid: 1, user: user, groups: groups, way: .console)
    }
}

extension InstanceService {
    /// A session of this process's user, or of another.
    func session(_ peer: Peer = .me(), interactive: Bool = false) async throws -> any ControlChannel {
        try await openSession(for: peer, hello: SessionHello(way: peer.way, isInteractive: interactive))
    }
}

extension ControlChannel {
    /// Calls an entry, confirmed unless told otherwise.
    @discardableResult
    func call(
        _ name: String, _ arguments: FrameValue..., named: [String: FrameValue] = [:],
        confirmation: Confirmation = .given, for client: any ControlClient = ScriptedClient()
    ) async throws -> Answer {
        try await perform(.call(Call(name, arguments, named: named, confirmation: confirmation)), for: client)
    }
}

extension FrameValue {
    var text: String? { if case .string(let text) = self { text } else { nil } }
    var integer: Int64? { if case .integer(let number) = self { number } else { nil } }
    var list: [FrameValue] { if case .array(let list) = self { list } else { [] } }
}

/// The error that a piece of work ends with.
func controlError(_ work: () async throws -> Void) async -> ControlError? {
    do {
        try await work()
        return nil
    } catch {
        return error as? ControlError ?? ControlError(codeName: "noControlError", "\(error)")
    }
}

/// Waits until something holds; a machine under load may take its time.
func eventually(_ what: @Sendable () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
        if try await what() { return true }
        try await Task.sleep(for: .milliseconds(20))
    }
    return false
}
