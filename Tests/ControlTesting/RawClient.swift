internal import CProcess
package import Control
internal import Foundation
package import Frames

/// A client that says whatever it likes, byte for byte.
///
/// What blocks does so on a thread of its own, since the server under test needs those of the pool.
package final class RawClient: Sendable {
    private let descriptor: Int32
    private let queue = DispatchQueue(label: "raw client")

    /// Connects.
    ///
    /// - Throws: A POSIX error.
    package init(to path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }

    deinit { close(descriptor) }

    /// Sends bytes; false where the other end takes no more.
    @discardableResult
    package func send(_ bytes: [UInt8]) async -> Bool {
        await onThread { descriptor in
            var sent = 0
            while sent < bytes.count {
                let part = bytes[sent...].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard part > 0 else { return false }
                sent += part
            }
            return true
        }
    }

    /// Sends a value as a frame.
    ///
    /// - Throws: ``FrameError``.
    @discardableResult
    package func send(_ value: FrameValue) async throws -> Bool { await send(try FrameEncoder().frame(value)) }

    /// Sends a value as a frame whose first byte carries descriptors.
    ///
    /// - Throws: ``FrameError``.
    package func send(_ value: FrameValue, descriptors: [Int32]) async throws {
        let bytes = try FrameEncoder().frame(value)
        await onThread { descriptor in
            _ = kt_socket_send(descriptor, bytes, bytes.count, descriptors, descriptors.count)
        }
    }

    /// Says hello as clients of ours do, and waits to be let in.
    ///
    /// - Throws: ``FrameError``, or a POSIX error where it is not let in.
    package func greet() async throws {
        try await send(ClientMessage.hello(version: Wire.version, SessionHello(way: .call, isInteractive: false)).frame)
        guard try await messages(atMost: 1) == [.hello(version: Wire.version)] else { throw POSIXError(.ECONNREFUSED) }
    }

    /// Asks for something.
    ///
    /// - Throws: ``FrameError``.
    package func request(_ id: Int64, _ request: ControlRequest) async throws {
        try await send(ClientMessage.request(id: id, request, descriptors: 0).frame)
    }

    /// Reads everything until the other end closes or a minute passes.
    ///
    /// - Throws: ``FrameError`` or ``ControlError`` for what is no message.
    package func messages(atMost most: Int = .max) async throws -> [DaemonMessage] {
        let outcome: Result<[DaemonMessage], any Error> = await onThread { descriptor in
            Result {
                var reader = FrameReader()
                var messages: [DaemonMessage] = []
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while messages.count < most {
                    if let value = try reader.next() {
                        messages.append(try DaemonMessage(value))
                        continue
                    }
                    let got = recv(descriptor, &buffer, buffer.count, 0)
                    guard got > 0 else { break }
                    reader.append(buffer[..<got])
                }
                return messages
            }
        }
        return try outcome.get()
    }

    /// Says that nothing more is sent.
    package func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    private func onThread<Value: Sendable>(_ body: @escaping @Sendable (Int32) -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            queue.async { [self] in continuation.resume(returning: body(descriptor)) }
        }
    }
}
