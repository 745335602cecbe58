internal import Glibc
internal import KeyModel

/// Where the files of a time zone database come from.
package protocol ZoneSource: Sendable {
    /// The place, for messages.
    var place: String { get }

    /// Reads a file; nil where there is none.
    ///
    /// - Throws: ``SchedulingError`` with `storeZonesUnavailable`, also for a file larger than the limit.
    func contents(of name: String, limit: Int) throws(SchedulingError) -> [UInt8]?
}

/// A directory in the form of `/usr/share/zoneinfo`.
package struct ZoneDirectory: ZoneSource {
    /// The directory.
    package let root: String

    /// Names a directory.
    package init(root: String) { self.root = root }

    /// The directory, quoted.
    package var place: String { quoted(root) }

    /// Reads a regular file below the directory; links are followed, since the database uses them for old names.
    package func contents(of name: String, limit: Int) throws(SchedulingError) -> [UInt8]? {
        let descriptor = open("\(root)/\(name)", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            guard errno == ENOENT || errno == ENOTDIR else { throw unreadable(name, "it cannot be opened") }
            return nil
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw unreadable(name, "it is no regular file")
        }
        return try read(descriptor, name, limit: limit)
    }

    private func read(_ descriptor: Int32, _ name: String, limit: Int) throws(SchedulingError) -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(name, "it cannot be read") }
            guard count > 0 else { return result }
            result += buffer[..<count]
            guard result.count <= limit else { throw unreadable(name, "it is larger than \(limit >> 10) KiB") }
        }
    }

    private func unreadable(_ name: String, _ reason: String) -> SchedulingError {
        SchedulingError(.storeZonesUnavailable, "cannot read \(quoted("\(root)/\(name)")): \(reason)")
    }
}
