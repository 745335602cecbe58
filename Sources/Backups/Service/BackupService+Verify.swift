package import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

extension BackupService {
    /// Proves a backup that is there, and records how far.
    ///
    /// - Parameters:
    ///   - id: The backup.
    ///   - level: How far.
    ///   - identity: The file with a secret key that opens it; nil takes the declared one.
    /// - Returns: The backup as it is listed now.
    /// - Throws: ``BackupError``; where it says that the backup cannot be relied on, the catalogue says so too from then on.
    package func verify(
        _ id: Int64, level: BackupLevel = .restored, identity: String? = nil
    ) async throws -> BackupEntry {
        clearLeftovers()
        let record = try await control.read { try $0.backup(id) }
        let manifest: BackupManifest
        do { manifest = try await proved(record, level: level, identity: identity) } catch {
            if Self.disproves(error) {
                let now = seams.now()
                try await control.write { try Self.distrust(id, at: now, in: $0) }
            }
            throw error
        }
        let updated = try await control.write { [seams] session in
            var updated = try manifest.record(id)
            let present = try session.backup(id)
            updated.isPinned = present.isPinned
            updated.level = max(updated.level, present.level)
            try session.update(updated)
            try seams.alongside(session)
            return updated
        }
        return BackupEntry(updated, isPresent: isPresent(updated))
    }

    /// Restores a backup aside, opens it completely, and records the outcome, good or bad.
    ///
    /// - Returns: The outcome; a failure is one, not an error.
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, or ``StorageError``.
    package func drill(_ id: Int64?, identity: String? = nil) async throws -> DrillResult {
        clearLeftovers()
        let backups = try await control.read { try $0.backups() }
        guard let record = id.map({ id in backups.first { $0.id == id } }) ?? backups.first else {
            throw BackupError(
                .callerNotFound, id.map { "there is no backup \($0)" } ?? "there is no backup to drill with",
                hint: "\"keyturn backup list\" lists them.")
        }
        let begun = seams.now()
        let start = ContinuousClock.now
        let outcome: (isPassed: Bool, report: String)
        var isDisproved = false
        do {
            let manifest = try await proved(record, level: .restored, identity: identity)
            let proof = manifest.proof
            outcome = (
                true,
                "\(proof?.opened ?? 0) values and \(proof?.canaries ?? 0) canaries opened with its own keyring, "
                    + "\(proof?.exceptions ?? 0) exceptions, root key from \(proof?.rootFrom ?? "?")"
            )
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            outcome = (false, (error as? any CodedError)?.message ?? "\(error)")
            isDisproved = Self.disproves(error)
        }
        let took = (ContinuousClock.now - start).components
        let drill = DrillRecord(
            at: begun, backup: record.id, isPassed: outcome.isPassed,
            milliseconds: took.seconds * 1000 + took.attoseconds / 1_000_000_000_000_000, report: outcome.report,
            actor: seams.actor)
        try await control.write { [seams, isDisproved] session in
            if isDisproved { try Self.distrust(drill.backup, at: begun, in: session) }
            try session.insert(drill)
            try seams.alongside(session)
        }
        return DrillResult(
            backup: drill.backup, isPassed: drill.isPassed, milliseconds: drill.milliseconds, report: drill.report)
    }

    /// Whether a failed proof says that the backup itself cannot be relied on, and not only that it could not be read now.
    private static func disproves(_ error: any Error) -> Bool {
        guard let error = error as? BackupError else { return false }
        switch error.code {
        // A program that gave up may have lacked room, memory or a right.
        case .dataDamaged, .dataForeign, .callerNotFound: return error.cause == nil
        // A provider that was not there says nothing about the backup.
        case .dataKeyringMissing: return (error.cause as? any CodedError)?.codeName != "keyNotUnwrapped"
        default: return false
        }
    }

    /// Sets a backup back to what was merely claimed, so that it stands in for no other one; its keys stay needed.
    private static func distrust(_ id: Int64, at now: Timestamp, in session: ControlSession) throws {
        guard var record = try session.backups().first(where: { $0.id == id }) else { return }
        if var manifest = try? BackupManifest.decode(record.manifest, of: record.location) {
            manifest.verified = BackupLevel.claimed.word
            manifest.verifiedAt = now.description
            record.manifest = try manifest.encoded()
        }
        record.level = .claimed
        record.verifiedAt = now
        try session.update(record)
    }

