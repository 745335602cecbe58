internal import COpenSSL
internal import Foundation
internal import KeyModel
package import PluginKit

/// The node's Ed25519 key (RFC 8032), which signs proofs; it stands outside of the keys that are rotated.
///
/// Kept as the 32-byte seed in a file of mode 0600, made by `keyturn init`.
package struct SigningKey: Sendable {
    private let seed: KeyMaterial
    /// The algorithm and the public key, `ed25519:` and base64.
    package let identity: String

    private static let seedBytes = 32

    /// Makes a new key and writes its file; durable when it returns.
    ///
    /// - Throws: ``ProviderError`` with `providerMisconfigured` where the file is there or cannot be written.
    package static func create(at path: String) throws(ProviderError) -> SigningKey {
        let seed = SecretBytes(count: seedBytes) { room in
            // Safety: RAND_priv_bytes fills the room it is given.
            let isFilled = RAND_priv_bytes(room.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(seedBytes)) == 1
            precondition(isFilled, "the system gave no random bytes")
        }
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failed("make", path) }
        defer { close(file) }
        let isWritten = seed.withExposedBytes { write(file, $0.baseAddress, $0.count) == $0.count }
        guard isWritten, fsync(file) == 0 else { throw failed("write", path) }
        return try SigningKey(seed: seed, path: path)
    }

    /// Reads a key from its file.
    ///
    /// - Throws: ``ProviderError`` with `providerMisconfigured` where the file is missing, open to others, or of another size.
    package init(opening path: String) throws(ProviderError) {
        let file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw Self.failed("open", path) }
        defer { close(file) }
        var facts = stat()
        guard fstat(file, &facts) == 0, facts.st_mode & 0o077 == 0, Int(facts.st_size) == Self.seedBytes else {
            throw ProviderError(
                .providerMisconfigured,
                "cannot use \(quoted(path)): it is open to others or not \(Self.seedBytes) bytes long",
                hint: "chmod 600 \(path), or restore it from a backup of the instance directory."
            )
        }
        var got = 0
        let seed = SecretBytes(count: Self.seedBytes) { got = read(file, $0.baseAddress, $0.count) }
        guard got == Self.seedBytes else { throw Self.failed("read", path) }
        try self.init(seed: seed, path: path)
    }

    /// Signs bytes; the signature is 64 bytes, in base64.
    ///
    /// - Throws: ``CoreError`` with `internalCipherFailed`.
    package func sign(_ message: Bytes) throws -> String {
        var signature = Bytes(repeating: 0, count: 64)
        let isSigned = seed.withExposedBytes { seed -> Bool in
            let bytes = seed.bindMemory(to: UInt8.self)
            guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, bytes.baseAddress, bytes.count),
                let digest = EVP_MD_CTX_new()
            else { return false }
            defer {
                EVP_MD_CTX_free(digest)
                EVP_PKEY_free(key)
            }
            var length = signature.count
            return EVP_DigestSignInit(digest, nil, nil, nil, key) == 1
                && EVP_DigestSign(digest, &signature, &length, message, message.count) == 1 && length == signature.count
        }
        guard isSigned else { throw CoreError(.internalCipherFailed, "cannot sign with the node's key") }
        return Data(signature).base64EncodedString()
    }

    /// Whether a signature in base64 is that of the key with this identity, `ed25519:` and base64, over the bytes.
    package func isSignature(_ signature: String, of message: Bytes, by identity: String) -> Bool {
        guard identity.hasPrefix("ed25519:"), let given = Data(base64Encoded: String(identity.dropFirst(8))),
            let signed = Data(base64Encoded: signature), given.count == 32, signed.count == 64,
            let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, Array(given), given.count)
        else { return false }
        defer { EVP_PKEY_free(key) }
        guard let digest = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(digest) }
        return EVP_DigestVerifyInit(digest, nil, nil, nil, key) == 1
            && EVP_DigestVerify(digest, Array(signed), signed.count, message, message.count) == 1
    }

    private init(seed: consuming SecretBytes, path: String) throws(ProviderError) {
        var publicKey = Bytes(repeating: 0, count: 32)
        let isDerived = seed.withExposedBytes { seed -> Bool in
            let bytes = seed.bindMemory(to: UInt8.self)
            guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, bytes.baseAddress, bytes.count) else {
                return false
            }
            defer { EVP_PKEY_free(key) }
            var length = publicKey.count
            return EVP_PKEY_get_raw_public_key(key, &publicKey, &length) == 1
        }
        guard isDerived, let id = KeyID(1) else {
            throw ProviderError(.providerMisconfigured, "cannot use the signing key \(quoted(path))")
        }
        self.seed = KeyMaterial(id: id, secret: seed)
        identity = "ed25519:" + Data(publicKey).base64EncodedString()
    }

    private static func failed(_ what: String, _ path: String) -> ProviderError {
        ProviderError(
            .providerMisconfigured, "cannot \(what) \(quoted(path)): \(String(cString: strerror(errno)))",
            hint: "Check the instance directory's owner, its mode and the room on its disk."
        )
    }
}
