internal import CProcess
internal import ControlStore
internal import Foundation
internal import KeyModel

/// A socket that takes connections, at a place that no other daemon uses.
///
/// A file is removed only where it is a socket of our own to which nobody listens: connecting to it is refused, and the
/// lock beside it, which a daemon holds as long as it lives, is free.
final class ListeningSocket: Sendable {
    /// The socket.
    let descriptor: Int32
    private let place: Place?

    /// What was made in the file system and goes with the socket.
    private struct Place {
        let path: SocketPath
        let lock: Int32
        let device: dev_t
        let inode: ino_t
    }

    /// Listens at a path; makes its directory, mode 0750, where it is missing.
    ///
    /// - Throws: ``ControlError`` with `storeDaemonUnreachable` where another daemon listens or another file is in the
    ///   way, and `callerNotAllowed` where others could put a socket of their own there.
    init(at path: SocketPath) throws {
        try Self.prepareDirectory(of: path)
        let lock = try Self.takeLock(path)
        do {
            try Self.clear(path)
            let descriptor = SocketPath.makeSocket(isBlocking: false)
            guard descriptor >= 0 else { throw Self.failed("make", path) }
            do {
                place = try Self.bind(descriptor, at: path, lock: lock)
                self.descriptor = descriptor
            } catch {
                close(descriptor)
                throw error
            }
        } catch {
            close(lock)
            throw error
        }
    }

    /// Takes over a socket that the service manager listens on; nil where it handed over none.
    ///
    /// - Throws: ``ControlError`` with `callerUsage` where it is of another kind.
    init?(fromManager environment: [String: String]) throws(ControlError) {
        guard let pid = environment["LISTEN_PID"], pid == "\(getpid())",
            let count = environment["LISTEN_FDS"].flatMap({ Int($0) }), count > 0
        else { return nil }
        let first: Int32 = 3
        guard count == 1, Self.option(SO_DOMAIN, of: first) == AF_UNIX, Self.option(SO_ACCEPTCONN, of: first) == 1,
            Self.option(SO_TYPE, of: first) == Int32(SOCK_STREAM.rawValue)
        else {
            throw ControlError(
                .callerUsage, "the service manager handed over what is not one listening Unix socket",
                hint: "Give the socket unit one ListenStream= with a path."
            )
        }
        _ = fcntl(first, F_SETFD, FD_CLOEXEC)
        _ = fcntl(first, F_SETFL, fcntl(first, F_GETFL) | O_NONBLOCK)
        descriptor = first
        place = nil
    }

    deinit {
        close(descriptor)
        if let place { close(place.lock) }
    }

    /// Removes the file, if it is still ours, so that clients see at once that nobody listens.
    func removeFile() {
        guard let place else { return }
        var facts = stat()
        guard lstat(place.path.path, &facts) == 0, facts.st_dev == place.device, facts.st_ino == place.inode else {
            return
        }
        unlink(place.path.path)
    }

    // MARK: Making

    /// Makes the directory, or makes sure that nobody else can put anything into it.
    private static func prepareDirectory(of path: SocketPath) throws(ControlError) {
        let directory = path.directory
        if mkdir(directory, 0o750) != 0, errno != EEXIST { throw failed("make the directory of", path) }
        var facts = stat()
        guard stat(directory, &facts) == 0 else { throw failed("look at the directory of", path) }
        guard facts.st_mode & S_IFMT == S_IFDIR else {
            throw inTheWay("\(quoted(directory)) is no directory", "Move it away, or give another path with --socket.")
        }
        guard facts.st_uid == geteuid() || facts.st_uid == 0, facts.st_mode & 0o022 == 0 else {
            throw ControlError(
                .callerNotAllowed, "others can put files into \(quoted(directory)), where the socket is to be",
                hint: "Give a directory of the daemon's user, mode 0750, with --socket."
            )
        }
    }

    /// Takes the lock beside the socket, so that of two daemons that start at once one finds the other.
    private static func takeLock(_ path: SocketPath) throws(ControlError) -> Int32 {
        let lock = open(path.path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else { throw failed("lock", path) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw sibling(path, process: nil)
        }
        return lock
    }

    /// Makes room for the socket's file; leaves alone whatever is not the rest of a daemon of ours.
    private static func clear(_ path: SocketPath) throws(ControlError) {
        var facts = stat()
        guard lstat(path.path, &facts) == 0 else {
            guard errno == ENOENT else { throw failed("look at", path) }
            return
        }
        guard facts.st_mode & S_IFMT == S_IFSOCK else {
            throw inTheWay("\(quoted(path.path)) is there and no socket", "Move it away, or give another path.")
        }
        try checkSilence(path)
        guard facts.st_uid == geteuid() else {
            throw inTheWay(
                "\(quoted(path.path)) is what another user's daemon left (uid \(facts.st_uid))",
                "Remove it if that daemon is gone, or give another path.")
        }
        guard unlink(path.path) == 0 else { throw failed("remove what a daemon left at", path) }
    }

    /// Makes sure that nobody listens.
    private static func checkSilence(_ path: SocketPath) throws(ControlError) {
        let probe = SocketPath.makeSocket(isBlocking: false)
        guard probe >= 0 else { throw failed("try", path) }
        defer { close(probe) }
        let isConnected = path.withAddress { connect(probe, $0, $1) } == 0
        if isConnected {
            var (uid, gid, pid): (UInt32, UInt32, Int32) = (0, 0, 0)
            throw sibling(path, process: kt_socket_peer(probe, &uid, &gid, &pid) == 0 ? pid : nil)
        }
        guard errno == ECONNREFUSED else {
            throw errno == EAGAIN ? sibling(path, process: nil) : failed("try", path)
        }
    }

    /// Binds and listens; nobody can connect before the mode is as it must be.
    private static func bind(_ descriptor: Int32, at path: SocketPath, lock: Int32) throws(ControlError) -> Place {
        guard path.withAddress({ Glibc.bind(descriptor, $0, $1) }) == 0 else { throw failed("make", path) }
        var facts = stat()
        guard chmod(path.path, 0o660) == 0, lstat(path.path, &facts) == 0, listen(descriptor, 1024) == 0 else {
            throw failed("listen at", path)
        }
        return Place(path: path, lock: lock, device: facts.st_dev, inode: facts.st_ino)
    }

    private static func option(_ option: Int32, of descriptor: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, option, &value, &length) == 0 ? value : nil
    }

    // MARK: What stands in the way

    private static func sibling(_ path: SocketPath, process: Int32?) -> ControlError {
        inTheWay(
            "a daemon listens at \(quoted(path.path)) already\(process.map { ": process \($0)" } ?? "")",
            "Stop it first, or give another path with --socket.")
    }

    private static func inTheWay(_ message: String, _ hint: String) -> ControlError {
        ControlError(.storeDaemonUnreachable, "cannot listen: \(message)", hint: hint)
    }

    private static func failed(_ what: String, _ path: SocketPath) -> ControlError {
        ControlError(
            .storeDaemonUnreachable, "cannot \(what) \(quoted(path.path)): \(String(cString: strerror(errno)))",
            hint: "Check the directory's owner and mode, and the room on its disk."
        )
    }
}
