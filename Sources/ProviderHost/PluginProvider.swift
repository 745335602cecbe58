internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
package import KeyModel
package import PluginKit
internal import PluginWire
internal import SwiftProtobuf

/// A key provider that answers in another process, over `keyturn.provider.v1`.
package struct PluginProvider: KeyProvider {
    private let name: Name
    private let settings: [String: String]
    private let source: any ConnectionSource
    private let usesSession: Bool

    private typealias Client = Keyturn_Provider_V1_KeyProvider.Client<HTTP2ClientTransport.WrappedChannel>

    /// Reaches a provider whose process is supervised.
    package init(name: Name, settings: [String: String], supervisor: PluginSupervisor) {
        self.init(name: name, settings: settings, source: supervisor)
    }

    /// Reaches a provider.
    ///
    /// - Parameters:
    ///   - name: Its name, for messages.
    ///   - settings: Its settings.
    ///   - source: Where connections to it come from.
    ///   - usesSession: Whether keys are wrapped and unwrapped over a session where it offers one.
    init(name: Name, settings: [String: String], source: any ConnectionSource, usesSession: Bool = true) {
        self.name = name
        self.settings = settings
        self.source = source
        self.usesSession = usesSession
    }

    /// Asks for kind and version; what it can do was said in its handshake.
    package func info() async throws(ProviderError) -> ProviderInfo {
        let connection = try await source.connection()
        let abilities = ProviderAbility.allCases.filter { connection.capabilities.contains($0.rawValue) }
        connection.finish()
        let answer = try await ask("say what it is", Self.infoCall) {
            try await $0.getInfo(Keyturn_Provider_V1_GetInfoRequest(), options: $1)
        }
        return ProviderInfo(
            kind: WireText.escaped(answer.kind, limit: 63), version: WireText.escaped(answer.version, limit: 63),
            abilities: Set(abilities))
    }

    /// The settings that the plugin understands: name, summary, whether it must be given.
    package func settingNames() async throws(ProviderError) -> [(name: String, summary: String, isRequired: Bool)] {
        let answer = try await ask("say what it is", Self.infoCall) {
            try await $0.getInfo(Keyturn_Provider_V1_GetInfoRequest(), options: $1)
        }
        return answer.settings.prefix(100).map {
            (WireText.escaped($0.name, limit: 63), WireText.escaped($0.summary, limit: 200), $0.isRequired)
        }
    }

    /// Has the provider try its key.
    package func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        let request = Keyturn_Provider_V1_TestRequest.with { $0.call = message(call) }
        let answer = try await ask("test its key", call) { try await $0.test(request, options: $1) }
        return answer.checks.prefix(100).map(ProviderCheck.init)
    }

    /// Wraps over the wire.
    package func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        var request = Keyturn_Provider_V1_WrapRequest()
        request.call = message(call)
        request.binding = Keyturn_Provider_V1_Binding(binding)
        request.material = material.withExposedBytes { Data($0) }
        let answer = try await ask("wrap key \(binding.key)", call, over: .wrap(request)) { [request] in
            try await $0.wrap(request, options: $1)
        } take: {
            $0.wrap
        }
        return WrappedKey(answer.wrapped)
    }

    /// Unwraps over the wire.
    package func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        let request = Keyturn_Provider_V1_UnwrapRequest.with {
            $0.call = message(call)
            $0.binding = Keyturn_Provider_V1_Binding(binding)
            $0.wrapped = Keyturn_Provider_V1_WrappedKey(wrapped)
        }
        let what = "unwrap key \(binding.key)"
        let answer = try await ask(what, call, over: .unwrap(request)) {
            try await $0.unwrap(request, options: $1)
        } take: {
            $0.unwrap
        }
        let material = answer.material
        guard KeyMaterial.sizes.contains(material.count) else {
            throw ProviderError(
                .providerAnswerInvalid, "\(subject(what)): it gave back \(material.count) bytes, not 1 to 256")
        }
        return SecretBytes(copying: material)
    }

    /// Asks which key would wrap now.
    package func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        let request = Keyturn_Provider_V1_DescribeKeyRequest.with { $0.call = message(call) }
        let answer = try await ask("describe its key", call) { try await $0.describeKey(request, options: $1) }
        return ProviderKey(answer.key)
    }

    /// Has the provider make a new key.
    package func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        let request = Keyturn_Provider_V1_RotateKeyRequest.with { $0.call = message(call) }
        let answer = try await ask("make a new key", call) { try await $0.rotateKey(request, options: $1) }
        return ProviderKey(answer.key)
    }

    /// Asks which keys still unwrap; more than 1024 are not looked at.
    package func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        let request = Keyturn_Provider_V1_ListVersionsRequest.with { $0.call = message(call) }
        let answer = try await ask("list its keys", call) { try await $0.listVersions(request, options: $1) }
        return answer.keys.prefix(1024).map(ProviderKey.init)
    }

    private static var infoCall: ProviderCall { ProviderCall(deadline: .seconds(10), idempotencyKey: "info") }

    private func message(_ call: ProviderCall) -> Keyturn_Provider_V1_Call {
        .with {
            $0.settings = settings
            $0.deadlineMs = UInt32(
                clamping: call.deadline.components.seconds * 1000
                    + call.deadline.components.attoseconds / 1_000_000_000_000_000)
            $0.idempotencyKey = call.idempotencyKey
        }
    }

    private func subject(_ what: String) -> String { "provider \"\(name)\" cannot \(what)" }

    /// Asks by a call of its own.
    private func ask<Answer: Sendable>(
        _ what: String, _ call: ProviderCall, _ single: (Client, CallOptions) async throws -> Answer
    ) async throws(ProviderError) -> Answer {
        try await connected(what, call) { connection, time in
            try await single(Client(wrapping: connection.client), ProviderConnection.options(within: time))
        }
    }

    /// Asks over the session, and by a call of its own where there is none.
    private func ask<Answer: Sendable>(
        _ what: String, _ call: ProviderCall, over request: SessionRequest,
        single: (Client, CallOptions) async throws -> Answer, take: (SessionAnswer) -> Answer
    ) async throws(ProviderError) -> Answer {
        try await connected(what, call) { connection, time in
            if usesSession, let session = connection.session {
                return take(try await session.ask(request, until: .now + time))
            }
            return try await single(Client(wrapping: connection.client), ProviderConnection.options(within: time))
        }
    }

    /// Does something with a connection; whatever goes wrong becomes one of PluginKit's failures.
    private func connected<Answer: Sendable>(
        _ what: String, _ call: ProviderCall, _ body: (ProviderConnection, Duration) async throws -> Answer
    ) async throws(ProviderError) -> Answer {
        // A process that is started anew takes its own time, which its handshake limits.
        let connection = try await source.connection()
        defer { connection.finish() }
        let left = try CallTime(call).left(subject(what))
        do {
            return try await body(connection, left)
        } catch {
            throw WireFailure(error).providerError(subject: subject(what), deadline: call.deadline)
        }
    }
}
