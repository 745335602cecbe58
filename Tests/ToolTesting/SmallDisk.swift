import Foundation

/// A file system in memory with little room, owned by a user of the system where one is named.
package struct SmallDisk {
    /// Where it is mounted.
    package let path: String

    /// Whether this process may mount anything.
    package static let canBeMounted: Bool = {
        guard let disk = try? SmallDisk(bytes: 1 << 16) else { return false }
        disk.unmount()
        return true
    }()

    /// Mounts one, at a folder of its own where none is named.
    ///
    /// - Throws: The system's refusal.
    package init(at place: String? = nil, bytes: Int, owner: String? = nil, isReadOnly: Bool = false) throws {
        let own = FileManager.default.temporaryDirectory.appending(path: "keyturn-space-\(UUID().uuidString)").path
        path = place ?? own
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", isReadOnly ? UInt(MS_RDONLY) : 0, "size=\(bytes),mode=0700") == 0 else {
            try FileManager.default.removeItem(atPath: path)
            throw CocoaError(.fileWriteNoPermission)
        }
        if let owner, let user = getpwnam(owner) { chown(path, user.pointee.pw_uid, user.pointee.pw_gid) }
    }

    /// Takes all the room that is left, in a file.
    ///
    /// - Throws: The system's refusal to make the file.
    package func fill() throws {
        let filler = path + "/filler"
        guard FileManager.default.createFile(atPath: filler, contents: nil),
            let file = FileHandle(forWritingAtPath: filler)
        else { throw CocoaError(.fileWriteUnknown) }
        let block = Data(count: 4096)
        while (try? file.write(contentsOf: block)) != nil {}
        try? file.close()
    }

    /// Gives the room back that ``fill()`` took.
    ///
    /// - Throws: The system's refusal.
    package func empty() throws { try FileManager.default.removeItem(atPath: path + "/filler") }

    /// Takes it away.
    package func unmount() {
        // What has just ended may hold it for a moment.
        for _ in 0..<50 where umount2(path, 0) != 0 { usleep(100_000) }
        try? FileManager.default.removeItem(atPath: path)
    }
}