    /// Lists a backup that stands in a folder with its manifest, but not in the catalogue, once it is proved.
    ///
    /// - Throws: ``BackupError`` with `dataForeign` for one of another instance, or what proving it throws.
    package func importBackup(
        _ path: String, level: BackupLevel = .checksums, identity: String? = nil
    ) async throws -> BackupEntry {
        let path = URL(filePath: path).standardizedFileURL.path
        let file = BackupFiles.manifest(of: path)
        guard let data = FileManager.default.contents(atPath: file) else {
            throw BackupError(
                .callerNotFound, "there is no manifest \(quoted(file))",
                hint: "Only backups with the manifest beside them can be taken in.")
        }
        var manifest = try BackupManifest.decode(String(decoding: data, as: UTF8.self), of: path)
        guard manifest.method != BackupDeclaration.Method.command.rawValue else {
            throw BackupError(.callerRequestInvalid, "\(quoted(path)) was made by a command and is not taken in")
        }
        manifest.uri = path
        // Whoever can write here can write a manifest too: nothing that it says of keys counts until values were opened.
        manifest.keyIDsScanned = false
        manifest.proof = nil
        manifest.keyIDs = Set(manifest.keyIDs + manifest.wrappedKeyIDs).sorted()
        let known = try await control.read { try $0.backups(includingDoomed: true) }
        guard !known.contains(where: { $0.location == path }) else {
            throw BackupError(.callerTargetExists, "\(quoted(path)) is in the catalogue already")
        }
        let lock = try DirectoryLock(taking: declaration.directory)
        defer { lock.release() }
        let draft = try manifest.record(0)
        var result = try await proved(draft, level: level, identity: identity, mayShrink: false)
        try await list(nil, in: &result, level)
        return try await enlist(result, isPinned: false)
    }

    /// Proves a backup up to a level and returns what its manifest says from now on; how large it may be was judged when it was
    /// made.
    private func proved(
        _ record: BackupRecord, level: BackupLevel, identity: String?, mayShrink: Bool = true
    ) async throws -> BackupManifest {
        var manifest = try BackupManifest.decode(record.manifest, of: record.location)
        manifest.verified = BackupLevel.claimed.word
        guard let source = try await control.read({ try $0.instance() }), source.id == manifest.sourceID else {
            throw BackupError(.dataForeign, "backup \(quoted(record.location)) is of another instance")
        }
        guard let engine = try engine(of: record) else {
            guard let command = command() else {
                throw BackupError(.callerRequestInvalid, "no command is declared that proves backup \(record.id)")
            }
            try await prove(&manifest, with: command, level, mayShrink: mayShrink)
            return manifest
        }
        let stored = try stored(manifest, identity: identity)
        try await prove(&manifest, stored, engine, level, mayShrink: mayShrink)
        return manifest
    }

    /// A backup that is there, ready to be read.
    func stored(_ manifest: BackupManifest, identity: String?) throws -> StoredFile {
        StoredFile(
            path: manifest.uri, bytes: manifest.bytes, sha256: manifest.sha256,
            cipher: manifest.encrypted ? try AgeCipher(environment: seams.environment) : nil,
            identity: (identity ?? declaration.identity).map { .file($0) }, patience: declaration.patience,
            origin: StoredFile.Origin(nonce: manifest.nonce, epoch: manifest.epoch))
    }

    /// Proves a backup and writes into its manifest what was found.
    func prove(
        _ manifest: inout BackupManifest, _ stored: StoredFile, _ engine: any BackupEngine, _ level: BackupLevel,
        mayShrink: Bool = false
    ) async throws {
        if level >= .format {
            let head = try await onThread { isCancelled in
                try stored.proveStored(isCancelled: isCancelled)
                return try stored.head(isCancelled: isCancelled)
            }
            guard engine.isBeginning(head) else {
                throw BackupError(
                    .dataDamaged, "backup \(quoted(stored.path)) cannot be used: it is no \(manifest.method) backup")
            }
            if !mayShrink { try await refuseShrunken(manifest) }
        }
        let parent = scratchParent
        if level >= .checksums {
            let scratch = try ScratchFolder(in: parent)
            try await engine.proveChecksums(stored, scratch: scratch)
            if level >= .restored {
                try await proveByRestoring(&manifest, stored, scratch) { body in
                    try await engine.withRestored(stored, scratch: scratch, body)
                }
            } else if engine.leavesCopy {
                try await listUsed(in: &manifest) { body in
                    try await engine.withRestored(stored, scratch: scratch, body)
                }
            }
        }
        manifest.verified = level.word
        manifest.verifiedAt = seams.now().description
    }

