internal import Dispatch
internal import Glibc
internal import KeyModel
internal import Synchronization

/// Offers a registry's figures to whoever asks on a loopback address: `GET /metrics` over HTTP/1.1, nothing else.
///
/// One request a connection, one connection at a time, 8 KiB and two seconds each; there is nothing in it that is secret, and
/// nothing that can be changed.
package final class FigureListener: Sendable {
    private let registry: FigureRegistry
    private let socket: Int32
    private let isEnded = Atomic(false)
    private let queue = DispatchQueue(label: "keyturn.figures")
    /// The port, also where the system chose it.
    package let port: UInt16

    private static let mostBytes = 8192
    private static let patience = Duration.seconds(2)

    /// Takes an address.
    ///
    /// - Parameters:
    ///   - address: `127.0.0.1:PORT`; port 0 lets the system choose.
    ///   - registry: The figures.
    /// - Throws: ``MonitoringError`` with `callerAddressMalformed` for anything but a loopback address, or
    ///   `storeAddressUnavailable`.
    package init(on address: String, _ registry: FigureRegistry) throws(MonitoringError) {
        self.registry = registry
        let parts = address.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "127.0.0.1" || parts[0] == "localhost", let wanted = UInt16(parts[1]) else {
            throw MonitoringError(
                .callerAddressMalformed, "\(quoted(address)) is no address for figures",
                hint: "Write it as 127.0.0.1:9464; they are offered on this machine alone.")
        }
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = wanted.bigEndian
        place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var (yes, length) = (Int32(1), socklen_t(MemoryLayout<sockaddr_in>.size))
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let handle = socket
        let isBound = withUnsafeMutablePointer(to: &place) { place in
            place.withMemoryRebound(to: sockaddr.self, capacity: 1) { place in
                bind(handle, place, length) == 0 && listen(handle, 16) == 0 && getsockname(handle, place, &length) == 0
            }
        }
        port = UInt16(bigEndian: place.sin_port)
        guard isBound else {
            let reason = String(cString: strerror(errno))
            close(handle)
            throw MonitoringError(
                .storeAddressUnavailable, "cannot listen on \(quoted(address)): \(reason)",
                hint: "Choose another port.")
        }
    }

    deinit { close(socket) }

    /// Answers until it is cancelled.
    package func run() async throws {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                queue.async {
                    self.serve()
                    continuation.resume()
                }
            }
        } onCancel: {
            isEnded.store(true, ordering: .relaxed)
        }
    }

    private func serve() {
        while !isEnded.load(ordering: .relaxed) {
            guard Self.wait(for: socket, Int16(POLLIN), .milliseconds(200)) else { continue }
            let connection = accept(socket, nil, nil)
            guard connection >= 0 else { continue }
            _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
            _ = fcntl(connection, F_SETFL, O_NONBLOCK)
            answer(connection)
            close(connection)
        }
    }

    private func answer(_ connection: Int32) {
        let end = ContinuousClock.now + Self.patience
        guard let head = Self.readHead(connection, until: end) else { return }
        let response = Array(response(to: head).utf8)
        var sent = 0
        while sent < response.count, Self.wait(for: connection, Int16(POLLOUT), end - .now) {
            let count = response[sent...].withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
        shutdown(connection, Int32(SHUT_WR))
        Self.drain(connection, until: end)
    }

    /// Reads what still comes: closing before that would reset the connection, and the answer with it (RFC 9112 §9.6).
    private static func drain(_ connection: Int32, until end: ContinuousClock.Instant) {
        var piece = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<256 {
            guard wait(for: connection, Int16(POLLIN), end - .now), recv(connection, &piece, piece.count, 0) > 0 else {
                return
            }
        }
    }

    private func response(to head: [UInt8]) -> String {
        guard head.count < Self.mostBytes else { return Self.plain("431 Request Header Fields Too Large") }
        let line = String(decoding: head.prefix { $0 != 13 && $0 != 10 }, as: UTF8.self)
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { return Self.plain("400 Bad Request") }
        guard words[0] == "GET" else { return Self.plain("405 Method Not Allowed") }
        guard words[1] == "/metrics" else { return Self.plain("404 Not Found") }
        return Self.message("200 OK", "text/plain; version=0.0.4; charset=utf-8", registry.text)
    }

    private static func plain(_ status: String) -> String { message(status, "text/plain", status + "\n") }

    private static func message(_ status: String, _ type: String, _ body: String) -> String {
        "HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
    }

    /// The bytes up to the empty line, or as many as are taken; nil where they do not come in time.
    private static func readHead(_ connection: Int32, until end: ContinuousClock.Instant) -> [UInt8]? {
        var head: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 2048)
        while head.count < mostBytes, wait(for: connection, Int16(POLLIN), end - .now) {
            let count = recv(connection, &piece, min(piece.count, mostBytes - head.count), 0)
            guard count > 0 else { return nil }
            head += piece[..<count]
            if head.ends(withEmptyLine: count) { return head }
        }
        return head.count >= mostBytes ? head : nil
    }

    private static func wait(for descriptor: Int32, _ events: Int16, _ patience: Duration) -> Bool {
        var entry = pollfd(fd: descriptor, events: events, revents: 0)
        return poll(&entry, 1, Int32(max(0, min(patience / .milliseconds(1), 10_000)))) > 0
    }
}

extension [UInt8] {
    /// Whether an empty line stands in the last bytes that came.
    fileprivate func ends(withEmptyLine count: Int) -> Bool {
        let tail = Array(suffix(count + 3))
        guard tail.count >= 4 else { return false }
        return (0...tail.count - 4).contains { start in Array(tail[start..<start + 4]) == [13, 10, 13, 10] }
    }
}
