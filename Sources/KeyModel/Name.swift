/// The name of a keyring, a provider, a consumer or a schedule: 1 to 63 characters, `a-z 0-9 _ -`, first a letter.
///
/// Parsed once, so that a name can stand in a file name, a log line or a table without being quoted again.
public struct Name: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The text.
    public let description: String

    /// Parses a name.
    ///
    /// - Throws: ``KeyModelError`` with `callerNameMalformed`.
    public init(_ text: String) throws(KeyModelError) {
        let bytes = text.utf8
        let isFirstLetter = bytes.first.map { (0x61...0x7A).contains($0) } ?? false
        guard isFirstLetter, bytes.count <= 63, bytes.allSatisfy(Self.isAllowed) else {
            throw KeyModelError(
                .callerNameMalformed, "\(quoted(text)) is no name",
                hint: "Use 1 to 63 of a-z, 0-9, _ and -, beginning with a letter."
            )
        }
        description = text
    }

    /// Orders by the raw value, the text or the time.
    public static func < (left: Name, right: Name) -> Bool { left.description < right.description }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2D
    }
}