    /// Proves what a command has made, as far as there are commands for it.
    func prove(
        _ manifest: inout BackupManifest, with command: CommandBackupEngine, _ level: BackupLevel,
        mayShrink: Bool = false
    ) async throws {
        var reached = BackupLevel.format
        if !mayShrink { try await refuseShrunken(manifest) }
        if level >= .checksums, try await command.verify(manifest.uri) { reached = .checksums }
        if level >= .restored {
            let parent = scratchParent
            let scratch = try ScratchFolder(in: parent)
            let uri = manifest.uri
            var found: Examination?
            found = try await command.withRestored(uri, scratch: scratch) { engine in
                try await examine(engine, rootKey: nil)
            }
            if let found {
                try await take(found, into: &manifest, rootFrom: "provider")
                reached = .restored
            }
        }
        guard reached >= level else {
            throw BackupError(
                .callerRequestInvalid,
                "a backup that a command makes cannot be proved to \"\(level.word)\": no command is declared for it",
                hint: "Declare verify = {…} and restore = {…} beside create = {…}.")
        }
        manifest.verified = reached.word
        manifest.verifiedAt = seams.now().description
    }

    private func proveByRestoring(
        _ manifest: inout BackupManifest, _ stored: StoredFile, _ scratch: ScratchFolder,
        _ withRestored: (@escaping @Sendable (any StorageEngine) async throws -> Examination) async throws ->
            Examination
    ) async throws {
        let root = try await rootKey(of: manifest, stored)
        seams.reached(.rootKeyOpened)
        let found = try await withRestored { engine in try await examine(engine, rootKey: root) }
        try await take(found, into: &manifest, rootFrom: root == nil ? "provider" : "escrow")
    }

    private func examine(_ engine: any StorageEngine, rootKey: Descriptor?) async throws -> Examination {
        defer { withExtendedLifetime(rootKey) {} }
        do {
            return try await seams.opener.examine(engine, rootKey: rootKey?.number, opensValues: true)
        } catch let error as any CodedError where !(error is BackupError) && !(error is StorageError) {
            throw BackupError(
                .dataKeyringMissing, "the backup does not open with its own keyring: \(error.message)",
                hint: error.hint, cause: error)
        }
    }

    /// Lists the keys that values lie under in a copy that is there anyhow; no proof, since they open through the instance itself.
    ///
    /// Where its keys do not unwrap now, or a value does not open, or a table cannot be read, all that is listed already counts.
    private func listUsed(
        in manifest: inout BackupManifest,
        _ withRestored: (@escaping @Sendable (any StorageEngine) async throws -> Examination) async throws ->
            Examination
    ) async throws {
        let found: Examination
        do {
            found = try await withRestored { engine in
                try await seams.opener.examine(engine, rootKey: nil, opensValues: true)
            }
        } catch is any CodedError { return }
        try Self.refuseForeign(found, manifest)
        guard found.isWhole, found.unopenable == 0 else { return }
        manifest.wrappedKeyIDs = found.wrappedKeys
        manifest.wrappers = found.wrappers
        manifest.keyringSHA256 = found.keyringSHA256
        manifest.keyIDs = found.usage.keys.sorted()
        manifest.keyIDsScanned = true
    }

    /// Refuses a copy of another database, or one from before its own making.
    private static func refuseForeign(_ found: Examination, _ manifest: BackupManifest) throws(BackupError) {
        let name = quoted(manifest.uri)
        guard found.instance == manifest.sourceID, found.nonce == manifest.nonce else {
            throw BackupError(.dataForeign, "backup \(name) is of another database")
        }
        guard found.epoch >= manifest.epoch else {
            throw BackupError(
                .dataForeign,
                "backup \(name) is older than it must be: it stands at epoch \(found.epoch), not \(manifest.epoch)")
        }
    }

