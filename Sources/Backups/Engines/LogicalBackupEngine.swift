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
        let cluster = try await ScratchCluster.fresh(restore, in: scratch, patience: patience)
        let arguments = [
            "--create", "--dbname=postgres", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password",
        ]
        let program = restore.program("pg_restore", arguments, environment: cluster.environment(database: nil))
        try await unreadable(stored) { try await feed(program, from: stored) }
        let engine = try await seams.connect(.postgresql(url: cluster.url(database: database)))
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

    func restore(_ stored: StoredFile, to target: RestoreTarget) async throws -> DatabaseLocation? {
        let programs = try await programs("pg_restore")
        let inherited = seams.environment.filter { $0.key.hasPrefix("PG") || $0.key == "HOME" }
        let environment = inherited.merging(try seams.reach(target.place)) { $1 }
        try await prepare(target, programs, environment)
        let database = environment["PGDATABASE"] ?? ""
        let arguments =
            ["--exit-on-error", "--no-password", "--dbname=\(database)"]
            + (target.mayReplace ? ["--clean", "--if-exists"] : [])
        try await feed(programs.program("pg_restore", arguments, environment: environment), from: stored)
        return .postgresql(url: target.place)
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

    /// Reads the row that says which instance the dump belongs to.
    private func proveSource(_ stored: StoredFile, _ programs: PostgreSQLPrograms) async throws {
        let arguments = ["--data-only", "--schema=keyturn", "--table=instance", "--file=-"]
        let program = programs.program("pg_restore", arguments)
        let text = try await onThread { isCancelled in
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
            do { try stored.pour(into: feeding, isCancelled: isCancelled) } catch is ReaderGone { feeding.close() }
            try running.succeed(within: stored.patience)
            while !isDone.isSet { poll(nil, 0, 5) }
            return try collected.with { $0 }?.get() ?? ""
        }
        let own = try await ControlStore(engine: server.engine).read { try $0.instance() }
        guard let own, text.contains("COPY keyturn.instance"), text.contains(own.id) else {
            throw BackupError(
                text.contains("COPY keyturn.instance") ? .dataForeign : .dataKeyringMissing,
                text.contains("COPY keyturn.instance")
                    ? "backup \(quoted(stored.path)) is of another database"
                    : "backup \(quoted(stored.path)) holds no keyring: the schema keyturn is not in it")
        }
    }

    /// Says that a backup cannot be read where the program that reads it gives up.
    private func unreadable(_ stored: StoredFile, _ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as BackupError where error.code == .providerProgramFailed {
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
