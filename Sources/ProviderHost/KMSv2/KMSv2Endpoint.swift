internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import KeyModel
internal import PluginKit
internal import PluginWire
internal import SwiftProtobuf

/// The three calls of KMS v2 at one socket; connects again where the plugin was restarted.
actor KMSv2Endpoint {
    private typealias Client = V2_KeyManagementService.Client<HTTP2ClientTransport.WrappedChannel>

    private let name: Name
    private let socket: ProviderSocket
    private var connection: ProviderConnection?

    init(name: Name, socket: ProviderSocket) {
        self.name = name
        self.socket = socket
    }

    func status(_ time: CallTime) async throws(ProviderError) -> KeyObservation.Status {
        let answer = try await ask("say how it is", time) { try await $0.status(V2_StatusRequest(), options: $1) }
        return KeyObservation.Status(version: answer.version, healthz: answer.healthz, keyID: answer.keyID)
    }

    func encrypt(_ seed: KeyMaterial, _ time: CallTime) async throws(ProviderError) -> V2_EncryptResponse {
        let request = V2_EncryptRequest.with { message in
            message.plaintext = seed.withExposedBytes { Data($0) }
            message.uid = UUID().uuidString.lowercased()
        }
        return try await ask("wrap", time) { try await $0.encrypt(request, options: $1) }
    }

    func decrypt(_ request: V2_DecryptRequest, _ time: CallTime) async throws(ProviderError) -> Data {
        try await ask("unwrap", time) { try await $0.decrypt(request, options: $1) }.plaintext
    }

    /// Asks, and once more on a new connection where the one at hand had gone: all three calls may be repeated.
    private func ask<Answer: Sendable>(
        _ what: String, _ time: CallTime, _ body: (Client, CallOptions) async throws -> Answer
    ) async throws(ProviderError) -> Answer {
        let (current, isOld) = try await connected()
        let left = try time.left(subject(what))
        do {
            return try await body(Client(wrapping: current.client), ProviderConnection.options(within: left))
        } catch let error as RPCError where error.code == .unavailable && isOld {
            drop(current)
            return try await askAgain(what, time, body)
        } catch {
            throw WireFailure(error).providerError(subject: subject(what), deadline: time.deadline)
        }
    }

    private func askAgain<Answer: Sendable>(
        _ what: String, _ time: CallTime, _ body: (Client, CallOptions) async throws -> Answer
    ) async throws(ProviderError) -> Answer {
        let (current, _) = try await connected()
        let left = try time.left(subject(what))
        do {
            return try await body(Client(wrapping: current.client), ProviderConnection.options(within: left))
        } catch {
            throw WireFailure(error).providerError(subject: subject(what), deadline: time.deadline)
        }
    }

    private func subject(_ what: String) -> String { "provider \"\(name)\" cannot \(what)" }

    /// A connection, and whether it was there before.
    private func connected() async throws(ProviderError) -> (ProviderConnection, Bool) {
        if let connection, !connection.isClosed { return (connection, true) }
        let new = try await ProviderConnection.open(socket)
        connection = new
        return (new, false)
    }

    private func drop(_ old: ProviderConnection) {
        old.close()
        if connection === old { connection = nil }
    }

    deinit { connection?.close() }
}
