internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

extension BackupService {
    /// How long a backup waits for whoever makes or removes others, or erases keys.
    private static let folderPatience = Duration.seconds(30)

    /// Makes a backup, proves it, and lists it.
    ///
    /// Nothing is listed, and no file is left behind, unless every step succeeded. While others make or remove backups in its
    /// folder, or erase keys, it waits half a minute for them.
    ///
    /// - Throws: ``BackupError``, or ``StorageError``.
    package func create(_ request: CreateRequest = CreateRequest()) async throws -> BackupEntry {
        let stage = try await stage(of: request)
        let lock = try await DirectoryLock.taking(declaration.directory, waiting: Self.folderPatience)
        defer { lock.release() }
        for parent in Set([declaration.directory, scratchParent]) { ScratchFolder.clear(in: parent) }
        let level = try await level(of: request)
        guard let source = try await control.read({ try $0.instance() }) else {
            throw BackupError(.callerRequestInvalid, "the database belongs to no instance of Keyturn")
        }
        if declaration.method == .command, let command = command() {
            return try await create(request, stage, level, source, with: command)
        }
        lock.clearPartials(known: try await control.read { try $0.backups(includingDoomed: true) })
        let engine = try engine()
        let room = try await room(for: engine)
        if let obstacle = room.obstacle {
            throw BackupError(.storeFull, "cannot make a backup: \(obstacle)", hint: "Nothing was begun.")
        }
        let files = BackupFiles(
            directory: declaration.directory, method: engine.method.rawValue, ending: engine.fileExtension,
            isEncrypted: !declaration.recipients.isEmpty, at: seams.now(), run: request.run, stage: stage)
        let manifest: BackupManifest
        do {
            let draft = Draft(
                tool: try await engine.tool(), source: source, started: seams.now(),
                position: try await engine.position(), held: try await liveKeyring(), stage: stage, request: request)
            manifest = try await make(draft, files, engine, level)
        } catch {
            files.remove()
            throw error
        }
        do { return try await enlist(manifest, isPinned: request.isPinned) } catch {
            return try await outcome(of: files, after: error)
        }
    }

    /// What is known of a backup before it is made.
    struct Draft: Sendable {
        let tool: Tool
        let source: InstanceRecord
        let started: Timestamp
        let position: String?
        /// What the keyring holds before anything is copied: whatever goes from it meanwhile may be in the copy.
        let held: Examination
        let stage: BackupStage
        let request: CreateRequest
    }

    private func make(
        _ draft: Draft, _ files: BackupFiles, _ engine: any BackupEngine, _ level: BackupLevel
    ) async throws -> BackupManifest {
        let cipher = declaration.recipients.isEmpty ? nil : try AgeCipher(environment: seams.environment)
        let drawn = try await onThread { [patience = declaration.patience] _ in
            try cipher?.drawIdentity(patience: patience)
        }
        let recipients = declaration.recipients + (drawn.map { [$0.recipient] } ?? [])
        let facts = try await store(engine, files, cipher, recipients)
        var rootKeySHA256: String?
        if cipher != nil, let escrow = seams.escrow {
            rootKeySHA256 = try await onThread { isCancelled in
                try escrow(files.rootKeyPartial, recipients)
                return try files.place(files.rootKeyPartial, files.rootKey, isCancelled)
            }
        }
        try await onThread { _ = try files.place(files.partial, files.path, $0, hashes: false) }
        seams.reached(.backupPlaced)
        let stored = StoredFile(
            path: files.path, bytes: facts.bytes, sha256: facts.sha256, cipher: cipher, identity: drawn?.0,
            patience: declaration.patience,
            origin: StoredFile.Origin(nonce: draft.source.nonce, epoch: draft.source.epoch))
        var manifest = manifest(draft, files, facts, engine)
        manifest.rootKey = rootKeySHA256 == nil ? nil : files.rootKeyName
        manifest.rootKeySHA256 = rootKeySHA256
        try await prove(&manifest, stored, engine, level, mayShrink: draft.request.mayShrink)
        try await list(draft.held, in: &manifest, level)
        seams.reached(.backupVerified)
        let complete = manifest
        try await onThread { _ in try files.writeManifest(try complete.encoded()) }
        seams.reached(.manifestPlaced)
        return complete
    }

