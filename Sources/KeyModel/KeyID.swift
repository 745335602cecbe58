/// Names one key version: a random 32-bit number, unique in its instance and never reused.
///
/// Ids are random rather than counted, so that a restored or cloned database does not hand out an id
/// that is already in use elsewhere. Zero is reserved and means no key.
public struct KeyID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number itself, 1…2³²−1.
    public let rawValue: UInt32

    /// Makes an id from its number; nil for zero.
    public init?(_ rawValue: UInt32) {
        guard rawValue != 0 else { return nil }
        self.rawValue = rawValue
    }

    /// Makes an id from its eight lower-case hexadecimal digits; nil for anything else.
    public init?(hex: some StringProtocol) {
        guard hex.utf8.count == 8, hex.utf8.allSatisfy(Self.isLowerHexDigit), let number = UInt32(hex, radix: 16) else {
            return nil
        }
        self.init(number)
    }

    /// Draws an id that is not among `taken`.
    public static func random(avoiding taken: Set<KeyID>, using generator: inout some RandomNumberGenerator) -> KeyID {
        while true {
            if let id = KeyID(UInt32.random(in: 1...UInt32.max, using: &generator)), !taken.contains(id) { return id }
        }
    }

    /// The id as eight lower-case hexadecimal digits, as it stands in KR1's text form.
    public var description: String {
        let digits = String(rawValue, radix: 16)
        return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }

    /// Orders by the raw value, the text or the time.
    public static func < (left: KeyID, right: KeyID) -> Bool { left.rawValue < right.rawValue }

    private static func isLowerHexDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }
}
