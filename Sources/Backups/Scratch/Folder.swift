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
final class ScratchFolder: Sendable {
    let folder: String

    static let prefix = ".keyturn-scratch-"

    /// Makes a folder beneath another one.
    init(in parent: String) throws(BackupError) {
        folder = parent + "/" + Self.prefix + UUID().uuidString.prefix(8).lowercased()
        guard mkdir(folder, 0o700) == 0 else { throw .system("make", folder) }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// A path in it.
    func path(_ name: String) -> String { folder + "/" + name }

    /// Removes what a process that was killed has left behind.
    static func clear(in parent: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names where name.hasPrefix(prefix) {
            try? FileManager.default.removeItem(atPath: parent + "/" + name)
        }
    }
}
