internal import COpenSSL
internal import PluginKit

/// The derivations that cores need to get from a version's material to working keys.
package enum KeyDerivation {
    /// HKDF-Extract (RFC 5869 §2.2): writes the pseudo-random key, as long as the digest.
    package static func extract(
        _ digest: Digest, salt: [UInt8], material: UnsafeRawBufferPointer, into key: UnsafeMutableRawPointer
    ) {
        salt.withUnsafeBytes { authenticate(digest, key: $0, message: material, into: key) }
    }

    /// HKDF-Expand (RFC 5869 §2.3) of one block: writes as many bytes as the digest has.
    package static func expand(
        _ digest: Digest, key: UnsafeRawBufferPointer, info: [UInt8], into output: UnsafeMutableRawPointer
    ) {
        (info + [1]).withUnsafeBytes { authenticate(digest, key: key, message: $0, into: output) }
    }

    /// PBKDF2-HMAC-SHA256 (RFC 8018 §5.2).
    ///
    /// - Returns: Whether the library did it.
    package static func pbkdf2SHA256(
        secret: UnsafeRawBufferPointer, salt: [UInt8], rounds: Int32, into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let result = PKCS5_PBKDF2_HMAC(
            secret.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: secret.count),
            salt, Int32(clamping: salt.count), rounds, EVP_sha256(),
            Int32(clamping: output.count), output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        )
        return result == 1
    }

    /// Hashes a message in one go.
    package static func hash(
        _ digest: Digest, _ message: UnsafeRawBufferPointer, into output: UnsafeMutableRawPointer
    ) {
        withUnsafeTemporaryAllocation(byteCount: digest.stateSize, alignment: 16) { memory in
            guard let state = memory.baseAddress else { return }
            digest.begin(state)
            digest.absorb(message, into: state)
            digest.finish(state, into: output)
            erase(memory)
        }
    }

    private static func authenticate(
        _ digest: Digest, key: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawPointer
    ) {
        let prepared = PreparedHMAC(digest, key: key)
        withUnsafeTemporaryAllocation(byteCount: digest.stateSize, alignment: 16) { memory in
            guard let state = memory.baseAddress else { return }
            prepared.begin(state)
            prepared.absorb(message, into: state)
            prepared.finish(state, into: output)
            erase(memory)
        }
    }
}
