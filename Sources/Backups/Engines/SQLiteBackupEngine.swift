internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

/// SQLite's online backup: a whole file, as it was at one instant.
struct SQLiteBackupEngine: BackupEngine {
    let path: String
    let seams: BackupSeams
    let bytesPerSecond: Int64?

    let method = BackupDeclaration.Method.sqlite
    let fileExtension = "db"
    let leavesCopy = true

    func tool() async throws -> Tool { Tool(name: "sqlite", version: seams.copier.version) }

    func room() async throws -> Room {
        let size = ["", "-wal"].reduce(Int64(0)) { sum, suffix in
            var facts = stat()
            return stat(path + suffix, &facts) == 0 ? sum + Int64(facts.st_size) : sum
        }
        // The copy and what is made of it stand there at once.
        return Room(database: size, target: size * 2 + 1 << 16, scratch: size + 1 << 16)
    }

    func position() async throws -> String? { nil }

    func produce(staging: String) async throws -> Produce {
        try await onThread { isCancelled in
            try seams.copier.copy(path, to: staging, bytesPerSecond: bytesPerSecond) { isCancelled.isSet }
        }
        return .file(staging)
    }

    func isBeginning(_ head: [UInt8]) -> Bool { head.starts(with: Array("SQLite format 3\0".utf8)) }

    func proveChecksums(_ stored: StoredFile, scratch: ScratchFolder) async throws {
        _ = try await extracted(stored, scratch)
    }

    func withRestored<Value: Sendable>(
        _ stored: StoredFile, scratch: ScratchFolder, _ body: (any StorageEngine) async throws -> Value
    ) async throws -> Value {
        let file = try await extracted(stored, scratch)
        let engine = try await seams.connect(.sqlite(path: file))
        do {
            let value = try await body(engine)
            await engine.close()
            return value
        } catch {
            await engine.close()
            throw error
        }
    }

    func restore(_ stored: StoredFile, to target: RestoreTarget) async throws -> Restored {
        let place = target.place.hasPrefix("sqlite:") ? String(target.place.dropFirst(7)) : target.place
        let path = URL(filePath: place).standardizedFileURL.path
        if access(path, F_OK) == 0, !target.mayReplace {
            throw BackupError(
                .callerTargetExists, "cannot restore to \(quoted(path)): a file stands there",
                hint: "Name a new file; replacing one takes --replace and a typed confirmation.")
        }
        for suffix in ["-wal", "-journal"] where access(path, F_OK) != 0 && access(path + suffix, F_OK) == 0 {
            throw BackupError(
                .callerTargetExists,
                "cannot restore to \(quoted(path)): the log of another database stands at \(quoted(path + suffix))",
                hint: "Name a new file, or move that log away if nothing needs it any more.")
        }
        let partial = path + ".restoring"
        unlink(partial)
        do {
            try await onThread { isCancelled in
                try stored.extract(to: partial, isCancelled: isCancelled)
                try seams.copier.check(partial)
                // Never over a file that has appeared meanwhile.
                if link(partial, path) != 0 {
                    if access(path, F_OK) == 0 {
                        try replace(path, with: partial, mayReplace: target.mayReplace)
                    } else if rename(partial, path) != 0 {
                        throw BackupError.system("write", path)
                    }
                }
                unlink(partial)
                try Folder.synchronize(of: path)
            }
        } catch {
            unlink(partial)
            throw error
        }
        return .database(.sqlite(path: path))
    }

    /// Writes over a database through SQLite itself: a file that were put in its place would share the names of its log with
    /// the old one, which others may still hold open and remove that log by its name when they close.
    private func replace(_ path: String, with partial: String, mayReplace: Bool) throws {
        guard mayReplace else {
            throw BackupError(.callerTargetExists, "cannot restore to \(quoted(path)): a file stands there")
        }
        do { try seams.copier.replace(path, with: partial) } catch let error as StorageError
            where error.code == .storeDamaged
        {
            throw BackupError(
                .callerTargetExists, "cannot restore over \(quoted(path)): what stands there is no database",
                hint: "Stop whatever uses it, move it away with the files beside it, then restore to that name.",
                cause: error)
        }
    }

    private func extracted(_ stored: StoredFile, _ scratch: ScratchFolder) async throws -> String {
        let file = scratch.path("restored.db")
        if access(file, F_OK) == 0 { return file }
        try await onThread { isCancelled in
            try stored.extract(to: file, isCancelled: isCancelled)
            do { try seams.copier.check(file) } catch let error as StorageError {
                throw BackupError(
                    .dataDamaged, "backup \(quoted(stored.path)) cannot be used: \(error.message)", cause: error)
            }
        }
        return file
    }
}