    /// What became of a backup that could not be listed: the answer to a commit may be lost, not the commit.
    ///
    /// Its files go only where it is certain that nothing lists them.
    private func outcome(of files: BackupFiles, after failure: any Error) async throws -> BackupEntry {
        let known: [BackupRecord]
        do { known = try await control.read { try $0.backups(includingDoomed: true) } } catch {
            throw Self.left(files, failure)
        }
        if let record = known.first(where: { $0.location == files.path }) {
            return BackupEntry(record, isPresent: isPresent(record))
        }
        // A server that was lost may still be about to commit.
        if (failure as? StorageError)?.code == .storeUnavailable { throw Self.left(files, failure) }
        files.remove()
        throw failure
    }

    private static func left(_ files: BackupFiles, _ failure: any Error) -> BackupError {
        let why = (failure as? any CodedError)?.message ?? "\(failure)"
        return BackupError(
            .storeUnavailable,
            "backup \(quoted(files.path)) is whole, but it is not known whether it is listed: \(why)",
            hint: "Look with \"keyturn backup list\"; where it is missing: keyturn backup import FILE.", cause: failure)
    }

    /// Streams what the engine makes into the file under its temporary name.
    private func store(
        _ engine: any BackupEngine, _ files: BackupFiles, _ cipher: AgeCipher?, _ recipients: [String]
    ) async throws -> Stream.Facts {
        seams.reached(.backupBegun)
        let produce = try await engine.produce(staging: files.staging)
        // A file was paced while it was copied.
        let pace: Int64? = if case .program = produce { declaration.bytesPerSecond } else { nil }
        let (patience, reached) = (declaration.patience, seams.reached)
        let facts = try await onThread { isCancelled in
            let target = try Descriptor(files.partial, O_RDWR | O_CREAT | O_EXCL)
            let pipeline = StorePipeline(
                produce: produce, cipher: cipher, recipients: recipients, bytesPerSecond: pace, patience: patience)
            let facts = try pipeline.run(into: target, name: files.path, isCancelled)
            guard fsync(target.number) == 0 else { throw BackupError.system("write", files.partial) }
            unlink(files.staging)
            reached(.backupCopied)
            return facts
        }
        guard facts.bytes > 0 else { throw BackupError(.dataDamaged, "the backup would have 0 bytes") }
        return facts
    }

    private func manifest(
        _ draft: Draft, _ files: BackupFiles, _ facts: Stream.Facts, _ engine: any BackupEngine
    ) -> BackupManifest {
        let now = seams.now()
        return BackupManifest(
            method: engine.method.rawValue, uri: files.path, bytes: facts.bytes, sha256: facts.sha256,
            tool: draft.tool.name, toolVersion: draft.tool.version, started: draft.started.description,
            finished: now.description, sourceID: draft.source.id, nonce: draft.source.nonce, epoch: draft.source.epoch,
            position: draft.position, contains: ["data", "keyring"], keyIDs: [], keyIDsScanned: false,
            wrappedKeyIDs: [], wrappers: [], keyringSHA256: "", encrypted: !declaration.recipients.isEmpty,
            wrappedBy: declaration.recipients, expiresAt: Retention(declaration).expiry(of: now)?.description,
            verified: BackupLevel.claimed.word, verifiedAt: now.description, run: draft.request.run,
            stage: draft.stage.rawValue)
    }

