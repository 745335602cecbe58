internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage
internal import StorageSQLite
internal import Testing

struct ControlSessionTests {
    private let scratch: ScratchFolder
    private let control: ControlStore
    private let time = Timestamp(milliseconds: 1_795_248_550_000)

    init() throws {
        scratch = try ScratchFolder()
        control = ControlStore(engine: try SQLiteEngine(path: scratch.path("app.db"), create: true))
    }

    private func made() async throws -> ControlStore {
        try await control.write { [time] session in
            try session.migrate(at: time)
            try session.insert(
                InstanceRecord(id: "i", namespace: "n", nonce: "x", epoch: 1, createdAt: time, rootKeyID: "r"))
        }
        return control
    }

    @Test func migratingIsDoneOnce() async throws {
        let control = try await made()
        try await control.write { [time] in try $0.migrate(at: time) }
        let version = try await control.read { try $0.schemaVersion() }
        #expect(version == ControlSession.schemaVersion)
    }

    @Test func aSchemaOfANewerBuildIsNotTouched() async throws {
        let control = try await made()
        _ = try await control.write { session in
            try session.storage.execute("INSERT INTO \(control: "schema") (version, applied_at) VALUES (99, 'later')")
        }
        let error = await #expect(throws: ControlStoreError.self) {
            try await control.write { [time] in try $0.migrate(at: time) }
        }
        #expect(error?.code == .storeSchemaNewer)
    }

    @Test func everyEpochIsHigherThanTheLast() async throws {
        let control = try await made()
        let first = try await control.write { try $0.raiseEpoch() }
        let lease = try await take(control, "a")
        let second = try await control.write { try $0.raiseEpoch() }
        #expect(first < lease.epoch && lease.epoch < second)
        try await control.write { try $0.checkLease(lease) }
    }

    @Test func aLeaseIsHeldByOneAndLostForGood() async throws {
        let control = try await made()
        let first = try await take(control, "a")
        let refused = await #expect(throws: ControlStoreError.self) { _ = try await take(control, "b") }
        #expect(refused?.code == .storeLeaseHeld)
        let again = try await take(control, "a")
        #expect(again.epoch > first.epoch, "a node's own lease is its own, since its lock proves the holder dead")
        for work in [ControlStoreError.Code.storeLeaseLost] {
            let check = await #expect(throws: ControlStoreError.self) {
                try await control.write { try $0.checkLease(first) }
            }
            let renewal = await #expect(throws: ControlStoreError.self) {
                _ = try await control.write { [time] in try $0.renew(first, until: time) }
            }
            #expect(check?.code == work && renewal?.code == work)
        }
        try await control.write { [time] in try $0.release(first, now: time) }
        try await control.write { try $0.checkLease(again) }
        try await control.write { [time] in try $0.release(again, now: time) }
        _ = try await take(control, "b")
    }

    @Test func aRequestSurvivesTheRunBeingWrittenBack() async throws {
        let control = try await made()
        var run = try await insertRun(control)
        try await control.write { [id = run.id] in try $0.setRequest(.cancel, of: id) }
        run.phase = .reencrypt
        run.newKey = KeyID(7)
        try await control.write { [run] in try $0.update(run) }
        let read = try await control.read { [id = run.id] in try $0.run(id) }
        #expect(read.request == .cancel && read.phase == .reencrypt && read.newKey == KeyID(7))
        let open = try await control.read { try $0.openRun() }
        #expect(open?.id == run.id)
    }

    @Test func theOpenRunIsFoundBehindAnyNumberOfFinishedOnes() async throws {
        let control = try await made()
        let open = try await insertRun(control)
        try await control.write { [time] session in
            for _ in 0..<1100 {
                _ = try session.insertRun { id in try Self.run(id, state: .done, time: time) }
            }
        }
        let found = try await control.read { try $0.openRun() }
        #expect(found?.id == open.id)
    }

    @Test func progressAndQuarantineAreKeptByRowAndOnce() async throws {
        let control = try await made()
        let run = try await insertRun(control)
        let key = RowKey([.text(Bytes("ö".utf8)), .integer(-5)])
        var progress = ColumnProgress(columnID: 1, phase: .reencrypt, cursor: key, sweep: 2)
        progress.counts.written = 9
        let entry = QuarantineRecord(columnID: 1, key: key, reason: "dataNotAuthentic", at: time)
        try await control.write { [progress] session in
            try session.save(progress, run: run.id)
            try session.quarantine([entry, entry], run: run.id)
            try session.quarantine(
                [QuarantineRecord(columnID: 1, key: key, reason: "other", at: entry.at)], run: run.id)
        }
        let (read, listed, count) = try await control.read { session in
            (
                try session.progress(of: run.id), try session.quarantined(run: run.id),
                try session.quarantineCount(run: run.id)
            )
        }
        #expect(read == [progress] && listed.map(\.reason) == ["other"] && count == 1 && listed.first?.key == key)
        try await control.write { try $0.clearQuarantine(run: run.id, column: 1) }
        let left = try await control.read { try $0.quarantineCount(run: run.id) }
        #expect(left == 0)
    }

    @Test func keysComeBackAsTheyWereRecorded() async throws {
        let control = try await made()
        let name = try await declare(control)
        let id = try #require(KeyID(0xFFFF_FFFF))
        let later = time.advanced(by: .seconds(1))
        let version = KeyVersion(
            id: id, state: .deactivated, createdAt: time, activatedAt: time, deactivatedAt: later, retiredAt: later)
        let wrap = WrapRecord(
            key: id, provider: try Name("local"),
            wrapped: WrappedKey(ciphertext: [0, 255], providerKeyID: "p", annotations: ["a": [1]]), createdAt: time)
        try await control.write { session in
            try session.insert(version, of: name, wrap: wrap, origin: .imported, actor: "t", reason: "r")
            try session.setCanary(.text([65]), of: id)
        }
        let (record, wraps, canary) = try await control.read { session in
            (try session.keyring(name), try session.wraps(of: id), try session.canary(of: id))
        }
        #expect(record.keyring.versions == [version] && wraps == [wrap] && canary == .text([65]))
        let (origin, moves) = try await control.read { session in
            (try session.origin(of: id), try session.moves(of: id))
        }
        #expect(origin == .imported && moves.map(\.to) == [.deactivated])
        let reserved = try await control.write { session in
            _ = try session.reserveSeals(5, of: id)
            return try session.reserveSeals(6, of: id)
        }
        #expect(reserved == 11)
    }

    @Test(arguments: [
        "UPDATE keyturn_runs SET phase = 'nowhere'", "UPDATE keyturn_runs SET state = 'odd'",
        "UPDATE keyturn_runs SET column_ids = 'x'", "UPDATE keyturn_runs SET started_at = 'yesterday'",
    ])
    func aDamagedRecordIsToldAndNeverATrap(sql: String) async throws {
        let control = try await made()
        let run = try await insertRun(control)
        _ = try await control.write { try $0.storage.execute("\(raw: sql)") }
        await #expect(throws: (any Error).self) { _ = try await control.read { try $0.run(run.id) } }
    }

    private func take(_ control: ControlStore, _ node: String) async throws -> Lease {
        try await control.write { [time] session in
            try session.takeLease(holder: node, node: node, until: time.advanced(by: .seconds(15)), now: time)
        }
    }

    private func insertRun(_ control: ControlStore) async throws -> RunRecord {
        try await control.write { [time] session in
            try session.insertRun { id in try Self.run(id, state: .open, time: time) }
        }
    }

    private func declare(_ control: ControlStore) async throws -> Name {
        let name = try Name("main")
        let configuration = Configuration(
            file: "f", hash: "h", database: .sqlite(path: "p"),
            keyrings: [KeyringDeclaration(name: name, core: "kr1", provider: try Name("local"))])
        try await control.write { [time] in try $0.apply(configuration, at: time, actor: "t") }
        return name
    }

    private static func run(_ id: Int64, state: RunState, time: Timestamp) throws -> RunRecord {
        RunRecord(
            id: id, kind: .rotate, urgency: .routine, keyring: try Name("main"), columnIDs: [1], phase: .planned,
            state: state, plan: "{}", planHash: "h", configurationHash: "c", actor: "t", startedAt: time,
            updatedAt: time)
    }
}
