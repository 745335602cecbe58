internal import LibCrypto
public import PluginKit

extension KR1 {
    /// Draws 32 random bytes.
    public static func generateMaterial(options: CoreOptions) throws(CoreError) -> SecretBytes {
        try refuse(options)
        return try SecretBytes(count: KR1Key.materialCount) { memory throws(CoreError) in
            guard fillWithRandomBytes(memory) else {
                throw CoreError(.internalCipherFailed, "cannot make a key: libcrypto gave no random bytes")
            }
        }
    }

    /// Reads 32 bytes from 64 hexadecimal digits or from base64 in either alphabet, with or without
    /// padding.
    ///
    /// White space around the text is left out. 32 raw bytes are not read: they could not be told
    /// from text.
    public static func importMaterial(
        _ text: borrowing SecretBytes, options: CoreOptions
    ) throws(CoreError) -> SecretBytes {
        try refuse(options)
        return try text.withExposedBytes { bytes throws(CoreError) in
            let trimmed = trimmed(bytes)
            return try SecretBytes(count: KR1Key.materialCount) { memory throws(CoreError) in
                guard decode(trimmed, into: memory) else {
                    throw CoreError(
                        .callerKeyMalformed, "cannot import a kr1 key: the text does not stand for 32 bytes",
                        hint: "Give 64 hexadecimal digits, or 32 bytes in base64."
                    )
                }
            }
        }
    }

    /// Writes the 32 bytes in base64 with padding.
    public static func exportMaterial(
        _ material: borrowing SecretBytes, options: CoreOptions
    ) throws(CoreError) -> SecretBytes {
        try refuse(options)
        guard material.count == KR1Key.materialCount else {
            throw CoreError(.callerKeyMalformed, "cannot export a kr1 key: it has \(material.count) bytes, not 32")
        }
        let count = Base64.encodedCount(material.count, padding: .padded)
        return material.withExposedBytes { bytes in
            SecretBytes(count: count) { Base64.encode(bytes, alphabet: .standard, padding: .padded, into: $0) }
        }
    }

    private static func trimmed(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        guard let first = text.firstIndex(where: { !isSpace($0) }), let last = text.lastIndex(where: { !isSpace($0) })
        else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: text[first...last])
    }

    private static func decode(_ text: UnsafeRawBufferPointer, into key: UnsafeMutableRawBufferPointer) -> Bool {
        if text.count == 64 { return decodeHex(text, into: key) }
        guard text.count == 43 || text.count == 44 else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 48, alignment: 16) { memory in
            defer { erase(memory) }
            for alphabet in [Base64.Alphabet.standard, .url] {
                let padding: Base64.Padding = text.count == 44 ? .padded : .unpadded
                guard Base64.decode(text, alphabet: alphabet, padding: padding, into: memory) == key.count else {
                    continue
                }
                key.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<key.count]))
                return true
            }
            return false
        }
    }

    private static func decodeHex(_ text: UnsafeRawBufferPointer, into key: UnsafeMutableRawBufferPointer) -> Bool {
        for index in key.indices {
            guard let high = hexValue(text[2 * index]), let low = hexValue(text[2 * index + 1]) else { return false }
            key[index] = high << 4 | low
        }
        return true
    }

    private static func hexValue(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x41 + 10
        case 0x61...0x66: digit - 0x61 + 10
        default: nil
        }
    }
}
