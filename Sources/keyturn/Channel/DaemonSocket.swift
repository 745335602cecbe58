internal import Control
internal import ControlStore
internal import Foundation

/// The socket of an instance's daemon; the one place where socket or own process is chosen.
///
/// `--embedded` is the own process. A socket that is named, by `--socket` or, where no `--instance` is given, by
/// `KEYTURN_SOCKET`, must be listened to. The instance's own is used where a daemon listens.
enum DaemonSocket {
    /// The socket that is named; nil where none is.
    static func named(_ global: GlobalOptions) -> String? {
        if let socket = global.socket { return socket }
        guard global.instance == nil else { return nil }
        return ProcessInfo.processInfo.environment["KEYTURN_SOCKET"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Opens a session with the daemon; nil where the work is to be done in this process.
    ///
    /// - Throws: ``ControlError`` where a daemon is named or listens and does not let us in, or ``CommandError`` where no
    ///   instance is named.
    static func channel(_ global: GlobalOptions, _ hello: SessionHello) async throws -> SocketChannel? {
        if global.embedded { return nil }
        if let named = named(global) {
            return try await SocketChannel.connect(to: try SocketPath(named), hello: hello)
        }
        let directory = try global.directory()
        // Where the path is too long for a socket, no daemon listens there.
        guard let path = try? SocketPath(ofInstance: directory.path) else { return nil }
        return try await SocketChannel.connectIfListening(to: path, hello: hello, owner: owner(of: directory))
    }

    private static func owner(of directory: InstanceDirectory) -> UInt32? {
        var facts = stat()
        return stat(directory.path, &facts) == 0 ? facts.st_uid : nil
    }
}
