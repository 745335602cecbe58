internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

extension BackupService {
    /// Restores a backup into a new file, database or folder, and opens it there.
    ///
    /// - Parameters:
    ///   - id: The backup.
    ///   - target: A file of SQLite, a connection string of PostgreSQL, or the folder of a cluster.
    ///   - identity: The file with a secret key that opens it; nil takes the declared one.
    ///   - mayReplace: Whether someone has confirmed, by typing, that what stands there is lost.
    /// - Returns: Where it is, what opened, and what to do next.
    /// - Throws: ``BackupError`` with `callerTargetExists`, `keyIdentityMissing` or `dataDamaged`.
    package func restore(
        _ id: Int64, to target: String, identity: String? = nil, mayReplace: Bool = false
    ) async throws -> RestoreResult {
        clearLeftovers()
        let record = try await control.read { try $0.backup(id) }
        let manifest = try BackupManifest.decode(record.manifest, of: record.location)
        try refuseLive(target, mayReplace)
        guard let engine = try engine(of: record) else {
            guard let command = command() else {
                throw BackupError(.callerRequestInvalid, "no command is declared that restores backup \(id)")
            }
            try await command.restore(record.location, to: target)
            let file = target + "/restored.db"
            guard access(file, F_OK) == 0 else { return result(id, target) }
            return result(id, target, try await opened(.sqlite(path: file)))
        }
        let stored = try stored(manifest, identity: identity)
        try await onThread { try stored.proveStored(isCancelled: $0) }
        let place = RestoreTarget(place: target, mayReplace: mayReplace)
        switch try await engine.restore(stored, to: place) {
        case .database(let location): return result(id, target, try await opened(location))
        case .cluster(let cluster): return result(id, target, of: cluster)
        }
    }

