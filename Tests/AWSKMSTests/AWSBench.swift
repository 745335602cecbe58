import AWSKMS
import AWSNames
import CloudTesting
import Foundation
import KeyModel
import PluginKit
import ProviderHTTP

/// Providers on a service of ``LocalCloud``, all through its proxy.
struct AWSBench {
    let cloud: LocalCloud

    init(_ kind: LocalCloud.Kind) throws { cloud = try LocalCloud(kind) }

    /// The binding that tests wrap for.
    static func binding(_ key: UInt32 = 7) throws -> WrapBinding {
        guard let id = KeyID(key) else { throw CloudError("no key id") }
        return WrapBinding(instance: "1f3c-instance", keyring: try Name("main"), key: id)
    }

    static let material = Array<UInt8>(1...32)

    /// The environment in which a user of the service is.
    func environment() throws -> [String: String] {
        [
            "AWS_ACCESS_KEY_ID": try cloud.fact("access_key_id"),
            "AWS_SECRET_ACCESS_KEY": try cloud.fact("secret_access_key"), "AWS_ENDPOINT_URL": cloud.proxied,
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        ]
    }

    /// The settings that fit the service.
    func settings() throws -> [String: String] {
        [
            "key": try cloud.fact("key"), "role": try cloud.fact("role"),
            "external_id": try cloud.fact("external_id"), "session_name": "keyturn-test",
        ]
    }

    /// What a provider takes from the machine; waits are a hundredth of what they would be.
    func surroundings(_ more: [String: String] = [:]) throws -> Surroundings {
        var surroundings = Surroundings(environment: try environment().merging(more) { $1 })
        // The service lives as long as its providers.
        surroundings.sleep = { [cloud] in
            withExtendedLifetime(cloud) {}
            try? await Task.sleep(for: $0 / 100)
        }
        return surroundings
    }

    func provider(
        _ changes: [String: String] = [:], surroundings: Surroundings? = nil
    ) throws -> (provider: AWSKMSProvider, context: AWSContext) {
        let context = AWSContext(try surroundings ?? self.surroundings(), HTTPConnector())
        let settings = try AWSKMSSettings(try settings().merging(changes) { $1 })
        return (try AWSKMSProvider(settings, context), context)
    }

    static func call(_ seconds: Int = 30) -> ProviderCall {
        ProviderCall(deadline: .seconds(seconds), idempotencyKey: "test")
    }

    static func wrap(_ provider: some KeyProvider, _ key: UInt32 = 7) async throws -> WrappedKey {
        try await provider.wrap(SecretBytes(copying: material), binding: binding(key), call())
    }

    static func opens(_ wrapped: WrappedKey, _ provider: some KeyProvider, _ key: UInt32 = 7) async throws -> Bool {
        try await provider.unwrap(wrapped, binding: binding(key), call()).isEqual(to: SecretBytes(copying: material))
    }
}
