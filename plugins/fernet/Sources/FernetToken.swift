internal import PluginKit

/// Where the parts of a token stand; the table is in `docs/formats/fernet.md`.
enum FernetToken {
    static let version: UInt8 = 0x80
    static let vectorOffset = 9
    static let vectorCount = 16
    static let bodyOffset = 25
    static let blockCount = 16
    static let signatureCount = 32
    /// Everything but the ciphertext.
    static let overhead = 57
    static let maximumPlaintext = 64 * 1024 * 1024

    /// The bytes of a token for a plaintext of `count` bytes.
    static func count(ofPlaintext count: Int) -> Int { overhead + (count / blockCount + 1) * blockCount }

    /// The characters of a token for a plaintext of `count` bytes.
    static func textCount(ofPlaintext plaintext: Int) -> Int {
        Base64.encodedCount(count(ofPlaintext: plaintext), padding: .padded)
    }

    /// Reads the text of a token, white space around it left out; nil where it is none.
    static func bytes(of text: Bytes) -> Bytes? {
        guard let token = Base64.decode(trimmed(text), alphabet: .url, padding: .padded) else { return nil }
        let body = token.count - overhead
        guard body >= blockCount, body % blockCount == 0, token[0] == version else { return nil }
        return token
    }

    /// A column of fixed width pads with spaces, and tools append line ends.
    private static func trimmed(_ text: Bytes) -> Bytes {
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        guard let first = text.first, let last = text.last, isSpace(first) || isSpace(last) else { return text }
        guard let start = text.firstIndex(where: { !isSpace($0) }), let end = text.lastIndex(where: { !isSpace($0) })
        else { return [] }
        return Bytes(text[start...end])
    }
}
