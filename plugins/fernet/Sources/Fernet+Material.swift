internal import LibCrypto
public import PluginKit

extension Fernet {
    /// Makes a new key, or a new secret of 43 printable characters, from 32 random bytes.
    public static func generateMaterial(options: CoreOptions) throws(CoreError) -> SecretBytes {
        let derivation = try FernetDerivation(options)
        let random = try SecretBytes(count: FernetDerivation.keyCount) { memory throws(CoreError) in
            guard fillWithRandomBytes(memory) else {
                throw CoreError(.internalCipherFailed, "cannot make a key: libcrypto gave no random bytes")
            }
        }
        return text(of: random, padding: derivation.isDirect ? .padded : .unpadded)
    }

    /// Takes what the application keeps: the text of a key, or the bytes of a secret.
    ///
    /// A line end after it is left out, and around a key all white space. A key of 32 raw bytes, or
    /// without its padding, is taken over in its usual text; otherwise
    /// ``exportMaterial(_:options:)`` gives back what came in, byte for byte.
    public static func importMaterial(
        _ text: borrowing SecretBytes, options: CoreOptions
    ) throws(CoreError) -> SecretBytes {
        let derivation = try FernetDerivation(options)
        return try text.withExposedBytes { bytes throws(CoreError) in
            derivation.isDirect ? try importKey(bytes) : try importSecret(bytes)
        }
    }

    /// Gives back what the application keeps.
    public static func exportMaterial(
        _ material: borrowing SecretBytes, options: CoreOptions
    ) throws(CoreError) -> SecretBytes {
        let derivation = try FernetDerivation(options)
        return try material.withExposedBytes { bytes throws(CoreError) in
            derivation.isDirect ? try importKey(bytes) : SecretBytes(copying: bytes)
        }
    }

    private static func importKey(_ bytes: UnsafeRawBufferPointer) throws(CoreError) -> SecretBytes {
        // 32 raw bytes may begin or end with what looks like white space.
        let text = bytes.count == FernetDerivation.keyCount ? bytes : trimmed(bytes)
        let key = try SecretBytes(count: FernetDerivation.keyCount) { memory throws(CoreError) in
            guard FernetKeyText.decode(text, into: memory) else { throw FernetDerivation.malformed(text.count) }
        }
        return text.count == 44 ? SecretBytes(copying: text) : Self.text(of: key, padding: .padded)
    }

    private static func importSecret(_ bytes: UnsafeRawBufferPointer) throws(CoreError) -> SecretBytes {
        var count = bytes.count
        if count > 0, bytes[count - 1] == UInt8(ascii: "\n") { count -= 1 }
        if count > 0, count < bytes.count, bytes[count - 1] == UInt8(ascii: "\r") { count -= 1 }
        guard KeyMaterial.sizes.contains(count) else {
            throw CoreError(.callerKeyMalformed, "cannot import a secret of \(count) bytes: it may have 1 to 256")
        }
        return SecretBytes(copying: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    }

    private static func text(of key: borrowing SecretBytes, padding: Base64.Padding) -> SecretBytes {
        let count = Base64.encodedCount(key.count, padding: padding)
        return key.withExposedBytes { bytes in
            SecretBytes(count: count) { Base64.encode(bytes, alphabet: .url, padding: padding, into: $0) }
        }
    }

    private static func trimmed(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        guard let first = text.firstIndex(where: { !isSpace($0) }), let last = text.lastIndex(where: { !isSpace($0) })
        else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: text[first...last])
    }
}
