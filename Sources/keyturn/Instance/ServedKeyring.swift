internal import Control
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Rotation

/// A keyring behind a served KMS v2 socket: its active version wraps a cluster's keys, and each rotation changes the key id.
struct ServedKeyring: KMSv2Backend {
    let service: InstanceService
    let keyring: Name

    /// An engine of the instance as it is configured now.
    private var engine: RotationEngine {
        get async throws { try await service.instance().engine(for: "kms-v2") }
    }

    func keyID() async throws -> String { name(try await engine.servedKey(of: keyring)) }

    func wrap(_ plaintext: borrowing SecretBytes) async throws -> WrappedKey {
        let (bytes, key) = try await engine.wrapServed(plaintext.withExposedBytes { Bytes($0) }, under: keyring)
        return WrappedKey(ciphertext: bytes, providerKeyID: name(key))
    }

    func unwrap(_ wrapped: WrappedKey) async throws -> SecretBytes {
        SecretBytes(copying: try await engine.unwrapServed(wrapped.ciphertext, of: keyring))
    }

    private func name(_ key: KeyID) -> String { "\(keyring)-\(key)" }
}