    /// Compares what a restored copy showed with what it must show, and takes it into the manifest.
    private func take(_ found: Examination, into manifest: inout BackupManifest, rootFrom: String) async throws {
        let name = quoted(manifest.uri)
        try Self.refuseForeign(found, manifest)
        // What did not open when it was made may have been repaired in the database since.
        if found.unopenable > manifest.proof?.exceptions ?? 0 {
            let live = try await seams.opener.examine(control.engine, rootKey: nil, opensValues: true)
            let more = found.unopened(beyond: live)
            guard more == 0 else {
                throw BackupError(
                    .dataKeyringMissing,
                    "backup \(name) does not open completely: \(found.unopenable) values do not, of which \(more) "
                        + "stand otherwise in the database itself; \(found.findings.first ?? "")")
            }
        }
        manifest.wrappedKeyIDs = found.wrappedKeys
        manifest.wrappers = found.wrappers
        manifest.keyringSHA256 = found.keyringSHA256
        // A key that is named by a value which does not open counts too, as long as the copy holds it.
        let named = Set(found.named.keys).intersection(found.wrappedKeys)
        manifest.keyIDs = found.isWhole ? named.union(found.usage.keys).sorted() : found.wrappedKeys
        manifest.keyIDsScanned = found.isWhole
        manifest.proof = BackupManifest.Proof(
            canaries: found.canaries, opened: found.usage.values.reduce(0, +), exceptions: found.unopenable,
            rootFrom: rootFrom)
    }

    /// Without a look at its values, a backup counts as using every key that may be in it: those that there were when making
    /// it began, and those that there are now.
    ///
    /// What the database itself holds before and after says nothing of the time between, in which the copy was taken: values
    /// under an older key may have been there just then.
    func list(_ held: Examination?, in manifest: inout BackupManifest, _ level: BackupLevel) async throws {
        guard level < .restored, !manifest.keyIDsScanned else { return }
        if let held { manifest.list(held) }
        manifest.list(try await liveKeyring())
    }

    /// What the keyring of the database itself holds now.
    func liveKeyring() async throws -> Examination {
        try await seams.opener.examine(control.engine, rootKey: nil, opensValues: false)
    }

    /// Brings the copy of `root.key` beside a backup, or the declared one, to light for the length of a proof.
    private func rootKey(of manifest: BackupManifest, _ stored: StoredFile) async throws -> Descriptor? {
        guard seams.escrow != nil else { return nil }
        let beside = manifest.rootKey.map { name in
            URL(filePath: manifest.uri).deletingLastPathComponent().appending(path: name).path
        }
        guard let copy = beside ?? declaration.escrow else {
            throw BackupError(
                .keyIdentityMissing,
                "cannot prove a backup by restoring it: its root key would come from the instance's own folder",
                hint: "Name a recipient in backup { … }, or a copy that \"keyturn root export\" made and its identity.")
        }
        let identity = beside == nil ? declaration.identity.map { AgeCipher.Identity.file($0) } : stored.identity
        let cipher = try AgeCipher(environment: seams.environment)
        return try await onThread { isCancelled in
            var facts = stat()
            guard stat(copy, &facts) == 0 else {
                throw BackupError(.keyIdentityMissing, "the copy of root.key \(quoted(copy)) is gone")
            }
            let escrow = StoredFile(
                path: copy, bytes: Int64(facts.st_size), sha256: manifest.rootKeySHA256 ?? "", cipher: cipher,
                identity: identity, patience: stored.patience)
            if beside != nil { try escrow.proveStored(isCancelled: isCancelled) }
            let secret = try Descriptor.nameless()
            try escrow.pour(into: try secret.duplicate(), isCancelled: isCancelled)
            return secret
        }
    }

    /// Refuses a backup that is less than half as large as the one before it.
    private func refuseShrunken(_ manifest: BackupManifest) async throws {
        let others = try await control.read { try $0.backups() }
        guard
            let last = others.first(where: {
                $0.method == manifest.method && $0.location != manifest.uri && $0.level >= .checksums
                    && $0.startedAt.description < manifest.started
            })
        else { return }
        guard manifest.bytes >= last.bytes / 2 + last.bytes % 2 else {
            throw BackupError(
                .dataDamaged,
                "backup \(quoted(manifest.uri)) has \(manifest.bytes) bytes, less than half of backup \(last.id)",
                hint: "If the database has really shrunk so much, make it with --may-shrink.")
        }
    }
}
