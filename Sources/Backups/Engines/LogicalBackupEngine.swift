internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

/// `pg_dump`: one database, as one snapshot saw it.
struct LogicalBackupEngine: BackupEngine {
    let server: PostgreSQLServer
    let patience: Duration

    let method = BackupDeclaration.Method.logical
    let fileExtension = "dump"

    private var seams: BackupSeams { server.seams }

    func tool() async throws -> Tool { Tool(name: "pg_dump", version: try await programs("pg_dump").version) }

    func room() async throws -> Room {
        let size = try await server.facts().databaseBytes
        return Room(database: size, target: size, scratch: size + size / 2 + 64 << 20)
    }

    func position() async throws -> String? { try await server.position() }

    func produce(staging: String) async throws -> Produce {
        let arguments = ["--format=custom", "--no-password", "--lock-wait-timeout=60000"]
        return .program(
            try await programs("pg_dump").program("pg_dump", arguments, environment: try server.environment()))
    }

    func isBeginning(_ head: [UInt8]) -> Bool { head.starts(with: Array("PGDMP".utf8)) }

    func proveChecksums(_ stored: StoredFile, scratch: ScratchFolder) async throws {
        let restore = try await programs("pg_restore")
        // Every block of data is inflated on the way, and its checksum with it.
        try await unreadable(stored) {
            try await feed(restore.program("pg_restore", ["--file=/dev/null"]), from: stored)
        }
        try await proveSource(stored, restore)
    }

    func withRestored<Value: Sendable>(
        _ stored: StoredFile, scratch: ScratchFolder, _ body: (any StorageEngine) async throws -> Value
    ) async throws -> Value {
        let restore = try await programs("pg_restore")
        let database = try await server.facts().database
        let list = scratch.path("list")
        try await writeList(of: stored, restore, to: list)
        let cluster = try await ScratchCluster.fresh(restore, in: scratch, patience: patience)
        do { try await load(stored, restore, cluster, database, list) } catch {
            await cluster.stop()
            throw error
        }
        let engine = try await seams.connect(
            .postgresql(url: cluster.url(database: database, user: ScratchCluster.unprivileged)))
        do {
            let value = try await body(engine)
            await engine.close()
            await cluster.stop()
            return value
        } catch {
            await engine.close()
            await cluster.stop()
            throw error
        }
    }

    /// Restores in two steps, since what a dump holds is code of roles that may do little in the database itself.
    ///
    /// A superuser makes extensions, types, functions and empty tables, by which none of that code is run. Everything is then
    /// handed over to a role that may do nothing beyond this database, and that role fills the tables and makes indexes,
    /// constraints and triggers, which does run it.
    private func load(
        _ stored: StoredFile, _ programs: PostgreSQLPrograms, _ cluster: ScratchCluster, _ database: String,
        _ list: String
    ) async throws {
        func run(_ arguments: [String], as user: String) async throws {
            let usual = [
                "--exit-on-error", "--no-owner", "--no-privileges", "--no-security-labels", "--no-password",
                "--use-list=\(list)",
            ]
            let program = programs.program(
                "pg_restore", usual + arguments, environment: cluster.environment(database: nil, user: user))
            try await unreadable(stored) { try await feed(program, from: stored) }
        }
        try await cluster.prepareLoader { try await seams.connect(.postgresql(url: $0)) }
        try await run(["--create", "--dbname=postgres", "--section=pre-data"], as: ScratchCluster.loader)
        try await cluster.handOver(database) { try await seams.connect(.postgresql(url: $0)) }
        try await run(
            ["--dbname=\(database)", "--section=data", "--section=post-data"], as: ScratchCluster.unprivileged)
    }

    /// Writes the table of contents without what takes a superuser and no value needs to be opened.
    private func writeList(of stored: StoredFile, _ programs: PostgreSQLPrograms, to path: String) async throws {
        let file = try Descriptor(path, O_RDWR | O_CREAT | O_EXCL, mode: 0o644)
        try await unreadable(stored) {
            try await feed(programs.program("pg_restore", ["--list", "--create"]), from: stored, output: file)
        }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let kept = text.split(separator: "\n", omittingEmptySubsequences: false).filter { !Self.takesSuperuser($0) }
        try Data(kept.joined(separator: "\n").utf8).write(to: URL(filePath: path))
    }

    /// Whether a line such as `3456; 2618 16385 EVENT TRIGGER - audit postgres` names what only a superuser can make after
    /// the tables: triggers on events, and publications and subscriptions, which would reach for other servers.
    private static func takesSuperuser(_ line: Substring) -> Bool {
        let words = line.split(separator: " ").dropFirst(3)
        let kinds = [["EVENT", "TRIGGER"], ["PUBLICATION"], ["SUBSCRIPTION"]]
        return kinds.contains { kind in
            words.starts(with: kind.map { $0[...] })
                || words.first == "COMMENT" && words.dropFirst(2).starts(with: kind.map { $0[...] })
        }
    }

