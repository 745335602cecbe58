internal import COpenSSL

/// One cipher of libcrypto, fetched once, with a context that is keyed anew for each message.
///
/// Not thread safe: a context belongs to one thread at a time.
package final class CipherContext {
    /// The ciphers that cores use.
    package enum Cipher: String, Sendable {
        /// AES-256 in Galois/Counter Mode (SP 800-38D): 12-byte nonce, 16-byte tag.
        case aes256GCM = "AES-256-GCM"
        /// AES-128 in Cipher Block Chaining mode with PKCS #7 padding: 16-byte initialisation
        /// vector.
        case aes128CBC = "AES-128-CBC"
    }

    private let cipher: OpaquePointer
    private let context: OpaquePointer

    /// Fetches a cipher.
    ///
    /// - Returns: Nil where the library does not offer it.
    package init?(_ name: Cipher) {
        guard let cipher = EVP_CIPHER_fetch(nil, name.rawValue, nil) else { return nil }
        guard let context = EVP_CIPHER_CTX_new() else {
            EVP_CIPHER_free(cipher)
            return nil
        }
        self.cipher = cipher
        self.context = context
        // Naming the cipher here alone saves a lookup for every message.
        guard EVP_CipherInit_ex2(context, cipher, nil, nil, 1, nil) == 1 else { return nil }
    }

    deinit {
        EVP_CIPHER_CTX_free(context)
        EVP_CIPHER_free(cipher)
    }

    /// Encrypts with GCM: writes as many bytes as `plaintext` has and a 16-byte tag.
    ///
    /// - Returns: Whether the library did it; where not, the output means nothing.
    package func seal(
        _ plaintext: UnsafeRawBufferPointer, key: UnsafeRawPointer, nonce: UnsafeRawPointer,
        authenticating header: UnsafeRawBufferPointer, into output: UnsafeMutableRawPointer,
        tag: UnsafeMutableRawPointer
    ) -> Bool {
        var length: Int32 = 0
        let out = output.assumingMemoryBound(to: UInt8.self)
        return EVP_CipherInit_ex2(context, nil, bytes(key), bytes(nonce), 1, nil) == 1
            && EVP_EncryptUpdate(context, nil, &length, bytes(header.baseAddress), Int32(header.count)) == 1
            && (plaintext.isEmpty
                || EVP_EncryptUpdate(
                    context, out, &length, bytes(plaintext.baseAddress), Int32(plaintext.count)) == 1)
            && EVP_EncryptFinal_ex(context, out + plaintext.count, &length) == 1
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1
    }

    /// Decrypts with GCM: writes as many bytes as `ciphertext` has.
    ///
    /// - Returns: Whether the 16-byte tag is right; where not, the output has not been authenticated and must be erased.
    package func open(
        _ ciphertext: UnsafeRawBufferPointer, key: UnsafeRawPointer, nonce: UnsafeRawPointer,
        authenticating header: UnsafeRawBufferPointer, tag: UnsafeRawPointer, into output: UnsafeMutableRawPointer
    ) -> Bool {
        var length: Int32 = 0
        let out = output.assumingMemoryBound(to: UInt8.self)
        // The library only reads the tag, whatever the signature says.
        let expected = UnsafeMutableRawPointer(mutating: tag)
        return EVP_CipherInit_ex2(context, nil, bytes(key), bytes(nonce), 0, nil) == 1
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, expected) == 1
            && EVP_DecryptUpdate(context, nil, &length, bytes(header.baseAddress), Int32(header.count)) == 1
            && (ciphertext.isEmpty
                || EVP_DecryptUpdate(
                    context, out, &length, bytes(ciphertext.baseAddress), Int32(ciphertext.count)) == 1)
            && EVP_DecryptFinal_ex(context, out + ciphertext.count, &length) == 1
    }

    /// Encrypts with CBC, padding to the next whole block.
    ///
    /// - Returns: The number of bytes written, at most 16 more than `plaintext` has; nil where the library refused.
    package func encrypt(
        _ plaintext: UnsafeRawBufferPointer, key: UnsafeRawPointer, vector: UnsafeRawPointer,
        into output: UnsafeMutableRawPointer
    ) -> Int? {
        let out = output.assumingMemoryBound(to: UInt8.self)
        var body: Int32 = 0
        var rest: Int32 = 0
        guard EVP_CipherInit_ex2(context, nil, bytes(key), bytes(vector), 1, nil) == 1,
            plaintext.isEmpty
                || EVP_EncryptUpdate(context, out, &body, bytes(plaintext.baseAddress), Int32(plaintext.count)) == 1,
            EVP_EncryptFinal_ex(context, out + Int(body), &rest) == 1
        else { return nil }
        return Int(body) + Int(rest)
    }

    /// Decrypts with CBC and takes the padding off; what is decrypted must have been authenticated
    /// before.
    ///
    /// `output` has room for as many bytes as `ciphertext`.
    ///
    /// - Returns: The number of bytes of plaintext; nil where the padding is wrong.
    package func decrypt(
        _ ciphertext: UnsafeRawBufferPointer, key: UnsafeRawPointer, vector: UnsafeRawPointer,
        into output: UnsafeMutableRawPointer
    ) -> Int? {
        let out = output.assumingMemoryBound(to: UInt8.self)
        var body: Int32 = 0
        var rest: Int32 = 0
        guard EVP_CipherInit_ex2(context, nil, bytes(key), bytes(vector), 0, nil) == 1,
            EVP_DecryptUpdate(context, out, &body, bytes(ciphertext.baseAddress), Int32(ciphertext.count)) == 1,
            EVP_DecryptFinal_ex(context, out + Int(body), &rest) == 1
        else { return nil }
        return Int(body) + Int(rest)
    }

    /// Puts a key of zeros in the place of the last message's key.
    package func forgetKey() {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 16) { zeros in
            zeros.initializeMemory(as: UInt8.self, repeating: 0)
            _ = EVP_CipherInit_ex2(context, nil, bytes(zeros.baseAddress), bytes(zeros.baseAddress), 1, nil)
        }
    }

    private func bytes(_ pointer: UnsafeRawPointer?) -> UnsafePointer<UInt8>? {
        pointer?.assumingMemoryBound(to: UInt8.self)
    }

    private func bytes(_ pointer: UnsafeMutableRawPointer?) -> UnsafePointer<UInt8>? {
        bytes(UnsafeRawPointer(pointer))
    }
}
