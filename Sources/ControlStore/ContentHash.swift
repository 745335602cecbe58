internal import COpenSSL

/// SHA-256 (FIPS 180-4), for names of content; never of a plaintext or a key.
package enum ContentHash {
    /// The digest of bytes, as 64 lower-case hexadecimal digits.
    package static func sha256(_ bytes: some Sequence<UInt8>) -> String {
        let input = Array(bytes)
        var output = [UInt8](repeating: 0, count: 32)
        SHA256(input, input.count, &output)
        return output.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
    }
}
