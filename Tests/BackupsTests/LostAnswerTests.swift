import Backups
import ControlStore
import Foundation
import KeyModel
import Storage
import StorageSQLite
import Synchronization
import Testing
import ToolTesting

/// What becomes of a backup whose last commit succeeds, but whose answer is lost.
struct LostAnswerTests {
    private let sandbox: Sandbox
    private let engine: LossyEngine

    init() async throws {
        sandbox = try Sandbox()
        engine = LossyEngine(inner: try SQLiteEngine(path: sandbox.path("app.db"), create: true))
        let time = Timestamp(milliseconds: 1_800_000_000_000)
        try await ControlStore(engine: engine).write { session in
            try session.migrate(at: time)
            try session.insert(
                InstanceRecord(id: "i", namespace: "n", nonce: "x", epoch: 1, createdAt: time, rootKeyID: "r"))
        }
    }

    private func service() throws -> BackupService {
        let path = sandbox.path("app.db")
        return try BackupService(
            control: ControlStore(engine: engine),
            declaration: BackupDeclaration(directory: sandbox.path("backups")), location: .sqlite(path: path),
            seams: BackupSeams(
                opener: InstanceReader(), copier: Copier(), connect: { try Self.connect($0) },
                reach: { _ in [:] }, escrow: nil, now: { Timestamp(milliseconds: 1_800_000_000_000) },
                reached: { [engine] in if $0 == .manifestPlaced { engine.begin() } },
                environment: ProcessInfo.processInfo.environment, actor: "tester"))
    }

    private static func connect(_ location: DatabaseLocation) throws -> any StorageEngine {
        guard case .sqlite(let path) = location else { throw CancellationError() }
        return try SQLiteEngine(path: path)
    }

    private var files: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: sandbox.path("backups")).filter { $0 != ".lock" }
        }
    }

    @Test func itIsFoundInTheCatalogue() async throws {
        engine.plan = [.loseAnswer]
        let made = try await service().create(CreateRequest(verify: .checksums))
        #expect(made.isPresent && made.id == 1)
        #expect(try files.count == 2)
    }

    @Test func itsFilesStayWhereTheCatalogueCannotBeAsked() async throws {
        engine.plan = [.loseAnswer, .refuse]
        let error = await #expect(throws: BackupError.self) {
            _ = try await service().create(CreateRequest(verify: .checksums))
        }
        #expect(error?.code == .storeUnavailable && error?.hint?.contains("backup import") == true)
        #expect(try files.count == 2)
        let listed = try await service().list()
        #expect(listed.count == 1 && listed[0].isPresent)
    }

    @Test func itsFilesGoWhereNothingWasCommitted() async throws {
        engine.plan = [.refuse]
        let error = await #expect(throws: StorageError.self) {
            _ = try await service().create(CreateRequest(verify: .checksums))
        }
        #expect(error?.code == .storeBusy)
        #expect(try files.isEmpty)
    }
}

/// The copier of the executable.
private struct Copier: DatabaseFileCopier {
    private let copier = SQLiteFileCopier()

    var version: String { copier.version }
    func copy(
        _ source: String, to target: String, bytesPerSecond: Int64?, isCancelled: @escaping @Sendable () -> Bool
    ) throws { try copier.copy(source, to: target, bytesPerSecond: bytesPerSecond, isCancelled: isCancelled) }
    func replace(_ path: String, with source: String) throws { try copier.replace(path, with: source) }
    func check(_ path: String) throws { try copier.check(path) }
}

/// Reads what an empty instance says of itself.
private struct InstanceReader: RestoredOpener {
    func examine(_ engine: any StorageEngine, rootKey: Int32?, opensValues: Bool) async throws -> Examination {
        let record = try #require(try await ControlStore(engine: engine).read { try $0.instance() })
        return Examination(
            instance: record.id, nonce: record.nonce, epoch: record.epoch, wrappedKeys: [], wrappers: [],
            keyringSHA256: "")
    }
}

/// A database whose next calls fail as planned, once it was told to begin.
private final class LossyEngine: StorageEngine {
    enum Failure { case loseAnswer, refuse }

    private struct State {
        var plan: [Failure] = []
        var hasBegun = false
    }

    let inner: SQLiteEngine
    private let state = Mutex(State())

    init(inner: SQLiteEngine) { self.inner = inner }

    var plan: [Failure] {
        get { state.withLock { $0.plan } }
        set { state.withLock { $0.plan = newValue } }
    }

    func begin() { state.withLock { $0.hasBegun = true } }

    private func next() -> Failure? {
        state.withLock { $0.hasBegun && !$0.plan.isEmpty ? $0.plan.removeFirst() : nil }
    }

    private static let refusal = StorageError(.storeBusy, "cannot begin: others write")

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value {
        if next() != nil { throw Self.refusal }
        return try await inner.read(body)
    }

    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any StorageSession) throws -> Value
    ) async throws -> Value {
        let failure = next()
        if failure == .refuse { throw Self.refusal }
        let value = try await inner.write(body)
        if failure == .loseAnswer { throw StorageError(.storeUnavailable, "the connection was lost") }
        return value
    }

    var description: String { inner.description }
    var tuning: BatchTuning { inner.tuning }
    var placesOfOldBytes: [String] { inner.placesOfOldBytes }
    func waitForOlderTransactions(limit: Duration) async throws {
        try await inner.waitForOlderTransactions(limit: limit)
    }
    func sizeOnDisk(of table: TableName) async throws -> Int64 { try await inner.sizeOnDisk(of: table) }
    func reuseHindrance() async throws -> String? { try await inner.reuseHindrance() }
    func reclaim(_ table: TableName) async throws { try await inner.reclaim(table) }
    func rewriteCost(rows: Int64, bytesBefore: Int64, bytesAfter: Int64, tableBytes: Int64) -> RewriteCost {
        inner.rewriteCost(rows: rows, bytesBefore: bytesBefore, bytesAfter: bytesAfter, tableBytes: tableBytes)
    }
    func diskRoom(for tables: [TableName]) async throws -> DiskRoom { try await inner.diskRoom(for: tables) }
    func close() async { await inner.close() }
}
