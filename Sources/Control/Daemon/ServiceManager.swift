internal import CProcess
internal import Foundation

/// Tells the service manager (systemd) how the daemon is; does nothing where there is none.
///
/// It is a datagram to the socket that `NOTIFY_SOCKET` names; see sd_notify(3).
package struct ServiceManager: Sendable {
    private let socketName: String?
    /// How often the manager wants to hear that the daemon lives; nil where it does not.
    package let watchdog: Duration?

    /// Reads what the manager wants from the environment.
    package init(environment: [String: String]) {
        let name = environment["NOTIFY_SOCKET"]
        // A path or, behind an @, a name of the abstract kind; both with room in the address.
        let isUsable = name.map { ($0.hasPrefix("/") || $0.hasPrefix("@")) && (2...107).contains($0.utf8.count) }
        socketName = isUsable == true ? name : nil
        let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        let interval = environment["WATCHDOG_USEC"].flatMap { Int64($0) }.flatMap { $0 > 0 ? $0 : nil }
        watchdog = isMeant && socketName != nil ? interval.map { .microseconds($0) / 2 } : nil
    }

    /// Says that the daemon listens.
    package func becameReady(_ status: String) { send("READY=1\nSTATUS=\(line(status))") }

    /// Says that the daemon reads its configuration again, which ends with ``becameReady(_:)``.
    package func isReloading() {
        send("RELOADING=1\nMONOTONIC_USEC=\(kt_monotonic_nanoseconds() / 1000)")
    }

    /// Says what the daemon does.
    package func does(_ status: String) { send("STATUS=\(line(status))") }

    /// Says that the daemon is stopping.
    package func isStopping(_ status: String) { send("STOPPING=1\nSTATUS=\(line(status))") }

    /// Says that the daemon lives.
    package func lives() { send("WATCHDOG=1") }

    private func line(_ text: String) -> String { text.replacing("\n", with: " ") }

    private func send(_ text: String) {
        guard let socketName else { return }
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(socketName.utf8)
        if name.first == UInt8(ascii: "@") { name[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let bytes = Array(text.utf8)
        withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
