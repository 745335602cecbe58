internal import CProcess
internal import Foundation

/// Finds out who is at the other end of a socket.
///
/// What the kernel noted comes at once; names come from the system's databases, which may ask the network, so they are
/// looked up on threads that may wait.
struct PeerLookup: Sendable {
    /// What the kernel noted when the connection was made.
    struct Credentials: Hashable, Sendable {
        let uid: UInt32
        let gid: UInt32
        let pid: Int32

        /// Asks the kernel; nil for what is no connected Unix socket.
        init?(of socket: Int32) {
            var (uid, gid, pid): (UInt32, UInt32, Int32) = (0, 0, 0)
            guard kt_socket_peer(socket, &uid, &gid, &pid) == 0 else { return nil }
            self.uid = uid
            self.gid = gid
            self.pid = pid
        }
    }

    private static let queue = DispatchQueue(label: "keyturn.peers", attributes: .concurrent)

    /// Names the user and its groups.
    func peer(_ credentials: Credentials, by way: Peer.Way) async -> Peer {
        let (user, groups) = await withCheckedContinuation { continuation in
            Self.queue.async { continuation.resume(returning: Self.names(of: credentials)) }
        }
        return Peer(
            uid: credentials.uid, gid: credentials.gid, pid: credentials.pid, user: user, groups: groups, way: way)
    }

    private static func names(of credentials: Credentials) -> (String, Set<String>) {
        let user = userName(credentials.uid)
        let ids = user.map { groupIDs(of: $0, main: credentials.gid) } ?? [credentials.gid]
        return (user ?? "\(credentials.uid)", Set(ids.compactMap(groupName)))
    }

    private static func groupIDs(of user: String, main: gid_t) -> [gid_t] {
        var count: Int32 = 64
        // More groups than the system lets a process have are not looked for.
        for _ in 0..<2 {
            var ids = [gid_t](repeating: 0, count: Int(count))
            if getgrouplist(user, main, &ids, &count) >= 0 { return Array(ids.prefix(Int(max(0, count)))) }
            count = min(max(count, 64), 65_536)
        }
        return [main]
    }

    private static func userName(_ uid: uid_t) -> String? {
        withRoom { room, size in
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            let code = getpwuid_r(uid, &entry, room, size, &found)
            return (code, found.flatMap { text($0.pointee.pw_name) })
        }
    }

    private static func groupName(_ gid: gid_t) -> String? {
        withRoom { room, size in
            var entry = group()
            var found: UnsafeMutablePointer<group>?
            let code = getgrgid_r(gid, &entry, room, size, &found)
            return (code, found.flatMap { text($0.pointee.gr_name) })
        }
    }

    private static func text(_ characters: UnsafePointer<CChar>?) -> String? { characters.map { String(cString: $0) } }

    /// Lends room for an entry, more of it where it was too little, up to 1 MiB.
    private static func withRoom(_ body: (UnsafeMutablePointer<CChar>, Int) -> (Int32, String?)) -> String? {
        var size = 4096
        while size <= 1 << 20 {
            var room = [CChar](repeating: 0, count: size)
            let (code, name) = room.withUnsafeMutableBufferPointer { buffer in
                buffer.baseAddress.map { body($0, buffer.count) } ?? (0, nil)
            }
            guard code == ERANGE else { return name }
            size *= 4
        }
        return nil
    }
}
