/// Base 64 as RFC 4648 has it, strict: one text for every sequence of bytes, and nothing else is
/// read.
public enum Base64 {
    /// The two alphabets.
    public enum Alphabet: Sendable {
        /// With `+` and `/` (RFC 4648 §4).
        case standard
        /// With `-` and `_` (RFC 4648 §5).
        case url
    }

    /// Whether the last group is filled up with `=`.
    public enum Padding: Sendable {
        /// Always; a text without it is not read.
        case padded
        /// Never; a text with it is not read.
        case unpadded
    }

    /// How many characters `count` bytes take.
    public static func encodedCount(_ count: Int, padding: Padding) -> Int {
        switch padding {
        case .padded: (count + 2) / 3 * 4
        case .unpadded: count / 3 * 4 + [0, 2, 3][count % 3]
        }
    }

    /// The most bytes that `count` characters can stand for.
    public static func decodedLimit(_ count: Int) -> Int { count / 4 * 3 + 2 }

    /// Writes bytes as text.
    public static func encode(_ bytes: Bytes, alphabet: Alphabet, padding: Padding) -> Bytes {
        Bytes(unsafeUninitializedCapacity: encodedCount(bytes.count, padding: padding)) { output, count in
            count = bytes.withUnsafeBytes {
                encode($0, alphabet: alphabet, padding: padding, into: UnsafeMutableRawBufferPointer(output))
            }
        }
    }

    /// Reads text; nil where it is not exactly what ``encode(_:alphabet:padding:)`` writes.
    public static func decode(_ text: Bytes, alphabet: Alphabet, padding: Padding) -> Bytes? {
        var isRead = true
        let bytes = Bytes(unsafeUninitializedCapacity: decodedLimit(text.count)) { output, count in
            let read = text.withUnsafeBytes {
                decode($0, alphabet: alphabet, padding: padding, into: UnsafeMutableRawBufferPointer(output))
            }
            isRead = read != nil
            count = read ?? 0
        }
        return isRead ? bytes : nil
    }

    /// Writes bytes as text into memory with room for ``encodedCount(_:padding:)`` characters.
    ///
    /// - Returns: The number of characters written.
    @discardableResult
    public static func encode(
        _ bytes: UnsafeRawBufferPointer, alphabet: Alphabet, padding: Padding,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int {
        let total = encodedCount(bytes.count, padding: padding)
        precondition(output.count >= total, "no room for the text")
        digits(of: alphabet).withUnsafeBufferPointer { digits in
            var read = 0
            var written = 0
            while read < bytes.count {
                let rest = bytes.count - read
                var group = UInt32(bytes[read]) << 16
                if rest > 1 { group |= UInt32(bytes[read + 1]) << 8 }
                if rest > 2 { group |= UInt32(bytes[read + 2]) }
                output[written] = digits[Int(group >> 18)]
                output[written + 1] = digits[Int(group >> 12 & 63)]
                if rest > 1 { output[written + 2] = digits[Int(group >> 6 & 63)] }
                if rest > 2 { output[written + 3] = digits[Int(group & 63)] }
                read += 3
                written += min(rest, 3) + 1
            }
            while written < total {
                output[written] = UInt8(ascii: "=")
                written += 1
            }
        }
        return total
    }

    /// Reads text into memory with room for ``decodedLimit(_:)`` bytes.
    ///
    /// - Returns: The number of bytes written; nil where the text is not exactly what `encode` writes.
    public static func decode(
        _ text: UnsafeRawBufferPointer, alphabet: Alphabet, padding: Padding,
        into output: UnsafeMutableRawBufferPointer
    ) -> Int? {
        guard let digits = withoutPadding(text, padding), digits.count % 4 != 1 else { return nil }
        precondition(output.count >= digits.count / 4 * 3 + 2, "no room for the bytes")
        return values(of: alphabet).withUnsafeBufferPointer { values in
            let whole = digits.count & ~3
            var seen: UInt8 = 0
            var read = 0
            var written = 0
            while read < whole {
                let (a, b) = (values[Int(digits[read])], values[Int(digits[read + 1])])
                let (c, d) = (values[Int(digits[read + 2])], values[Int(digits[read + 3])])
                seen |= a | b | c | d
                output[written] = a << 2 | b >> 4
                output[written + 1] = b << 4 | c >> 2
                output[written + 2] = c << 6 | d
                read += 4
                written += 3
            }
            guard whole < digits.count else { return seen & notADigit == 0 ? written : nil }
            let (a, b) = (values[Int(digits[whole])], values[Int(digits[whole + 1])])
            let c = whole + 2 < digits.count ? values[Int(digits[whole + 2])] : 0
            seen |= a | b | c
            // The bits that the last digit has to spare are zero in the one right text.
            let spare = whole + 2 < digits.count ? c & 0b11 : b & 0b1111
            guard seen & notADigit == 0, spare == 0 else { return nil }
            output[written] = a << 2 | b >> 4
            guard whole + 2 < digits.count else { return written + 1 }
            output[written + 1] = b << 4 | c >> 2
            return written + 2
        }
    }

    private static func withoutPadding(_ text: UnsafeRawBufferPointer, _ padding: Padding) -> UnsafeRawBufferPointer? {
        guard padding == .padded else { return text }
        guard text.count % 4 == 0 else { return nil }
        let pad = UInt8(ascii: "=")
        guard let last = text.last, last == pad else { return text }
        return UnsafeRawBufferPointer(rebasing: text.dropLast(text[text.count - 2] == pad ? 2 : 1))
    }

    /// The mark of a character that is no digit; digits are below it.
    private static let notADigit: UInt8 = 0x80

    private static func digits(of alphabet: Alphabet) -> Bytes { alphabet == .url ? urlDigits : standardDigits }
    private static func values(of alphabet: Alphabet) -> Bytes { alphabet == .url ? urlValues : standardValues }

    private static let standardDigits = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let urlDigits = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    private static let standardValues = inverse(of: standardDigits)
    private static let urlValues = inverse(of: urlDigits)

    private static func inverse(of digits: Bytes) -> Bytes {
        var values = Bytes(repeating: notADigit, count: 256)
        for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
        return values
    }
}
