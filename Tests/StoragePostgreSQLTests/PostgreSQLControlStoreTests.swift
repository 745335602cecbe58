import ControlStore
import KeyModel
import PluginKit
import PostgreSQLTesting
import Storage
import Testing

@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLControlStoreTests {
    private static let time = Timestamp(milliseconds: 1_700_000_000_123)

    /// Runs `body` on a migrated control schema.
    private func withControl(_ body: (ControlStore) async throws -> Void) async throws {
        try await withScratchPostgreSQL { _, engine in
            let control = ControlStore(engine: engine)
            for _ in 1...2 { try await control.write { try $0.migrate(at: Self.time) } }
            try await body(control)
        }
    }

    @Test
    func theInstanceAndItsLeaseAreKept() async throws {
        try await withControl { control in
            let instance = InstanceRecord(
                id: "i", namespace: "n", nonce: "x", epoch: 1, createdAt: Self.time, rootKeyID: "r")
            try await control.write { try $0.insert(instance) }
            try await control.write { session in
                try session.recordEscrow(at: Self.time)
                let lease = try session.takeLease(holder: "h", node: "n", until: Self.time, now: Self.time)
                _ = try session.renew(lease, until: Self.time)
                let next = try session.takeLease(holder: "h2", node: "n", until: Self.time, now: Self.time)
                #expect(throws: ControlStoreError.self) { try session.checkLease(lease) }
                try session.release(next, now: Self.time)
            }
            let found = try await control.read { (try $0.instance(), try $0.schemaVersion()) }
            #expect(found.0?.epoch == 3 && found.0?.escrowedAt == Self.time && found.1 == ControlSession.schemaVersion)
        }
    }

    @Test
    func severalWritersShareOneAuditChain() async throws {
        try await withScratchPostgreSQL { database, engine in
            try await ControlStore(engine: engine).write { try $0.migrate(at: Self.time) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 1...3 {
                    let control = ControlStore(engine: try await database.openEngine())
                    group.addTask {
                        for number in 1...20 {
                            let entry = AuditRecord(
                                kind: .intent, at: Self.time.description, node: "n\(writer)", process: "p", uid: 1,
                                user: "u", pid: nil, way: "call", call: "x", arguments: "\(number)", signer: "s")
                            _ = try await control.write { try $0.append(entry, after: nil) { "\($0.count)" } }
                        }
                        await control.engine.close()
                    }
                }
                try await group.waitForAll()
            }
            let log = try await ControlStore(engine: engine).read { try $0.audit(after: 0, limit: 1000) }
            #expect(log.map(\.number) == Array(1...60))
            var previous = AuditHead.empty.hash
            for entry in log {
                let digest = entry.digest(after: previous).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                #expect(entry.hash == digest && entry.signature == "32", "\(entry.number)")
                previous = entry.hash
            }
            let (head, open) = try await ControlStore(engine: engine).read {
                (try $0.auditHead(), try $0.openIntents(of: "n2"))
            }
            #expect(head == AuditHead(number: 60, hash: previous) && open.count == 20)
        }
    }

    @Test
    func configurationsAndColumnsAreKept() async throws {
        try await withControl { control in
            let keyring = try Name("main")
            var configuration = Configuration(
                file: "/keyturn.lua", hash: "h", database: .postgresql(url: "postgresql://x"),
                keyrings: [
                    KeyringDeclaration(
                        name: keyring, core: "kr1", policy: KeyringPolicy(maxAge: .seconds(90), maxSeals: .max),
                        provider: try Name("local"))
                ],
                columns: [
                    ColumnDeclaration(
                        path: try ColumnPath("s.t.c"), keyring: keyring, key: ["id"], context: .row,
                        plaintext: .seal, assignments: [.init(column: "sealed", value: .integer(1))],
                        acknowledged: [.logicalReplication]),
                    ColumnDeclaration(path: try ColumnPath("t.d"), keyring: keyring, key: ["id"], predicate: "d <> ''"),
                ])
            try await control.write { [configuration] in try $0.apply(configuration, at: Self.time, actor: "a") }
            configuration.columns.removeLast()
            configuration.hash = "h2"
            try await control.write { [configuration] in try $0.apply(configuration, at: Self.time, actor: "a") }
            let (columns, rings, hash) = try await control.read {
                (try $0.columns(), try $0.keyrings(), try $0.configurationHash())
            }
            #expect(columns.map(\.id) == [1, 2] && columns.map(\.isDeclared) == [true, false])
            #expect(columns[0].declaration == configuration.columns[0] && columns[1].declaration.predicate == "d <> ''")
            #expect(rings.map(\.keyring.name) == [keyring] && hash == "h2")
            try await control.write { session in
                try session.setFence(of: 1, admitting: [.any])
                try session.setFenced(true, column: 1)
            }
            #expect(try await control.read { try $0.columns() }[0].isFenced)
        }
    }

    @Test
    func keysTheirMovesAndTheirCanariesAreKept() async throws {
        try await withControl { control in
            let id = try #require(KeyID(4_000_000_000))
            let provider = try Name("local")
            let wrap = WrapRecord(
                key: id, provider: provider,
                wrapped: WrappedKey(ciphertext: [0, 255, 39], providerKeyID: "r", annotations: ["a": [1]]),
                createdAt: Self.time)
            try await control.write { session in
                let version = KeyVersion(id: id, state: .preActivation, createdAt: Self.time)
                try session.insert(
                    version, of: try Name("main"), wrap: wrap, origin: .generated, actor: "a", reason: "it's new")
                try session.move(version, to: .active, at: Self.time, actor: "a", reason: "r")
                try session.setCanary(.text([0x61]), of: id)
                #expect(try session.reserveSeals(7, of: id) == 7)
            }
            let (wraps, moves, canary, origin, ids) = try await control.read {
                (
                    try $0.wraps(of: id), try $0.moves(of: id), try $0.canary(of: id), try $0.origin(of: id),
                    try $0.keyIDs()
                )
            }
            #expect(wraps == [wrap] && origin == .generated && ids == [id] && canary == .text([0x61]))
            #expect(moves.map(\.from) == [nil, .preActivation] && moves.map(\.to) == [.preActivation, .active])
        }
    }

    @Test
    func runsTheirStepsAndTheirProgressAreKept() async throws {
        try await withControl { control in
            let keyring = try Name("main")
            var run = try await control.write { session in
                try session.insertRun { number in
                    RunRecord(
                        id: number, kind: .rotate, urgency: .routine, keyring: keyring, columnIDs: [1, 2],
                        phase: .planned, state: .open, plan: "{}", planHash: "p", configurationHash: "c", actor: "a",
                        startedAt: Self.time, updatedAt: Self.time)
                }
            }
            run.newKey = KeyID(7)
            run.phase = .reencrypt
            run.message = "it's \"quoted\" 💧"
            var progress = ColumnProgress(
                columnID: 1, phase: .reencrypt, cursor: RowKey([.integer(-5), .text([0x27]), .blob([0])]))
            progress.counts.read = 1 << 40
            let record = QuarantineRecord(columnID: 1, key: RowKey([.integer(9)]), reason: "r", at: Self.time)
            let consumer = Acknowledgement(consumer: try Name("web"), stage: .opens, at: Self.time, actor: "a")
            try await control.write { [run, progress] session in
                try session.update(run)
                try session.setRequest(.pause, of: run.id)
                for step in 1...3 { try session.addStep("step \(step)", in: .prepare, of: run.id, at: Self.time) }
                for _ in 1...2 {
                    try session.save(progress, run: run.id)
                    try session.quarantine([record], run: run.id)
                    try session.acknowledge(consumer, run: run.id)
                }
            }
            run.request = .pause
            #expect(try await control.read { try $0.openRun() } == run)
            let id = run.id
            let found = try await control.read {
                (
                    try $0.steps(of: id).map(\.what), try $0.progress(of: id), try $0.quarantined(run: id),
                    try $0.quarantineCount(run: id), try $0.acknowledgements(of: id), try $0.request(of: id)
                )
            }
            #expect(found.0 == ["step 1", "step 2", "step 3"] && found.1 == [progress] && found.2 == [record])
            #expect(found.3 == 1 && found.4 == [consumer] && found.5 == .pause)
        }
    }
}