    func enlist(_ manifest: BackupManifest, isPinned: Bool) async throws -> BackupEntry {
        let record = try await control.write { [seams] session in
            // A run that was cancelled meanwhile leaves a good backup all the same; a key that was destroyed does not.
            try Self.refuseDestroyed(manifest, in: session)
            try Self.refuseListed(manifest.uri, in: session)
            let record = try session.insertBackup { id in
                var record = try manifest.record(id)
                record.isPinned = isPinned
                return record
            }
            try seams.alongside(session)
            return record
        }
        seams.reached(.backupListed)
        return BackupEntry(record, isPresent: isPresent(record))
    }

    private static func refuseDestroyed(_ manifest: BackupManifest, in session: ControlSession) throws {
        let versions = try session.keyrings().flatMap(\.keyring.versions)
        let gone = versions.filter { $0.state == .destroyed && manifest.keyIDs.contains($0.id.description) }
        guard let first = gone.first else { return }
        throw BackupError(
            .dataKeyringMissing, "backup \(quoted(manifest.uri)) needs key \(first.id), which is destroyed",
            hint: "Make another one; this one may hold values that nothing opens any more.")
    }

    /// Refuses what is in the catalogue already: one backup never stands in for two.
    private static func refuseListed(_ location: String, in session: ControlSession) throws {
        guard let other = try session.backups(includingDoomed: true).first(where: { $0.location == location }) else {
            return
        }
        throw BackupError(
            .callerTargetExists, "\(quoted(location)) is in the catalogue already, as backup \(other.id)",
            hint: "Each backup needs a name of its own.")
    }

    /// Refuses what a command hands back where it is not shown to be a new backup of the database as it stands now.
    private func refuseStale(
        _ manifest: BackupManifest, startedAt start: LogPosition?, _ level: BackupLevel
    ) async throws {
        let location = manifest.uri
        try await control.read { try Self.refuseListed(location, in: $0) }
        let position = manifest.position.flatMap { LogPosition($0) }
        if let position, let start, position < start {
            throw BackupError(
                .dataForeign,
                "backup \(quoted(location)) is older than it must be: it ends at \(position), the log stood at \(start)"
            )
        }
        guard manifest.stage == BackupStage.before.rawValue, level < .restored, position == nil || start == nil else {
            return
        }
        throw BackupError(
            .callerRequestInvalid, "backup \(quoted(location)) cannot be told from one made before the run",
            hint:
                "Have the command hand back \"position\", where the log stood at its end, or prove it with --verify restore."
        )
    }

    private func create(
        _ request: CreateRequest, _ stage: BackupStage, _ level: BackupLevel, _ source: InstanceRecord,
        with command: CommandBackupEngine
    ) async throws -> BackupEntry {
        let (started, held, position) = (seams.now(), try await liveKeyring(), try await command.position())
        var variables = ["KEYTURN_BACKUP_STAGE": stage.rawValue]
        variables["KEYTURN_BACKUP_RUN"] = request.run.map(String.init)
        let answer = try await command.create(variables)
        let now = seams.now()
        var manifest = BackupManifest(
            method: BackupDeclaration.Method.command.rawValue, uri: answer.uri, bytes: answer.bytes,
            sha256: answer.sha256 ?? "", tool: answer.tool, toolVersion: answer.toolVersion,
            started: started.description, finished: now.description, sourceID: source.id, nonce: source.nonce,
            epoch: source.epoch, position: answer.position, contains: ["data", "keyring"], keyIDs: [],
            keyIDsScanned: false, wrappedKeyIDs: [], wrappers: [], keyringSHA256: "",
            encrypted: answer.encrypted ?? false, wrappedBy: [],
            expiresAt: Retention(declaration).expiry(of: now)?.description, verified: BackupLevel.claimed.word,
            verifiedAt: now.description, run: request.run, stage: stage.rawValue)
        try await refuseStale(manifest, startedAt: position, level)
        try await prove(&manifest, with: command, level, mayShrink: request.mayShrink)
        try await list(held, in: &manifest, level)
        return try await enlist(manifest, isPinned: request.isPinned)
    }

