internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage
internal import StorageSQLite
internal import Testing

/// Taking a configuration up into the records.
struct ConfigurationTests {
    private let scratch: ScratchFolder
    private let control: ControlStore
    private let time = Timestamp(milliseconds: 1_795_248_550_000)
    private let main: Name
    private let other: Name

    init() async throws {
        scratch = try ScratchFolder()
        control = ControlStore(engine: try SQLiteEngine(path: scratch.path("app.db"), create: true))
        main = try Name("main")
        other = try Name("other")
        try await control.write { [time] session in try session.migrate(at: time) }
    }

    @Test func aRenamedColumnKeepsItsNumberAndLogicalName() async throws {
        try await apply([try column("t.a")])
        try await addKey(to: main)
        try await apply([try column("t.b", was: "t.a")])
        try await apply([try column("t.b", was: "t.a")])
        let columns = try await control.read { try $0.columns() }
        #expect(columns.map(\.id) == [1] && columns.map(\.logicalName) == ["t.a"])
        #expect(columns.first?.declaration.path.description == "t.b" && columns.first?.isDeclared == true)
    }

    @Test func aColumnMayTakeTheFormerNameOfARenamedOneOnlyUnderAnother() async throws {
        try await apply([try column("t.a")])
        try await addKey(to: main)
        for columns in [
            [try column("t.b", was: "t.a"), try column("t.a")], [try column("t.a"), try column("t.b", was: "t.a")],
        ] {
            #expect(try await refusal(columns) == .callerConfigurationConflict)
        }
        let kept = try await control.read { try $0.columns() }
        #expect(kept.map(\.declaration.path.description) == ["t.a"], "a refused configuration changes nothing")
    }

    @Test func columnsMaySwapTheirNamesIfSaid() async throws {
        try await apply([try column("t.a"), try column("t.b")])
        try await apply([try column("t.b", was: "t.a"), try column("t.c", was: "t.b")])
        let columns = try await control.read { try $0.columns() }
        #expect(columns.map(\.logicalName) == ["t.a", "t.b"])
        #expect(columns.map(\.declaration.path.description) == ["t.b", "t.c"])
    }

    @Test func whatIsNoLongerDeclaredStaysRecorded() async throws {
        try await apply([try column("t.a"), try column("t.b")])
        try await apply([try column("t.b")])
        let columns = try await control.read { try $0.columns() }
        #expect(columns.map(\.isDeclared) == [false, true])
        try await apply([try column("t.a"), try column("t.b")])
        let again = try await control.read { try $0.columns() }
        #expect(again.map(\.isDeclared) == [true, true])
    }

    @Test func whatValuesAreBoundToCannotChangeUnderThem() async throws {
        let original = try column("t.a", context: .row, key: ["id"])
        try await apply([original])
        var changes: [ColumnDeclaration] = []
        for change in 0..<3 {
            var changed = original
            if change == 0 { changed.context = .column }
            if change == 1 { changed.key = ["id", "other"] }
            if change == 2 { changed.keyring = other }
            changes.append(changed)
        }
        for changed in changes { try await apply([changed]) }
        try await apply([original])
        try await addKey(to: main)
        for changed in changes { #expect(try await refusal([changed]) == .callerConfigurationConflict) }
        var harmless = original
        harmless.predicate = "x = 1"
        harmless.plaintext = .keep
        harmless.assignments = [
            ColumnTarget.Assignment(column: "flag", value: .integer(1)), .init(column: "f", value: .real(0.5)),
            .init(column: "g", value: .text("x")),
        ]
        try await apply([harmless])
        let read = try await control.read { try $0.columns() }
        #expect(read.first?.declaration == harmless)
    }

    @Test func whatIsAcknowledgedHoldsForItsColumnUntilItIsWithdrawn() async throws {
        var known = try column("t.a")
        known.acknowledged = [.computed, .logicalReplication]
        try await apply([known, try column("t.b")])
        let read = try await control.read { try $0.columns() }
        #expect(read.map(\.declaration.acknowledged) == [[.computed, .logicalReplication], []])
        known.acknowledged = [.computed]
        try await apply([known, try column("t.b")])
        #expect(try await control.read { try $0.columns() }.first?.declaration.acknowledged == [.computed])
        try await apply([try column("t.a"), try column("t.b")])
        #expect(try await control.read { try $0.columns() }.first?.declaration.acknowledged == [])
    }

    /// A copy of the database from before the table was there, as a backup may be, is read as it is.
    @Test func aSchemaFromBeforeAcknowledgementsIsRead() async throws {
        try await apply([try column("t.a")])
        _ = try await control.write { try $0.storage.execute("DROP TABLE \(control: "column_acknowledgements")") }
        #expect(try await control.read { try $0.columns() }.map(\.declaration.acknowledged) == [[]])
    }

    @Test func aKeyringWithKeysKeepsItsCore() async throws {
        try await apply([])
        try await apply([], core: "fernet")
        try await addKey(to: main)
        #expect(try await refusal([], core: "kr1") == .callerConfigurationConflict)
        #expect(
            try await refusal([], core: "fernet", options: ["derivation": "sha256"]) == .callerConfigurationConflict)
        try await apply([], core: "fernet")
    }

    private func column(
        _ path: String, was: String? = nil, context: ValueContext.Scheme = .none, key: [String] = ["id"]
    ) throws -> ColumnDeclaration {
        ColumnDeclaration(
            path: try ColumnPath(path), was: try was.map { try ColumnPath($0) }, keyring: main, key: key,
            context: context)
    }

    private func apply(_ columns: [ColumnDeclaration], core: String = "kr1", options: CoreOptions = [:]) async throws {
        let provider = try Name("local")
        let keyrings = [main, other].map {
            KeyringDeclaration(name: $0, core: core, options: options, provider: provider)
        }
        let configuration = Configuration(
            file: "f", hash: "h", database: .sqlite(path: "p"), keyrings: keyrings, columns: columns)
        try await control.write { [time] in try $0.apply(configuration, at: time, actor: "t") }
    }

    private func refusal(
        _ columns: [ColumnDeclaration], core: String = "kr1", options: CoreOptions = [:]
    ) async throws -> ControlStoreError.Code? {
        do {
            try await apply(columns, core: core, options: options)
            return nil
        } catch let error as ControlStoreError {
            return error.code
        }
    }

    private func addKey(to keyring: Name) async throws {
        let id = try #require(KeyID(5))
        let wrap = WrapRecord(
            key: id, provider: try Name("local"), wrapped: WrappedKey(ciphertext: [], providerKeyID: "p"),
            createdAt: time)
        try await control.write { [time] session in
            try session.insert(
                KeyVersion(id: id, state: .active, createdAt: time), of: keyring, wrap: wrap, origin: .generated,
                actor: "t", reason: "r")
        }
    }
}
