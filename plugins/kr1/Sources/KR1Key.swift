internal import KeyModel
internal import LibCrypto
internal import PluginKit

/// What is derived from one version's material, once.
final class KR1Key: Sendable {
    let id: KeyID
    /// Gives message key and commitment: HKDF-Expand under the pseudo-random key.
    let messages: PreparedHMAC
    /// Gives the salts of deterministic values.
    let salts: PreparedHMAC

    static let materialCount = 32

    /// Derives; the material must have 32 bytes.
    init(_ material: KeyMaterial) {
        id = material.id
        let root = SecretBytes(count: Digest.sha512.size) { memory in
            material.withExposedBytes { bytes in
                guard let base = memory.baseAddress else { return }
                KeyDerivation.extract(.sha512, salt: Bytes("KR1".utf8), material: bytes, into: base)
            }
        }
        messages = root.withExposedBytes { PreparedHMAC(.sha512, key: $0) }
        let saltKey = SecretBytes(count: Digest.sha512.size) { memory in
            root.withExposedBytes { bytes in
                guard let base = memory.baseAddress else { return }
                KeyDerivation.expand(.sha512, key: bytes, info: Bytes("KR1 det key\0".utf8), into: base)
            }
        }
        // HKDF-Expand to 32 bytes is the first half of its one block.
        salts = saltKey.withExposedBytes { PreparedHMAC(.sha256, key: UnsafeRawBufferPointer(rebasing: $0[..<32])) }
    }
}