    func restore(_ stored: StoredFile, to target: RestoreTarget) async throws -> Restored {
        let programs = try await programs("pg_restore")
        let inherited = seams.environment.filter { $0.key.hasPrefix("PG") || $0.key == "HOME" }
        let environment = inherited.merging(try seams.reach(target.place)) { $1 }
        try await prepare(target, programs, environment)
        let database = environment["PGDATABASE"] ?? ""
        let arguments =
            ["--exit-on-error", "--no-password", "--dbname=\(database)"]
            + (target.mayReplace ? ["--clean", "--if-exists"] : [])
        try await feed(programs.program("pg_restore", arguments, environment: environment), from: stored)
        return .database(.postgresql(url: target.place))
    }

    /// Makes the database where there is none, and refuses one that holds something.
    private func prepare(
        _ target: RestoreTarget, _ programs: PostgreSQLPrograms, _ environment: [String: String]
    ) async throws {
        let engine: any StorageEngine
        do { engine = try await seams.connect(.postgresql(url: target.place)) } catch {
            guard let database = environment["PGDATABASE"] else { throw error }
            var aside = environment
            aside["PGDATABASE"] = "postgres"
            let program = programs.program("createdb", ["--no-password", database], environment: aside)
            _ = try await onThread { try ProgramOutput.of(program, patience: .seconds(120), isCancelled: $0) }
            return
        }
        let isUsed = try await engine.read { session in
            try !session.tables().isEmpty || !session.controlTables().isEmpty
        }
        await engine.close()
        guard !isUsed || target.mayReplace else {
            throw BackupError(
                .callerTargetExists, "cannot restore: the database that is named holds tables",
                hint: "Name a new database; replacing one takes --replace and a typed confirmation.")
        }
    }

    /// Reads the row that says which instance the dump belongs to, and how far that was.
    private func proveSource(_ stored: StoredFile, _ programs: PostgreSQLPrograms) async throws {
        let arguments = ["--data-only", "--schema=keyturn", "--table=instance", "--file=-"]
        let text = try await output(of: programs.program("pg_restore", arguments), from: stored)
        guard let row = CopiedRow(first: "keyturn.instance", in: text) else {
            throw BackupError(
                .dataKeyringMissing,
                "backup \(quoted(stored.path)) holds no keyring: the schema keyturn is not in it")
        }
        let own = try await ControlStore(engine: server.engine).read { try $0.instance() }
        let isOfOrigin = stored.origin.map { row["nonce"] == $0.nonce } ?? true
        guard let own, row["id"] == own.id, isOfOrigin else {
            throw BackupError(.dataForeign, "backup \(quoted(stored.path)) is of another database")
        }
        guard let origin = stored.origin, let epoch = row["epoch"].flatMap({ Int64($0) }), epoch < origin.epoch else {
            return
        }
        throw BackupError(
            .dataForeign,
            "backup \(quoted(stored.path)) is older than it must be: it stands at epoch \(epoch), not \(origin.epoch)")
    }

    /// What a program says of the bytes of a backup.
    private func output(of program: Program, from stored: StoredFile) async throws -> String {
        try await onThread { isCancelled in
            let (input, feeding) = try Descriptor.pipe()
            let (answer, output) = try Descriptor.pipe()
            let running = try program.start(input: input, output: output)
            input.close()
            output.close()
            let collected = Locked<Result<String, any Error>?>(nil)
            let isDone = Flag()
            Thread.detachNewThread {
                let result = Result {
                    try ProgramOutput.collect(answer, running, patience: stored.patience, isCancelled: isCancelled)
                }
                collected.with { $0 = result }
                isDone.set()
            }
            defer { running.end() }
            do { try stored.pour(into: feeding, named: program.name, isCancelled: isCancelled) } catch is ReaderGone {
                feeding.close()
            }
            try running.succeed(within: stored.patience, isCancelled)
            while !isDone.isSet { poll(nil, 0, 5) }
            return try collected.with { $0 }?.get() ?? ""
        }
    }

    /// Says that a backup cannot be read where the program that reads it gives up.
    private func unreadable<Value>(_ stored: StoredFile, _ body: () async throws -> Value) async throws -> Value {
        do { return try await body() } catch let error as BackupError where error.code == .providerProgramFailed {
            throw BackupError(
                .dataDamaged, "backup \(quoted(stored.path)) cannot be used: \(error.message)", cause: error)
        }
    }

    private func programs(_ needed: String) async throws -> PostgreSQLPrograms {
        let major = try await server.facts().major
        let environment = seams.environment
        return try await onThread { _ in
            try PostgreSQLPrograms.find(needed, server: major, environment: environment)
        }
    }
}

/// A row of a table, as `COPY` writes it in the text of a dump.
struct CopiedRow {
    private let values: [String: String]

    /// Reads the first row of a table; nil where the text holds none.
    init?(first table: String, in text: String) {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).drop {
            !$0.hasPrefix("COPY \(table) (")
        }
        guard let head = lines.popFirst(), let row = lines.first, row != "\\.", let open = head.firstIndex(of: "("),
            let close = head.lastIndex(of: ")"), open < close
        else { return nil }
        let names = head[head.index(after: open)..<close].split(separator: ",").map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        let fields = row.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        guard names.count == fields.count else { return nil }
        values = Dictionary(zip(names, fields)) { first, _ in first }
    }

    /// The value of a column, as it stands there.
    subscript(column: String) -> String? { values[column] }
}
