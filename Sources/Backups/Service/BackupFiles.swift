internal import ControlStore
internal import Foundation
internal import KeyModel

/// The files of one backup: under temporary names while they are made, moved to their names when they are whole.
struct BackupFiles: Sendable {
    /// The backup's own file.
    let path: String

    static let prefix = "keyturn-"
    static let partialSuffix = ".partial"

    init(
        directory: String, method: String, ending: String, isEncrypted: Bool, at time: Timestamp, run: Int64?,
        stage: BackupStage
    ) {
        // 20260301T030000123Z: sorts as time does, and is a name on every file system.
        let stamp = time.description.filter { $0.isNumber || $0 == "T" || $0 == "Z" }
        let whose = run.map { "-run\($0)-\(stage.rawValue)" } ?? ""
        path = "\(directory)/\(Self.prefix)\(stamp)\(whose)-\(method).\(ending)\(isEncrypted ? ".age" : "")"
    }

    /// Names the files of a backup that is there.
    init(path: String) { self.path = path }

    var partial: String { path + Self.partialSuffix }
    var staging: String { path + ".copy" + Self.partialSuffix }
    var manifest: String { Self.manifest(of: path) }
    var rootKey: String { path + ".root.age" }
    var rootKeyName: String { URL(filePath: rootKey).lastPathComponent }
    var rootKeyPartial: String { rootKey + Self.partialSuffix }

    static func manifest(of path: String) -> String { path + ".manifest.json" }

    /// Moves a file to its name, durably, and returns its checksum where that is wanted.
    func place(_ partial: String, _ path: String, _ isCancelled: Flag, hashes: Bool = true) throws -> String {
        let file = try Descriptor(partial, O_RDONLY)
        var digest = ""
        if hashes {
            digest = try Stream(source: file, patience: .seconds(60), isCancelled: isCancelled).run().sha256
        }
        guard fsync(file.number) == 0, link(partial, path) == 0, unlink(partial) == 0 else {
            throw BackupError.system("write", path)
        }
        try Folder.synchronize(of: path)
        return digest
    }

    func writeManifest(_ text: String) throws {
        let partial = manifest + Self.partialSuffix
        unlink(partial)
        let file = try Descriptor(partial, O_RDWR | O_CREAT | O_EXCL)
        let bytes = Array((text + "\n").utf8)
        let count = bytes.withUnsafeBytes { write(file.number, $0.baseAddress, $0.count) }
        guard count == bytes.count, fsync(file.number) == 0, rename(partial, manifest) == 0 else {
            throw BackupError.system("write", manifest)
        }
        try Folder.synchronize(of: manifest)
    }

    /// Removes all of them; what is not there is no failure.
    func remove() {
        for file in [manifest, manifest + Self.partialSuffix, rootKey, rootKeyPartial, staging, partial, path] {
            unlink(file)
        }
    }

    /// Removes all of them, durably.
    func removeForGood() throws {
        for file in [path, rootKey, manifest] where unlink(file) != 0 && errno != ENOENT {
            throw BackupError.system("remove", file)
        }
        // A folder that is gone holds nothing any more.
        guard access(URL(filePath: path).deletingLastPathComponent().path, F_OK) == 0 else { return }
        try Folder.synchronize(of: path)
    }
}

/// Keeps two processes from making or removing backups in one folder at once; the system lets go of it with the process.
final class DirectoryLock: Sendable {
    private let directory: String
    private let file: Descriptor

    /// Makes the folder, mode 0700, unless it is there, and takes its lock.
    ///
    /// - Throws: ``BackupError`` with `callerPolicyForbids` while another process holds it, or `storeUnavailable`.
    init(taking directory: String) throws(BackupError) {
        self.directory = directory
        try Folder.make(directory)
        file = try Descriptor(directory + "/.lock", O_RDWR | O_CREAT)
        guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else {
            throw BackupError(
                .callerPolicyForbids, "another process makes or removes backups in \(quoted(directory))",
                hint: "Wait for it.")
        }
    }

    /// Takes the lock as soon as whoever holds it lets go of it.
    ///
    /// - Throws: As ``init(taking:)``, once it has waited for so long; `CancellationError`.
    static func taking(_ directory: String, waiting patience: Duration) async throws -> DirectoryLock {
        let deadline = ContinuousClock.now + patience
        while true {
            let attempt = Result<DirectoryLock, any Error> { try DirectoryLock(taking: directory) }
            if case .failure(let error as BackupError) = attempt, error.code == .callerPolicyForbids,
                ContinuousClock.now < deadline
            {
                try await Task.sleep(for: .milliseconds(100))
            } else {
                return try attempt.get()
            }
        }
    }

    /// Gives the lock back.
    func release() { file.close() }

    /// Whether temporary files stand in a folder, be it that somebody is making them or has left them behind.
    static func hasPartials(in directory: String) -> Bool {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.contains { $0.hasPrefix(BackupFiles.prefix) && $0.hasSuffix(BackupFiles.partialSuffix) }
    }

    /// Removes what a process that was killed has left: temporary files, and files that were never proved.
    ///
    /// Without the catalogue only the temporary files go. A file with a manifest stays, whatever the catalogue says: the database may have been set back behind it.
    func clearPartials(known: [BackupRecord]? = nil) {
        let listed = Set((known ?? []).map(\.location))
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        for name in names where name.hasPrefix(BackupFiles.prefix) {
            let path = directory + "/" + name
            if name.hasSuffix(BackupFiles.partialSuffix) {
                unlink(path)
            } else if known != nil, !name.hasSuffix(".manifest.json"), !name.hasSuffix(".root.age"),
                !listed.contains(path),
                !names.contains(name + ".manifest.json")
            {
                BackupFiles(path: path).remove()
            }
        }
    }
}
