internal import ControlStore
internal import KeyModel
internal import PluginKit

/// Looks for values of ours inside of others: in documents, arrays, lines of a log, or behind white space.
///
/// Only what names or opens under a key of ours is found: what merely resembles a sealed value inside of a text is none.
struct EmbeddedValues {
    private let rings: [OpenedKeyring]

    /// - Parameter rings: Whose keys are looked for.
    init(of rings: [OpenedKeyring]) { self.rings = rings }

    /// The keys of what stands in some bytes, each as often as it does.
    func keys(in bytes: Bytes) -> [(shape: SealedShape, key: KeyID)] {
        var found: [(SealedShape, KeyID)] = []
        var index = 0
        while bytes.count - index >= 8 {
            switch bytes[index] {
            case UInt8(ascii: "k"):
                if let key = textKey(bytes, index) { found.append((.kr1, key)) }
            case 0xF9:
                if let key = binaryKey(bytes, index) { found.append((.kr1, key)) }
            case UInt8(ascii: "g"):
                let end = tokenEnd(bytes, index)
                guard end > index else { break }
                if let key = opener(of: .text(Array(bytes[index..<end]))) { found.append((.fernet, key)) }
                index = end - 1
            default: break
            }
            index += 1
        }
        return found
    }

    /// `kr1.`, the eight digits of a key of ours, and as much as the shortest value has.
    private func textKey(_ bytes: Bytes, _ start: Int) -> KeyID? {
        let body = start + 13
        guard bytes.count >= body + Self.shortestBody, bytes[start...].starts(with: "kr1.".utf8),
            bytes[body - 1] == UInt8(ascii: "."), bytes[body..<body + Self.shortestBody].allSatisfy(Self.isURLDigit)
        else { return nil }
        return KeyID(hex: String(decoding: bytes[start + 4..<start + 12], as: UTF8.self)).flatMap(known)
    }

    /// The magic, the suite, and after two more bytes a key of ours.
    private func binaryKey(_ bytes: Bytes, _ start: Int) -> KeyID? {
        guard bytes.count - start >= 72, bytes[start + 1] == 1 else { return nil }
        return KeyID(bytes[start + 4..<start + 8].reduce(0) { $0 << 8 | UInt32($1) }).flatMap(known)
    }

    /// 67 bytes of an empty plaintext in base64url; a mention of a key, or a value that was cut, is none.
    private static let shortestBody = 90

    private func known(_ key: KeyID) -> KeyID? {
        rings.contains { $0.record.keyring[key] != nil } ? key : nil
    }

    /// Where a Fernet token ends that begins here; the beginning itself where none does.
    private func tokenEnd(_ bytes: Bytes, _ start: Int) -> Int {
        guard bytes[start...].starts(with: "gAAAAA".utf8) else { return start }
        var end = start
        while end < bytes.count, Self.isURLDigit(bytes[end]) { end += 1 }
        while end < bytes.count, bytes[end] == UInt8(ascii: "=") { end += 1 }
        return end
    }

    private func opener(of value: StoredValue) -> KeyID? {
        for ring in rings {
            if case .success(let opened)? = ring.core.open([SealedItem(value, context: .none)]).first {
                return opened.key
            }
        }
        return nil
    }

    private static func isURLDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
