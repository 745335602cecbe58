internal import Foundation
internal import KeyModel

/// Folders and what they can hold.
enum Folder {
    /// Makes a folder that nobody else can look into, unless it is there.
    static func make(_ path: String) throws(BackupError) {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw .system("make", path) }
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw .system("look at", path) }
        guard facts.st_mode & S_IFMT == S_IFDIR else {
            throw BackupError(.storeUnavailable, "cannot keep backups in \(quoted(path)): it is no folder")
        }
    }

    /// Makes the name of a file durable.
    static func synchronize(of path: String) throws(BackupError) {
        let folder = URL(filePath: path).deletingLastPathComponent().path
        let directory = try Descriptor(folder, O_RDONLY | O_DIRECTORY)
        guard fsync(directory.number) == 0 else { throw .system("write", folder) }
    }

    /// The room left where a folder stands, in bytes.
    static func freeBytes(at path: String) throws(BackupError) -> Int64 {
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else { throw .system("look at", path) }
        let (product, overflow) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
        return overflow ? .max : Int64(clamping: product)
    }
}

/// A folder for what is restored aside, readable by nobody else; it goes with its scope.
///
/// As long as it is used, a file in it is locked, so that no other process takes it for one that was left behind.
final class ScratchFolder: Sendable {
    let folder: String
    private let lock: Descriptor

    static let prefix = ".keyturn-scratch-"
    private static let lockName = "/.lock"

    /// Makes a folder beneath another one.
    init(in parent: String) throws(BackupError) {
        var made: (folder: String, lock: Descriptor)?
        // Between its making and its lock, somebody who clears up may have taken it away: then it is made anew.
        for _ in 0..<100 where made == nil { made = try Self.attempt(in: parent) }
        guard let made else { throw .system("lock", parent, number: EBUSY) }
        (folder, lock) = made
    }

    private static func attempt(in parent: String) throws(BackupError) -> (folder: String, lock: Descriptor)? {
        let folder = parent + "/" + prefix + UUID().uuidString.prefix(8).lowercased()
        guard mkdir(folder, 0o700) == 0 else { throw .system("make", folder) }
        guard let lock = try? Descriptor(folder + lockName, O_RDWR | O_CREAT) else {
            guard access(folder, F_OK) == 0 else { return nil }
            let failure = BackupError.system("write in", folder)
            rmdir(folder)
            throw failure
        }
        var (held, named) = (stat(), stat())
        guard flock(lock.number, LOCK_EX | LOCK_NB) == 0, fstat(lock.number, &held) == 0,
            stat(folder + lockName, &named) == 0, held.st_ino == named.st_ino
        else { return nil }
        return (folder, lock)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// A path in it.
    func path(_ name: String) -> String { folder + "/" + name }

    /// Removes what a process that was killed has left behind: the folders whose lock nobody holds.
    ///
    /// Where others may write too, as in `/var/tmp`, what is theirs or a link is left alone.
    static func clear(in parent: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names where name.hasPrefix(prefix) {
            let folder = parent + "/" + name
            var facts = stat()
            guard lstat(folder, &facts) == 0, facts.st_mode & S_IFMT == S_IFDIR, facts.st_uid == geteuid() else {
                continue
            }
            guard let lock = try? Descriptor(folder + lockName, O_RDWR | O_CREAT),
                flock(lock.number, LOCK_EX | LOCK_NB) == 0
            else { continue }
            try? FileManager.default.removeItem(atPath: folder)
        }
    }
}
