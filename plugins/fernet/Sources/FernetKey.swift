internal import KeyModel
internal import LibCrypto
internal import PluginKit

/// A version's two working keys.
final class FernetKey: Sendable {
    let id: KeyID
    let signing: PreparedHMAC
    let encryption: SecretBytes

    init(_ material: KeyMaterial, derivation: FernetDerivation) throws(CoreError) {
        guard KeyMaterial.sizes.contains(material.count) else {
            throw CoreError(.callerKeyMalformed, "cannot use key \(material.id): it has \(material.count) bytes")
        }
        let key = try material.withExposedBytes { bytes throws(CoreError) in try derivation.key(from: bytes) }
        id = material.id
        signing = key.withExposedBytes { PreparedHMAC(.sha256, key: UnsafeRawBufferPointer(rebasing: $0[..<16])) }
        encryption = key.withExposedBytes { bytes in
            SecretBytes(count: 16) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[16...])) }
        }
    }
}
