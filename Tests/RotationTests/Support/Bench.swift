internal import ControlStore
internal import Fernet
internal import Foundation
internal import KR1
internal import KeyModel
internal import Logging
internal import PluginKit
internal import Providers
internal import Rotation
internal import Storage
internal import StorageSQLite
internal import Synchronization
internal import Testing

extension SigningKey: ProofSigner {}

/// An instance on a database file of its own, driven in process, with an application beside it.
final class Bench: Sendable {
    let folder: URL
    let application: Application
    let provider: TestProvider
    /// Another provider, `outer`, which a test declares as it likes.
    let outer: KeepingProvider
    let control: ControlStore
    let hook = Hook()
    let clock = TestClock()
    private let memory: NodeMemory
    private let signer: SigningKey
    private let declared: Mutex<Configuration>
    /// The hooks of engines to come.
    let hooks = Mutex<(any RunHooks)?>(nil)

    /// Makes an instance on the application's tables, with one keyring `main`.
    init(tables: String, keyring: KeyringDeclaration, columns: [ColumnDeclaration]) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-rotation-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = folder.appending(path: "app.db").path
        application = try Application(path: path)
        try application.run(tables)
        provider = TestProvider(
            try LocalProvider.create(at: folder.appending(path: "root.key").path, time: clock.now()))
        outer = KeepingProvider(
            TestProvider(try LocalProvider.create(at: folder.appending(path: "outer.key").path, time: clock.now())))
        signer = try SigningKey.create(at: folder.appending(path: "signing.key").path)
        let entry = NodeJournal.Entry(node: "node-1", instance: "instance-1", nonce: "nonce-1", epoch: 1)
        memory = NodeMemory(try NodeJournal(creating: folder.appending(path: "journal").path, with: entry))
        control = ControlStore(engine: try SQLiteEngine(path: path))
        declared = Mutex(
            Configuration(
                file: "keyturn.lua", hash: "hash-1", database: .sqlite(path: path), keyrings: [keyring],
                columns: columns))
        let record = InstanceRecord(
            id: "instance-1", namespace: "test", nonce: "nonce-1", epoch: 1, createdAt: clock.now(), rootKeyID: "root")
        let now = clock.now()
        try await control.write { session in
            try session.migrate(at: now)
            try session.insert(record)
        }
        try await configure { _ in }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// An engine, as each command makes one: nothing is remembered from the one before.
    ///
    /// Another `node` plays a second machine, another `journal` what it remembers, another `control` a database that was
    /// put in place of the bench's own.
    func engine(
        node: String? = nil, remembering journal: NodeJournal? = nil, on control: ControlStore? = nil,
        actor: String = "tester"
    ) async throws -> RotationEngine {
        var memory = journal.map { NodeMemory($0) } ?? memory
        if let node {
            var entry = await memory.entry
            entry.node = node
            let path = folder.appending(path: "journal-\(UUID().uuidString)").path
            memory = NodeMemory(try NodeJournal(creating: path, with: entry))
        }
        var context = RotationContext(
            control: control ?? self.control, cores: try CoreCatalogue([KR1.self, Fernet.self, DoubleCore.self]),
            providers: [try Name("local"): provider, .outer: outer], memory: memory, signer: signer, actor: actor,
            holder: node ?? "here", now: { [clock] in clock.now() }, reached: { [hook] in hook.reached($0) },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        context.hooks = hooks.withLock { $0 }
        let providers = declared.withLock { $0.providers }
        context.declared = Dictionary(uniqueKeysWithValues: providers.map { ($0.name, $0) })
        return try await RotationEngine(context: context, configurationHash: declared.withLock { $0.hash })
    }

    /// Changes the configuration and has it taken up.
    func configure(_ change: (inout Configuration) -> Void) async throws {
        let changed = declared.withLock { declared in
            change(&declared)
            declared.hash = "hash-\(UUID().uuidString)"
            return declared
        }
        try await engine().apply(changed)
    }

    /// What the node remembers.
    func remembered() async -> NodeJournal.Entry { await memory.entry }

    /// Plans and starts a run; drives nothing.
    func start(_ kind: RunKind, urgency: RunUrgency = .routine, columns: [Int64]? = nil) async throws -> RunRecord {
        let engine = try await engine()
        let request = PlanRequest(kind: kind, urgency: urgency, keyring: .main, columnIDs: columns)
        return try await engine.start(try await engine.plan(request), for: request)
    }

    /// Plans, starts and drives a run to wherever it gets without people.
    @discardableResult
    func run(_ kind: RunKind, urgency: RunUrgency = .routine, columns: [Int64]? = nil) async throws -> RunRecord {
        try await drive(try await start(kind, urgency: urgency, columns: columns).id)
    }

    /// Drives a run with a new engine, as a new process would.
    @discardableResult
    func drive(_ id: Int64, interrupt: Interrupt = Interrupt()) async throws -> RunRecord {
        try await engine().drive(id, DriveOptions(interrupt: interrupt, waitsForPeople: false))
    }

    /// Starts a rotation and cancels it once its key is active, so that values stay under the older one.
    func cancelAfterActivation() async throws {
        let run = try await start(.rotate)
        let interrupt = Interrupt()
        hook.at(.keyActivated) { interrupt.set() }
        _ = try await drive(run.id, interrupt: interrupt)
        try await engine().ask(.cancel, of: run.id)
        let left = try await drive(run.id)
        #expect(left.state == .cancelled && left.phase >= .activate)
        hook.clear()
    }

    /// Counts the first column of the keyring.
    func census() async throws -> ColumnCensus {
        let censuses = try #require(try await engine().census(of: .main))
        return try #require(censuses.first?.columns.first)
    }

    /// The keyring as it is recorded.
    func ring() async throws -> Keyring { try await control.read { try $0.keyring(.main).keyring } }

    /// The id of the active key.
    func active() async throws -> KeyID { try #require(try await ring().active).id }

    /// The clear text of a row, through Keyturn.
    func opened(_ row: Int, column: String = "secret.value") async throws -> String? {
        let value = try await engine().openStored(column: try ColumnPath(column), row: [String(row)])
        return value.map { String(decoding: $0.plaintext, as: UTF8.self) }
    }

    /// A text sealed for a row under the active key, as an application would store it.
    func sealed(_ text: String, row: Int, column: String = "secret.value") async throws -> String {
        let value = try await engine().seal(Bytes(text.utf8), column: try ColumnPath(column), row: [String(row)])
        return String(decoding: value.bytes ?? [], as: UTF8.self)
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }
}

extension Bench {
    /// The table that most tests use.
    static let table = "CREATE TABLE secret (id INTEGER PRIMARY KEY, value TEXT, is_sealed INTEGER, note TEXT)"

    /// A bench with one column `secret.value`.
    static func make(
        core: String = "kr1", context: ValueContext.Scheme? = nil, predicate: String? = nil,
        plaintext: ColumnDeclaration.PlaintextPolicy = .refuse, sets: [ColumnTarget.Assignment] = [],
        consumers: [String] = [], policy: KeyringPolicy = KeyringPolicy(), tables: String = Bench.table
    ) async throws -> Bench {
        let column = ColumnDeclaration(
            path: try ColumnPath("secret.value"), keyring: .main, context: context ?? (core == "kr1" ? .row : .none),
            predicate: predicate, plaintext: plaintext, assignments: sets)
        let keyring = KeyringDeclaration(
            name: .main, core: core, policy: policy, provider: try Name("local"),
            consumers: try consumers.map { try Name($0) })
        return try await Bench(tables: tables, keyring: keyring, columns: [column])
    }

    /// A bench whose rows 1…`rows` hold `secret 1` and so on, adopted.
    static func adopted(
        rows: Int = 30, core: String = "kr1", consumers: [String] = [], policy: KeyringPolicy = KeyringPolicy(),
        predicate: String? = nil, plaintext: ColumnDeclaration.PlaintextPolicy = .refuse
    ) async throws -> Bench {
        let bench = try await make(
            core: core, predicate: predicate, plaintext: plaintext, consumers: [], policy: policy)
        try bench.fill(rows)
        let run = try await bench.run(.adopt)
        #expect(run.state == .done, "\(run.message ?? "")")
        if !consumers.isEmpty {
            let names = try consumers.map { try Name($0) }
            try await bench.configure { $0.keyrings[0].consumers = names }
        }
        return bench
    }

    /// Adds rows 1…`rows` in clear.
    func fill(_ rows: Int) throws {
        try application.run(
            """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows))
            INSERT INTO secret (id, value, is_sealed) SELECT i, 'secret ' || i, 1 FROM n
            """)
    }

    /// Sets the stored text of a row.
    func put(_ value: String, row: Int) throws {
        try application.run("UPDATE secret SET value = ? WHERE id = ?", texts: [value, String(row)])
    }

    /// The stored text of a row.
    func stored(_ row: Int) throws -> String {
        try application.text("SELECT value FROM secret WHERE id = \(row)") ?? "NULL"
    }

    /// Makes sure that every row opens to `secret n` under the active key alone, but for those given.
    func expectAllUnderActive(rows: Int, except: Set<Int> = []) async throws {
        let census = try await census()
        #expect(census.left == 0 && census.active == Int64(rows - except.count), "\(census)")
        for row in 1...rows where !except.contains(row) { #expect(try await opened(row) == "secret \(row)") }
    }
}

extension Name {
    static let main = named("main")
    static let outer = named("outer")

    private static func named(_ text: String) -> Name {
        guard let name = try? Name(text) else { preconditionFailure("a name") }
        return name
    }
}

/// Runs what a test hangs on a durable point, at its n-th time, once.
final class Hook: Sendable {
    typealias Action = @Sendable () throws -> Void

    private struct Entry {
        let point: DurablePoint
        var left: Int
        let repeats: Bool
        let action: Action
    }

    private let entries = Mutex<[Entry]>([])
    private let seen = Mutex<[DurablePoint]>([])
    private let failures = Mutex<[String]>([])

    /// What was reached so far, in order.
    var points: [DurablePoint] { seen.withLock { $0 } }

    /// What went wrong in actions.
    var problems: [String] { failures.withLock { $0 } }

    /// Hangs an action on the `time`-th instant from now; `always` repeats it at each later one.
    func at(_ point: DurablePoint, time: Int = 1, always: Bool = false, _ action: @escaping Action) {
        entries.withLock { $0.append(Entry(point: point, left: time, repeats: always, action: action)) }
    }

    func clear() { entries.withLock { $0 = [] } }

    func reached(_ point: DurablePoint) {
        seen.withLock { $0.append(point) }
        let due: [Action] = entries.withLock { entries in
            var due: [Action] = []
            for index in entries.indices where entries[index].point == point {
                entries[index].left -= 1
                if entries[index].left == 0 || entries[index].repeats && entries[index].left < 0 {
                    due.append(entries[index].action)
                }
            }
            return due
        }
        for action in due {
            do { try action() } catch { failures.withLock { $0.append("\(error)") } }
        }
    }
}

/// A time that only goes on when it is asked, by a millisecond, or told.
final class TestClock: Sendable {
    private let time = Mutex(Int64(1_795_248_550_000))

    func now() -> Timestamp {
        time.withLock { time in
            time += 1
            return Timestamp(milliseconds: time)
        }
    }

    func advance(by duration: Duration) {
        time.withLock { $0 += duration.components.seconds * 1000 }
    }
}

/// The stable code of what a piece of work throws; nil where it does not.
func codeThrown(_ work: () async throws -> Void) async -> String? {
    do {
        try await work()
        return nil
    } catch {
        return (error as? any CodedError)?.codeName ?? "\(error)"
    }
}
