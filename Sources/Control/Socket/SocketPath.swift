internal import Foundation
internal import KeyModel

/// The place of a daemon's socket in the file system.
package struct SocketPath: Hashable, Sendable {
    /// The path.
    package let path: String

    /// Names a place; touches nothing.
    ///
    /// - Throws: ``ControlError`` with `callerUsage` for a path that the system cannot take.
    package init(_ path: String) throws(ControlError) {
        let bytes = path.utf8.count
        guard bytes <= Self.most else {
            throw ControlError(
                .callerUsage,
                "the socket's path is \(bytes) bytes long, and the system takes \(Self.most): \(quoted(path))",
                hint: "Give a shorter one with --socket, such as /run/keyturn/NAME.sock."
            )
        }
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw ControlError(.callerUsage, "\(quoted(path)) is no path of a socket")
        }
        self.path = path
    }

    /// Where an instance's daemon listens unless it is told otherwise.
    package init(ofInstance directory: String) throws(ControlError) { try self.init(directory + "/run/keyturn.sock") }

    /// The most bytes of a path.
    private static let most = 107

    /// The directory that holds it.
    var directory: String {
        let directory = URL(filePath: path).deletingLastPathComponent().path
        return directory.isEmpty ? "." : directory
    }

    /// Lends the address in the system's form.
    func withAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    /// Makes a stream socket; -1 with `errno` set where the system has none.
    static func makeSocket(isBlocking: Bool) -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | (isBlocking ? 0 : SOCK_NONBLOCK.rawValue)
        return socket(AF_UNIX, Int32(kind), 0)
    }
}
