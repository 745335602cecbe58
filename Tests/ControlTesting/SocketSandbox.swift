package import Control
internal import Foundation
package import Logging

/// A folder with a socket in it, gone at the end of the test.
package final class SocketSandbox: Sendable {
    /// The folder, mode 0755.
    package let folder: String
    /// The socket's path.
    package var path: String { folder + "/k.sock" }

    /// Makes a folder with a short name.
    package init() throws {
        var name = Array("/tmp/kt-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw CocoaError(.fileWriteUnknown) }
        folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(folder, 0o755)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Serves on the socket while `body` runs.
    ///
    /// - Throws: What `body` or the server throws.
    package func serving(
        _ service: TestService = TestService(), limits: SocketServer.Limits = .init(),
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        _ body: @Sendable (SocketServer) async throws -> Void
    ) async throws {
        let server = try SocketServer(at: try SocketPath(path), service: service, limits: limits, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await server.run() }
            let result: Result<Void, any Error>
            do { result = .success(try await body(server)) } catch { result = .failure(error) }
            server.stop()
            try await group.waitForAll()
            try result.get()
        }
    }

    /// Looks at the socket.
    ///
    /// - Throws: ``ControlError`` for a path that is too long.
    package func connector() throws -> SocketConnector { SocketConnector(path: try SocketPath(path)) }

    /// Opens a session.
    ///
    /// - Throws: ``ControlError`` where there is none to be had.
    package func channel(
        _ hello: SessionHello = SessionHello(way: .call, isInteractive: false)
    ) async throws -> SocketChannel {
        try await SocketChannel.connect(to: try SocketPath(path), hello: hello, owner: nil)
    }
}

/// Waits until something is so; false after `patience`.
package func eventually(within patience: Duration = .seconds(30), _ isSo: () -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + patience
    while !isSo() {
        guard .now < deadline else { return false }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return true
}