    /// When in its run a backup is made.
    private func stage(of request: CreateRequest) async throws -> BackupStage {
        guard let id = request.run else {
            guard request.stage == nil || request.stage == .manual else {
                throw BackupError(.callerRequestInvalid, "a backup before or after a run must name the run")
            }
            return .manual
        }
        let run = try await control.read { try $0.run(id) }
        let natural: BackupStage = run.phase <= .before ? .before : .after
        let stage = request.stage ?? natural
        if stage == .before, natural != .before {
            throw BackupError(
                .callerRequestInvalid, "run \(id) has gone past the backup before it: it is in \(run.phase.rawValue)")
        }
        if stage == .after, run.phase < .after {
            throw BackupError(
                .callerRequestInvalid, "run \(id) is not yet at the backup after it: it is in \(run.phase.rawValue)")
        }
        return stage
    }

    /// How far a backup is proved: what was asked for, else what is declared, else every fourth by restoring.
    private func level(of request: CreateRequest) async throws -> BackupLevel {
        if let asked = request.verify ?? declaration.verify { return asked }
        let recent = try await control.read { try $0.backups() }.prefix(3)
        guard recent.contains(where: { $0.level >= .restored }) else { return .restored }
        let tools = recent.compactMap { try? BackupManifest.decode($0.manifest, of: $0.location) }
        guard declaration.method != .command, let newest = tools.first else { return .checksums }
        let tool = try await engine().tool()
        return newest.tool == tool.name && newest.toolVersion == tool.version ? .checksums : .restored
    }
}

/// Moves what an engine makes through encryption into a file.
private struct StorePipeline {
    let produce: Produce
    let cipher: AgeCipher?
    let recipients: [String]
    let bytesPerSecond: Int64?
    let patience: Duration

    func run(into target: Descriptor, name: String, _ isCancelled: Flag) throws -> Stream.Facts {
        var programs: [RunningProgram] = []
        let source: Descriptor
        switch produce {
        case .file(let path): source = try Descriptor(path, O_RDONLY)
        case .program(let program):
            let (reading, writing) = try Descriptor.pipe()
            programs.append(try program.start(input: nil, output: writing))
            writing.close()
            source = try paced(reading, programs[0], isCancelled)
        }
        var last = source
        if let cipher {
            let (reading, writing) = try Descriptor.pipe()
            programs.append(try cipher.seal(for: recipients, input: source, output: writing))
            source.close()
            writing.close()
            last = reading
        }
        let stream = Stream(
            source: last, producer: programs.first, target: target, targetName: name, patience: patience,
            isCancelled: isCancelled)
        do {
            let facts = try stream.run()
            for program in programs { try program.succeed(within: patience, isCancelled) }
            return facts
        } catch {
            for program in programs { program.end() }
            throw error
        }
    }

    /// Puts a brake between a program and what reads it; the program itself where there is none.
    private func paced(_ reading: Descriptor, _ program: RunningProgram, _ isCancelled: Flag) throws -> Descriptor {
        guard let bytesPerSecond else { return reading }
        let (slow, writing) = try Descriptor.pipe()
        let brake = Stream(
            source: reading, producer: program, target: writing, patience: patience, bytesPerSecond: bytesPerSecond,
            isCancelled: isCancelled)
        let held = BrakeThread(brake, closing: writing)
        held.start()
        return slow
    }
}

/// Runs a brake on a thread of its own; where it fails, its reader meets the end and the program's status says why.
private final class BrakeThread: @unchecked Sendable {
    // Safety: the stream is used by the one thread that ``start()`` makes.
    private let brake: Stream
    private let end: Descriptor

    init(_ brake: Stream, closing end: Descriptor) {
        self.brake = brake
        self.end = end
    }

    func start() {
        Thread.detachNewThread { [self] in
            ignoreBrokenPipes()
            do { _ = try brake.run() } catch { brake.producer?.end() }
            end.close()
        }
    }
}
