internal import KeyModel
internal import PluginKit

/// The text form: `kr1.`, the key id, `.`, and the rest of the value in base64url without padding.
///
/// The magic and the key id are left out of the base64 part, so that every value has one text and
/// the id stands in it once.
enum KR1TextForm {
    static let prefix = Bytes("kr1.".utf8)
    /// Up to and with the second dot.
    static let headCount = 13

    /// The number of characters of a value of `count` bytes.
    static func count(ofValue count: Int) -> Int {
        headCount + Base64.encodedCount(count - 5, padding: .unpadded)
    }

    /// What every value under a key begins with.
    static func head(of key: KeyID) -> Bytes {
        prefix + Bytes(key.description.utf8) + [UInt8(ascii: ".")]
    }

    static func text(of value: Bytes, key: KeyID) -> Bytes {
        let rest = Bytes(value[1..<4]) + value[8...]
        return head(of: key) + Base64.encode(rest, alphabet: .url, padding: .unpadded)
    }

    /// The value that a text stands for; nil where it is not exactly its text form.
    static func value(of text: Bytes) -> Bytes? {
        guard let key = key(of: text), text.count >= count(ofValue: KR1Layout.overhead) else { return nil }
        guard let rest = Base64.decode(Bytes(text[headCount...]), alphabet: .url, padding: .unpadded), rest.count > 3
        else { return nil }
        let number = withUnsafeBytes(of: key.rawValue.bigEndian) { Bytes($0) }
        return [KR1Layout.magic] + rest[..<3] + number + rest[3...]
    }

    /// The key that a text names, where its head and length are right; the rest is not looked at.
    static func inspectedKey(of text: Bytes) -> KeyID? {
        guard let key = key(of: text), text.count >= count(ofValue: KR1Layout.overhead),
            (text.count - headCount) % 4 != 1,
            let fields = Base64.decode(Bytes(text[headCount..<headCount + 4]), alphabet: .url, padding: .unpadded),
            fields[0] == KR1Layout.suite, fields[1] & ~KR1Flags.known.rawValue == 0,
            ValueContext.Scheme(rawValue: fields[2]) != nil
        else { return nil }
        return key
    }

    private static func key(of text: Bytes) -> KeyID? {
        guard text.count > headCount, text.starts(with: prefix), text[headCount - 1] == UInt8(ascii: ".") else {
            return nil
        }
        return KeyID(hex: String(decoding: text[prefix.count..<headCount - 1], as: UTF8.self))
    }
}
