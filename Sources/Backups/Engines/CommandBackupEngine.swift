internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

/// A program of the operator's own, such as pgBackRest or WAL-G behind a few lines of shell; it must hand back a manifest.
///
/// What it stores is out of our sight, so each level beyond its own word needs a program that proves it.
struct CommandBackupEngine {
    let server: PostgreSQLServer?
    let commands: BackupDeclaration.Commands
    let seams: BackupSeams
    let patience: Duration

    /// What the program says it has made.
    struct Answer: Codable, Sendable {
        let uri: String
        let bytes: Int64
        var sha256: String?
        let tool: String
        let toolVersion: String
        var position: String?
        var encrypted: Bool?

        private enum CodingKeys: String, CodingKey {
            case uri, bytes, sha256, tool
            case toolVersion = "tool_version"
            case position, encrypted
        }
    }

    /// Has a backup made.
    ///
    /// - Throws: ``BackupError`` with `dataDamaged` for an answer that is none.
    func create(_ variables: [String: String]) async throws -> Answer {
        let text = try await run(commands.create, "create", variables)
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(text.utf8)),
            (1...BackupManifest.mostBytes).contains(answer.bytes), !answer.uri.isEmpty, answer.uri.utf8.count <= 1024
        else {
            throw BackupError(
                .dataDamaged, "the command for backups ended with 0 but handed back no manifest",
                hint: "It must write JSON with uri, bytes, tool and tool_version to standard output, and nothing else.")
        }
        return answer
    }

    /// Where the log of the database stands; nil where it has none.
    func position() async throws -> LogPosition? { try await server?.position().flatMap { LogPosition($0) } }

    /// Has the checksums of a backup proved; false where no command does that.
    func verify(_ uri: String) async throws -> Bool {
        guard let command = commands.verify else { return false }
        _ = try await run(command, "verify", ["KEYTURN_BACKUP_URI": uri])
        return true
    }

    /// Restores a backup into a scratch folder and lends a connection to it; nil where no command does that.
    func withRestored<Value: Sendable>(
        _ uri: String, scratch: ScratchFolder, _ body: (any StorageEngine) async throws -> Value
    ) async throws -> Value? {
        guard let command = commands.restore else { return nil }
        let folder = scratch.path("data")
        guard mkdir(folder, 0o700) == 0 else { throw BackupError.system("make", folder) }
        _ = try await run(command, "restore", ["KEYTURN_BACKUP_URI": uri, "KEYTURN_RESTORE_TO": folder])
        return try await open(folder, scratch, body)
    }

    /// Opens what a command has restored: the files of a cluster, or `restored.db` of SQLite.
    private func open<Value: Sendable>(
        _ folder: String, _ scratch: ScratchFolder, _ body: (any StorageEngine) async throws -> Value
    ) async throws -> Value {
        let file = folder + "/restored.db"
        if access(file, F_OK) == 0 {
            try await onThread { _ in try seams.copier.check(file) }
            let engine = try await seams.connect(.sqlite(path: file))
            let result = await Self.result { try await body(engine) }
            await engine.close()
            return try result.get()
        }
        guard let server, access(folder + "/PG_VERSION", F_OK) == 0 else {
            throw BackupError(
                .dataDamaged, "the command for restoring left neither a cluster nor restored.db in its folder")
        }
        let facts = try await server.facts()
        let environment = seams.environment
        let programs = try await onThread { _ in
            try PostgreSQLPrograms.find("postgres", server: facts.major, exactly: true, environment: environment)
        }
        let user = try server.environment()["PGUSER"] ?? NSUserName()
        let cluster = try await ScratchCluster.taking(programs, user: user, in: scratch, patience: patience)
        let result = await Self.result {
            let engine = try await seams.connect(.postgresql(url: cluster.url(database: facts.database)))
            let inner = await Self.result { try await body(engine) }
            await engine.close()
            return try inner.get()
        }
        await cluster.stop()
        return try result.get()
    }

    /// Restores a backup into a folder of the caller's choice.
    func restore(_ uri: String, to folder: String) async throws {
        guard let command = commands.restore else { throw Self.noCommand("restore") }
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        guard entries.isEmpty else {
            throw BackupError(.callerTargetExists, "cannot restore to \(quoted(folder)): the folder is not empty")
        }
        _ = try await run(command, "restore", ["KEYTURN_BACKUP_URI": uri, "KEYTURN_RESTORE_TO": folder])
    }

    /// Deletes a backup; false where that is left to the program's own retention.
    func delete(_ uri: String) async throws -> Bool {
        guard let command = commands.delete else { return false }
        _ = try await run(command, "delete", ["KEYTURN_BACKUP_URI": uri])
        return true
    }

    private func run(_ command: [String], _ what: String, _ variables: [String: String]) async throws -> String {
        guard let path = command.first else { throw Self.noCommand(what) }
        let environment = (try server?.environment() ?? [:]).merging(variables) { $1 }
        let program = Program(
            name: URL(filePath: path).lastPathComponent, path: path, arguments: Array(command.dropFirst()),
            environment: environment)
        let patience = patience
        return try await onThread { try ProgramOutput.of(program, patience: patience, isCancelled: $0) }
    }

    private static func noCommand(_ what: String) -> BackupError {
        BackupError(.callerRequestInvalid, "no command is declared to \(what) backups")
    }

    private static func result<Value>(_ body: () async throws -> Value) async -> Result<Value, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }
}