    /// Opens every value of what was restored, with the keyring in it.
    private func opened(_ location: DatabaseLocation) async throws -> Examination {
        let connection = try await seams.connect(location)
        do {
            let found = try await seams.opener.examine(connection, rootKey: nil, opensValues: true)
            await connection.close()
            return found
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Removes the backups that retention lets go.
    ///
    /// - Parameter isDryRun: Whether only what would go is said.
    /// - Returns: What went, what stays, and why.
    /// - Throws: ``BackupError``, or ``StorageError``.
    package func prune(isDryRun: Bool = false) async throws -> PruneResult {
        let lock = try DirectoryLock(taking: declaration.directory)
        defer { lock.release() }
        let now = seams.now()
        let (backups, open, owed) = try await control.read { session in
            (try session.backups(), try session.openRun()?.id, try session.owesBackup())
        }
        // One whose file is gone or cut short keeps no other one from staying.
        let present = backups.filter(isPresent)
        let retention = Retention(declaration)
        let going = retention.expendable(present, openRun: open, owed: owed != nil, now: now)
        var reasons: [String] = []
        if let owed { reasons.append("run \(owed) owes the verified backup after it, so nothing goes") }
        if declaration.keep == nil, declaration.keepFor == nil {
            reasons.append("neither keep nor keep_for is declared, so nothing goes")
        }
        reasons += backups.filter { $0.level == .claimed }.map {
            "backup \($0.id) failed its proof and stays until it is proved or removed by its number"
        }
        if !isDryRun {
            try await doom(going.map(\.id))
            try await removeDoomed()
        }
        let gone = Set(going.map(\.id))
        return PruneResult(
            removed: going.map(\.id), kept: backups.map(\.id).filter { !gone.contains($0) }, reasons: reasons)
    }

    /// Removes one backup for good, whatever its age: after a leak, those that the leaked key opens.
    ///
    /// - Parameters:
    ///   - id: The backup.
    ///   - isDryRun: Whether it is only said whether it may go.
    /// - Returns: What went and what stays.
    /// - Throws: ``BackupError`` with `callerPolicyForbids` for one that is pinned, that an open run or the last run needs,
    ///   or without which fewer than two verified ones would stay; ``ControlStoreError`` with `callerNotFound`.
    package func remove(_ id: Int64, isDryRun: Bool = false) async throws -> PruneResult {
        let lock = try DirectoryLock(taking: declaration.directory)
        defer { lock.release() }
        let (record, all, open, owed) = try await control.read { session in
            (try session.backup(id), try session.backups(), try session.openRun()?.id, try session.owesBackup())
        }
        let others = all.filter { $0.id != id }
        if let obstacle = obstacle(to: record, others, openRun: open, owed: owed) {
            throw BackupError(
                .callerPolicyForbids, "cannot remove backup \(id): \(obstacle.why)", hint: obstacle.remedy)
        }
        if !isDryRun {
            try await doom([id])
            try await removeDoomed()
        }
        return PruneResult(removed: [id], kept: others.map(\.id), reasons: [])
    }

    private func obstacle(
        to record: BackupRecord, _ others: [BackupRecord], openRun: Int64?, owed: Int64?
    ) -> (why: String, remedy: String)? {
        if record.isPinned { return ("it is pinned", "Unpin it first.") }
        if let run = record.run, run == openRun { return ("run \(run) is open", "Wait for its end.") }
        if let owed {
            return ("run \(owed) owes the verified backup after it", "Make it: keyturn backup create --run \(owed).")
        }
        let verified = others.filter { $0.level >= .checksums && isPresent($0) }.count
        guard verified >= Retention.leastKept else {
            return ("only \(verified) verified ones would stay", "Make new ones first: keyturn backup create.")
        }
        return nil
    }

    /// Takes backups out of the catalogue, all at once.
    private func doom(_ ids: [Int64]) async throws {
        try await control.write { [seams] session in
            for id in ids { try session.doom(backup: id) }
            try seams.alongside(session)
        }
        seams.reached(.backupDoomed)
    }

    /// Removes the files of backups that are out of the catalogue, then the last record of them.
    private func removeDoomed() async throws {
        let listed = Set(try await control.read { try $0.backups() }.map(\.id))
        let all = try await control.read { try $0.backups(includingDoomed: true) }
        for record in all where !listed.contains(record.id) {
            if record.method == BackupDeclaration.Method.command.rawValue {
                // Until its own retention has removed it, its keys count as needed.
                guard let command = command(), try await command.delete(record.location) else { continue }
            } else {
                try await onThread { _ in try BackupFiles(path: record.location).removeForGood() }
            }
            seams.reached(.backupRemoved)
            try await control.write { try $0.forget(backup: record.id) }
        }
    }

    /// Refuses to lay a backup over the database that is in use.
    private func refuseLive(_ target: String, _ mayReplace: Bool) throws {
        guard !mayReplace else { return }
        let isLive: Bool
        switch location {
        case .sqlite(let path):
            let place = target.hasPrefix("sqlite:") ? String(target.dropFirst(7)) : target
            isLive =
                URL(filePath: place).resolvingSymlinksInPath().standardizedFileURL.path
                == URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.path
        case .postgresql(let url): isLive = url == target
        }
        guard isLive else { return }
        throw BackupError(
            .callerTargetExists, "cannot restore over the database that is in use",
            hint: "Restore beside it; replacing it takes --replace and a typed confirmation.")
    }

    private func result(
        _ id: Int64, _ target: String, _ found: Examination? = nil, of cluster: RestoredCluster? = nil
    ) -> RestoreResult {
        let shown = target.contains("://") || target.contains("=") ? "the database that was named" : target
        var next: [String] = []
        if let cluster {
            next = ["Start its server: \(cluster.start)", "Name it in keyturn.lua: database \"\(cluster.url)\""]
        } else {
            next = [
                found == nil
                    ? "Start a server on the folder, and name it as \"database\" in keyturn.lua"
                    : "Name it as \"database\" in keyturn.lua"
            ]
        }
        return RestoreResult(
            backup: id, place: shown, opened: found.map { $0.usage.values.reduce(0, +) },
            unopenable: found?.unopenable, start: cluster?.start, database: cluster?.url,
            next: next + ["Then run: keyturn recover", "Then run: keyturn verify"])
    }
}
