#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// A file that is written whole under a temporary name beside its place, and then takes its place or none.
///
/// Only its owner may read it. A crash at any instant leaves either what was there before or the whole new file, and perhaps the
/// temporary one, which the next writer removes: its lock, gone with the writer, tells a leftover from work in progress.
struct NewFile: ~Copyable {
    let descriptor: FileDescriptor
    private let directory: FileDescriptor
    private let path: String
    private let temporary: String
    private var isPlaced = false

    /// Begins a file for a place.
    init(for path: String) throws(SystemError) {
        let temporary = path + ".new"
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
        let directory = try FileDescriptor(opening: folder + ".", O_RDONLY | O_DIRECTORY)
        let descriptor = try Self.claim(temporary)
        self.path = path
        self.temporary = temporary
        self.directory = directory
        self.descriptor = descriptor
    }

    deinit { if !isPlaced { unlink(temporary) } }

    /// Makes the file durable and gives it its name.
    ///
    /// - Parameter replacing: Whether another file may stand there; without it, one that does is left alone.
    /// - Throws: ``SystemError``, `EEXIST` among others.
    mutating func place(replacing: Bool) throws(SystemError) {
        try descriptor.synchronize()
        if replacing {
            guard rename(temporary, path) == 0 else { throw SystemError.last }
        } else {
            // Unlike `rename`, `link` never takes the name from another file.
            guard link(temporary, path) == 0, unlink(temporary) == 0 else { throw SystemError.last }
        }
        isPlaced = true
        try directory.synchronize()
    }

    /// Creates the temporary file and locks it, removing what a crashed writer left.
    ///
    /// - Throws: ``SystemError`` with `EBUSY` while another writer is at work.
    private static func claim(_ path: String) throws(SystemError) -> FileDescriptor {
        for _ in 0..<8 {
            let fresh = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
            if fresh >= 0 {
                let file = FileDescriptor(owning: fresh)
                if try file.lock(), try file.stands(at: path) { return file }
            } else {
                guard errno == EEXIST else { throw SystemError.last }
                try removeLeftover(path)
            }
        }
        throw SystemError(number: EBUSY)
    }

    private static func removeLeftover(_ path: String) throws(SystemError) {
        let leftover = try FileDescriptor(opening: path, O_RDWR)
        guard try leftover.lock() else { throw SystemError(number: EBUSY) }
        if try leftover.stands(at: path), unlink(path) != 0 { throw SystemError.last }
    }
}

extension FileDescriptor {
    /// Locks the file; false where another holder keeps it.
    fileprivate borrowing func lock() throws(SystemError) -> Bool {
        if flock(rawValue, LOCK_EX | LOCK_NB) == 0 { return true }
        guard errno == EWOULDBLOCK else { throw SystemError.last }
        return false
    }

    /// Whether the path still leads to this file.
    fileprivate borrowing func stands(at path: String) throws(SystemError) -> Bool {
        let own = try status()
        var found = stat()
        return lstat(path, &found) == 0 && found.st_ino == own.st_ino && found.st_dev == own.st_dev
    }
}
