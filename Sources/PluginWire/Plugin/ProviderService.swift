internal import Foundation
internal import GRPCCore
internal import KeyModel
internal import PluginKit
internal import SwiftProtobuf
internal import Synchronization

/// Serves a plugin's providers over gRPC.
struct ProviderService: Keyturn_Provider_V1_KeyProvider.SimpleServiceProtocol {
    private let plugin: any ProviderPlugin
    private let providers: ProviderShelf
    private let stop: @Sendable () -> Void

    init(_ plugin: any ProviderPlugin, stop: @escaping @Sendable () -> Void) {
        self.plugin = plugin
        self.stop = stop
        providers = ProviderShelf(plugin)
    }

    func getInfo(
        request: Keyturn_Provider_V1_GetInfoRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_GetInfoResponse {
        let description = plugin.description
        return .with {
            $0.kind = description.kind
            $0.version = description.version
            $0.settings = description.settings.map { setting in
                .with {
                    $0.name = setting.name
                    $0.summary = setting.summary
                    $0.isRequired = setting.isRequired
                }
            }
        }
    }

    func test(
        request: Keyturn_Provider_V1_TestRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_TestResponse {
        try await answer {
            let checks = try await providers.provider(request.call).test(ProviderCall(request.call))
            return .with { $0.checks = checks.map(Keyturn_Provider_V1_Check.init) }
        }
    }

    func wrap(
        request: Keyturn_Provider_V1_WrapRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_WrapResponse {
        try await answer {
            let binding = try WrapBinding(request.binding)
            guard KeyMaterial.sizes.contains(request.material.count) else {
                throw RPCError(code: .invalidArgument, message: "material has \(request.material.count) bytes")
            }
            let material = SecretBytes(copying: request.material)
            let provider = try await providers.provider(request.call)
            let wrapped = try await provider.wrap(material, binding: binding, ProviderCall(request.call))
            return .with { $0.wrapped = Keyturn_Provider_V1_WrappedKey(wrapped) }
        }
    }

    func unwrap(
        request: Keyturn_Provider_V1_UnwrapRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_UnwrapResponse {
        try await answer {
            let binding = try WrapBinding(request.binding)
            let provider = try await providers.provider(request.call)
            let material = try await provider.unwrap(
                WrappedKey(request.wrapped), binding: binding, ProviderCall(request.call))
            return .with { $0.material = material.withExposedBytes { Data($0) } }
        }
    }

    func describeKey(
        request: Keyturn_Provider_V1_DescribeKeyRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_DescribeKeyResponse {
        try await answer {
            let key = try await providers.provider(request.call).describeKey(ProviderCall(request.call))
            return .with { $0.key = Keyturn_Provider_V1_Key(key) }
        }
    }

    func rotateKey(
        request: Keyturn_Provider_V1_RotateKeyRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_RotateKeyResponse {
        guard plugin.description.rotatesKeys else {
            throw RPCError(code: .unimplemented, message: "the provider makes no new keys on request")
        }
        return try await answer {
            let (provider, call) = (try await providers.provider(request.call), ProviderCall(request.call))
            let key = try await providers.rotations(of: request.call).once(call) { () async throws(ProviderError) in
                try await provider.rotateKey(call)
            }
            return .with { $0.key = Keyturn_Provider_V1_Key(key) }
        }
    }

    func listVersions(
        request: Keyturn_Provider_V1_ListVersionsRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_ListVersionsResponse {
        guard plugin.description.listsVersions else {
            throw RPCError(code: .unimplemented, message: "the provider does not list its keys")
        }
        return try await answer {
            let keys = try await providers.provider(request.call).listVersions(ProviderCall(request.call))
            return .with { $0.keys = keys.map(Keyturn_Provider_V1_Key.init) }
        }
    }

    func shutdown(
        request: Keyturn_Provider_V1_ShutdownRequest, context: ServerContext
    ) async throws -> Keyturn_Provider_V1_ShutdownResponse {
        stop()
        return Keyturn_Provider_V1_ShutdownResponse()
    }

    /// Answers, with failures in the words of the wire.
    private func answer<Answer>(_ body: () async throws -> Answer) async throws -> Answer {
        do {
            return try await body()
        } catch let error as ProviderError {
            PluginLog.warning("\(error.code.rawValue): \(error.message)")
            throw error.status
        }
    }
}

/// The providers that are set up, one for each set of settings.
private actor ProviderShelf {
    private let plugin: any ProviderPlugin
    private var open: [[String: String]: any KeyProvider] = [:]
    private var rotations: [[String: String]: RotationMemory] = [:]

    /// More sets of settings than this begin anew; a host has a handful.
    private static let capacity = 32

    init(_ plugin: any ProviderPlugin) { self.plugin = plugin }

    func provider(_ call: Keyturn_Provider_V1_Call) async throws -> any KeyProvider {
        if let known = open[call.settings] { return known }
        try check(call.settings)
        let provider = try await plugin.open(call.settings)
        if open.count >= Self.capacity { (open, rotations) = ([:], [:]) }
        if let known = open[call.settings] { return known }
        open[call.settings] = provider
        return provider
    }

    /// What is remembered of a provider's new keys.
    func rotations(of call: Keyturn_Provider_V1_Call) -> RotationMemory {
        let known = rotations[call.settings] ?? RotationMemory()
        rotations[call.settings] = known
        return known
    }

    private func check(_ settings: [String: String]) throws(ProviderError) {
        let known = plugin.description.settings
        if let missing = known.first(where: { $0.isRequired && settings[$0.name] == nil }) {
            throw ProviderError(
                .providerMisconfigured, "setting \"\(missing.name)\" is missing",
                hint: "\(missing.name): \(missing.summary)."
            )
        }
        let names = known.map(\.name)
        if let unknown = settings.keys.sorted().first(where: { !names.contains($0) }) {
            throw ProviderError(
                .providerMisconfigured, "there is no setting \(quoted(unknown))",
                hint: names.isEmpty ? "It takes none." : "The settings are \(names.joined(separator: ", "))."
            )
        }
    }
}

extension ProviderCall {
    fileprivate init(_ call: Keyturn_Provider_V1_Call) {
        self.init(deadline: .milliseconds(Int64(call.deadlineMs)), idempotencyKey: call.idempotencyKey)
    }
}
