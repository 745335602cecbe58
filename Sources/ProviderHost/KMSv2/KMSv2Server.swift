internal import CProcess
internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import KeyModel
package import PluginKit
internal import PluginWire
internal import SwiftProtobuf
internal import Synchronization

/// Who answers behind a served KMS v2 socket.
package protocol KMSv2Backend: Sendable {
    /// The key that wraps now; changes when the key is turned, and never comes back.
    ///
    /// - Throws: A ``CodedError`` where there is none; its message becomes the health of the plugin.
    func keyID() async throws -> String

    /// Wraps what the cluster asks for.
    ///
    /// - Throws: A ``CodedError``.
    func wrap(_ plaintext: borrowing SecretBytes) async throws -> WrappedKey

    /// Unwraps what it wrapped.
    ///
    /// - Throws: A ``CodedError``.
    func unwrap(_ wrapped: WrappedKey) async throws -> SecretBytes
}

/// Serves KMS v2 on a Unix socket, so that a Kubernetes cluster's keys turn by our schedules.
package struct KMSv2Server: Sendable {
    private let path: String
    private let users: Set<UInt32>
    private let backend: any KMSv2Backend

    /// The most bytes that a cluster may have wrapped; it sends 32.
    package static let maximumPlaintext = 512
    /// The most bytes of one request.
    private static let maximumRequest = 64 * 1024

    /// Serves a backend.
    ///
    /// - Parameters:
    ///   - endpoint: `unix:///…`.
    ///   - users: The users that may connect.
    ///   - backend: Who answers.
    /// - Throws: `ProviderError` with `providerMisconfigured` where the endpoint makes no sense.
    package init(endpoint: String, users: Set<UInt32>, backend: any KMSv2Backend) throws(ProviderError) {
        path = try ProviderSocket(endpoint: endpoint, users: users).path
        self.users = users
        self.backend = backend
    }

    /// Serves until it is cancelled; calls in hand are finished.
    ///
    /// - Parameter ready: Called once the socket listens.
    /// - Throws: `ProviderError` where the socket cannot be bound, or another process serves there.
    package func run(ready: @Sendable () -> Void = {}) async throws {
        try takeOver()
        let transport = HTTP2ServerTransport.Posix(
            address: .unixDomainSocket(path: path), transportSecurity: .plaintext,
            config: .defaults { config in
                config.rpc.maxRequestPayloadSize = Self.maximumRequest
                config.connection.flushCoalescing = nil
            })
        let server = GRPCServer(
            transport: transport, services: [Service(backend: backend)])
        // A task of its own, since a server that is cancelled drops what it has in hand instead of finishing it.
        let serving = Task { try await server.serve() }
        defer { unlink(path) }
        try await withTaskCancellationHandler {
            do {
                _ = try await transport.listeningAddress
                try restrict()
            } catch {
                server.beginGracefulShutdown()
                try await serving.value
                throw error
            }
            ready()
            try await serving.value
        } onCancel: {
            server.beginGracefulShutdown()
        }
    }

    /// Only those who own the socket get at it; other users' sockets are handed over where one is named.
    private func restrict() throws(ProviderError) {
        let owner = users.filter { $0 != geteuid() && $0 != 0 }.min() ?? geteuid()
        guard chmod(path, 0o600) == 0, owner == geteuid() || chown(path, owner, gid_t.max) == 0 else {
            throw ProviderError(.providerMisconfigured, "cannot protect \(quoted(path)): \(SystemText.last)")
        }
    }

    /// Removes a socket that nobody serves any more, and nothing else.
    private func takeOver() throws(ProviderError) {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return }
        guard facts.st_mode & S_IFMT == S_IFSOCK else {
            throw ProviderError(
                .providerMisconfigured, "cannot serve on \(quoted(path)): it is no socket", hint: "Remove it.")
        }
        do throws(ProviderError) {
            close(try ProviderSocket(path: path, users: [facts.st_uid]).connect())
        } catch {
            guard error.code == .providerUnavailable else { throw error }
            guard unlink(path) == 0 else {
                throw ProviderError(.providerMisconfigured, "cannot replace \(quoted(path)): \(SystemText.last)")
            }
            return
        }
        throw ProviderError(
            .providerMisconfigured, "cannot serve on \(quoted(path)): another process does",
            hint: "Stop that process, or serve on another path."
        )
    }
}

/// The three calls.
private struct Service: V2_KeyManagementService.SimpleServiceProtocol {
    let backend: any KMSv2Backend

    func status(request: V2_StatusRequest, context: ServerContext) async throws -> V2_StatusResponse {
        do {
            let key = try await backend.keyID()
            return .with {
                $0.version = "v2"
                $0.healthz = "ok"
                $0.keyID = key
            }
        } catch {
            return .with {
                $0.version = "v2"
                $0.healthz = (error as? any CodedError)?.message ?? "not ready"
            }
        }
    }

    func encrypt(request: V2_EncryptRequest, context: ServerContext) async throws -> V2_EncryptResponse {
        guard (1...KMSv2Server.maximumPlaintext).contains(request.plaintext.count) else {
            throw RPCError(
                code: .invalidArgument, message: "plaintext has \(request.plaintext.count) bytes, not 1 to 512")
        }
        let plaintext = SecretBytes(copying: request.plaintext)
        let wrapped: WrappedKey
        do { wrapped = try await backend.wrap(plaintext) } catch { throw Self.status(of: error) }
        return .with {
            $0.ciphertext = Data(wrapped.ciphertext)
            $0.keyID = wrapped.providerKeyID
            $0.annotations = wrapped.annotations.mapValues { Data($0) }
        }
    }

    func decrypt(request: V2_DecryptRequest, context: ServerContext) async throws -> V2_DecryptResponse {
        let wrapped = WrappedKey(
            ciphertext: Bytes(request.ciphertext), providerKeyID: request.keyID,
            annotations: request.annotations.mapValues { Bytes($0) })
        do {
            let plaintext = try await backend.unwrap(wrapped)
            return .with { $0.plaintext = plaintext.withExposedBytes { Data($0) } }
        } catch {
            throw Self.status(of: error)
        }
    }

    private static func status(of error: any Error) -> RPCError {
        if let error = error as? ProviderError { return error.status }
        let message = (error as? any CodedError)?.message ?? "not ready"
        return RPCError(code: .failedPrecondition, message: message)
    }
}
