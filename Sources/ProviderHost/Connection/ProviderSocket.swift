internal import CProcess
internal import Foundation
internal import KeyModel
package import PluginKit

/// A Unix socket where a provider listens, and who may listen there.
package struct ProviderSocket: Hashable, Sendable {
    /// Its path, absolute.
    package let path: String
    /// The users that may stand behind it.
    package let users: Set<UInt32>

    /// Names a socket.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured` where the path cannot be a socket's.
    package init(path: String, users: Set<UInt32>) throws(ProviderError) {
        guard path.hasPrefix("/"), !path.utf8.contains(0), path.utf8.count <= PrivateDirectory.maximumSocketPath else {
            throw ProviderError(
                .providerMisconfigured, "\(quoted(path)) cannot be a socket's path",
                hint: "Give an absolute path of at most 107 bytes, as in unix:///run/kms/plugin.sock."
            )
        }
        self.path = path
        self.users = users
    }

    /// Reads `unix:///…`; names in the abstract namespace are refused, since anyone may bind them.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured`.
    package init(endpoint: String, users: Set<UInt32>) throws(ProviderError) {
        guard endpoint.hasPrefix("unix:///"), !endpoint.hasPrefix("unix:///@") else {
            throw ProviderError(
                .providerMisconfigured, "\(quoted(endpoint)) is no endpoint",
                hint: "Write it as unix:///run/kms/plugin.sock; abstract names are not protected and not used."
            )
        }
        try self.init(path: String(endpoint.dropFirst("unix://".count)), users: users)
    }

    /// Connects, and makes sure of who listens before a byte is sent.
    ///
    /// - Returns: The connected descriptor, which the caller owns.
    /// - Throws: `ProviderError` with `providerUnavailable` where nobody listens, `providerDenied` where the wrong one does.
    func connect() throws(ProviderError) -> Int32 {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { throw unreachable(SystemText.last) }
        guard facts.st_mode & S_IFMT == S_IFSOCK else {
            throw ProviderError(.providerMisconfigured, "\(quoted(path)) is no socket", hint: "Remove it.")
        }
        guard users.contains(facts.st_uid) else { throw squatted("it belongs to user \(facts.st_uid)") }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
        guard descriptor >= 0 else { throw unreachable(SystemText.last) }
        do throws(ProviderError) {
            try connect(descriptor)
            try checkPeer(of: descriptor)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private func connect(_ descriptor: Int32) throws(ProviderError) {
        Pipes.makeNonBlocking(descriptor)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            throw unreachable(errno == ECONNREFUSED ? "nobody listens there" : SystemText.last)
        }
    }

    private func checkPeer(of descriptor: Int32) throws(ProviderError) {
        var (user, group, pid): (UInt32, UInt32, Int32) = (0, 0, 0)
        guard kt_socket_peer(descriptor, &user, &group, &pid) == 0 else { throw unreachable(SystemText.last) }
        guard users.contains(user) else { throw squatted("user \(user) listens there") }
    }

    private func unreachable(_ why: String) -> ProviderError {
        ProviderError(
            .providerUnavailable, "cannot reach \(quoted(path)): \(why)", hint: "Check that the plugin is running.")
    }

    private func squatted(_ why: String) -> ProviderError {
        ProviderError(
            .providerDenied, "will not talk to \(quoted(path)): \(why)",
            hint: "Let root or the daemon's own user run the plugin, or name its user with user = …."
        )
    }
}
