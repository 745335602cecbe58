internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

/// `pg_basebackup`: the files of the whole cluster with the log that makes them consistent, as one archive.
struct PhysicalBackupEngine: BackupEngine {
    let server: PostgreSQLServer
    let patience: Duration
    let bytesPerSecond: Int64?

    let method = BackupDeclaration.Method.physical
    let fileExtension = "tar"

    private var seams: BackupSeams { server.seams }

    func tool() async throws -> Tool {
        Tool(name: "pg_basebackup", version: try await programs("pg_basebackup").version)
    }

    func room() async throws -> Room {
        let (all, log) = try await server.clusterBytes()
        let needed = all + (log ?? 0) + 64 << 20
        return Room(database: all, log: log, target: needed, scratch: needed)
    }

    func position() async throws -> String? { try await server.position() }

    func produce(staging: String) async throws -> Produce {
        var environment = try server.environment()
        // The connection is one of replication: the database is named by none of its programs' options.
        environment["PGDATABASE"] = nil
        let arguments = [
            "--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "--manifest-checksums=SHA256",
            "--no-password",
        ]
        return .program(
            try await programs("pg_basebackup").program("pg_basebackup", arguments, environment: environment))
    }

    func isBeginning(_ head: [UInt8]) -> Bool {
        head.count == 512 && head[257..<262].elementsEqual("ustar".utf8)
    }

    func proveChecksums(_ stored: StoredFile, scratch: ScratchFolder) async throws {
        _ = try await extracted(stored, to: scratch.path("data"))
    }

    func withRestored<Value: Sendable>(
        _ stored: StoredFile, scratch: ScratchFolder, _ body: (any StorageEngine) async throws -> Value
    ) async throws -> Value {
        let programs = try await extracted(stored, to: scratch.path("data"))
        let database = try await server.facts().database
        let user = try server.environment()["PGUSER"] ?? NSUserName()
        let cluster = try await ScratchCluster.taking(programs, user: user, in: scratch, patience: patience)
        do {
            let engine = try await seams.connect(.postgresql(url: cluster.url(database: database)))
            do {
                let value = try await body(engine)
                await engine.close()
                await cluster.stop()
                return value
            } catch {
                await engine.close()
                throw error
            }
        } catch {
            await cluster.stop()
            throw error
        }
    }

    func restore(_ stored: StoredFile, to target: RestoreTarget) async throws -> Restored {
        let path = URL(filePath: target.place).standardizedFileURL.path
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        guard entries.isEmpty else {
            throw BackupError(
                .callerTargetExists, "cannot restore to \(quoted(path)): the folder is not empty",
                hint: "Name a new folder; the files of a cluster are never laid over others.")
        }
        try RestoredCluster.refuse(path)
        let isNew = access(path, F_OK) != 0
        do {
            let cluster = RestoredCluster(
                folder: path, programs: try await extracted(stored, to: path),
                database: try await server.facts().database,
                user: try server.environment()["PGUSER"] ?? NSUserName())
            try await onThread { try cluster.layOut($0) }
            return .cluster(cluster)
        } catch {
            Self.empty(path, removing: isNew)
            throw error
        }
    }

    /// Takes away what was begun in a folder that was empty or not there.
    private static func empty(_ folder: String, removing isWhole: Bool) {
        let files = FileManager.default
        for name in (try? files.contentsOfDirectory(atPath: folder)) ?? [] {
            try? files.removeItem(atPath: folder + "/" + name)
        }
        if isWhole { rmdir(folder) }
    }

    /// Unpacks a backup and has `pg_verifybackup` check each file, and the log, against its manifest.
    private func extracted(_ stored: StoredFile, to folder: String) async throws -> PostgreSQLPrograms {
        let programs = try await programs("pg_verifybackup")
        if access(folder + "/PG_VERSION", F_OK) == 0 { return programs }
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw BackupError.system("make", folder) }
        let tar = Program(
            name: "tar", path: try Program.find("tar", environment: seams.environment),
            arguments: ["--extract", "--file=-", "--directory=\(folder)", "--no-same-owner"])
        do {
            try await feed(tar, from: stored)
            chmod(folder, 0o700)
            let verify = programs.program("pg_verifybackup", ["--quiet", folder])
            _ = try await onThread { try ProgramOutput.of(verify, patience: stored.patience, isCancelled: $0) }
        } catch let error as BackupError where error.code == .providerProgramFailed {
            throw BackupError(
                .dataDamaged, "backup \(quoted(stored.path)) cannot be used: \(error.message)", cause: error)
        }
        try await proveSource(stored, folder, programs)
        return programs
    }

    /// Compares the number that a cluster is given when it is made.
    private func proveSource(_ stored: StoredFile, _ folder: String, _ programs: PostgreSQLPrograms) async throws {
        let control = try await onThread { try programs.controlData(of: folder, isCancelled: $0) }
        let found = control["Database system identifier"]
        guard found == (try await server.facts().systemIdentifier) else {
            throw BackupError(.dataForeign, "backup \(quoted(stored.path)) is of another server")
        }
    }

    private func programs(_ needed: String) async throws -> PostgreSQLPrograms {
        let major = try await server.facts().major
        let environment = seams.environment
        return try await onThread { _ in
            try PostgreSQLPrograms.find(needed, server: major, exactly: true, environment: environment)
        }
    }
}
