/// The dotted names that stand in a text of Lua outside of comments and quotes, such as `backups.create`.
///
/// A function can reach further by other means (an alias, an index with a text); what it calls so is not in the list and
/// is refused to it when it runs.
struct MentionedNames {
    /// The names.
    let names: Set<String>

    /// Reads a text; what is no Lua gives no error here.
    init(in bytes: [UInt8]) {
        var names: Set<String> = []
        var index = 0
        while index < bytes.count {
            if let end = Self.skipped(bytes, index) {
                index = end
            } else if Self.isWordStart(bytes[index]) {
                let start = index
                while index < bytes.count, Self.isWord(bytes[index]) || bytes[index] == UInt8(ascii: ".") { index += 1 }
                let name = String(decoding: bytes[start..<index], as: UTF8.self)
                if name.contains(".") { names.insert(name) }
            } else {
                // A number's letters are no word.
                let isDigit = (0x30...0x39).contains(bytes[index])
                index += 1
                while isDigit, index < bytes.count, Self.isWord(bytes[index]) { index += 1 }
            }
        }
        self.names = names
    }

    /// Where a comment or a quoted text that begins at an index ends; nil where none begins there.
    private static func skipped(_ bytes: [UInt8], _ index: Int) -> Int? {
        let byte = bytes[index]
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { return endOfText(bytes, index) }
        if byte == UInt8(ascii: "[") { return endOfLongText(bytes, index) }
        guard byte == UInt8(ascii: "-"), index + 1 < bytes.count, bytes[index + 1] == byte else { return nil }
        if index + 2 < bytes.count, let end = endOfLongText(bytes, index + 2) { return end }
        return bytes[index...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
    }

    private static func endOfText(_ bytes: [UInt8], _ start: Int) -> Int {
        var index = start + 1
        while index < bytes.count, bytes[index] != bytes[start], bytes[index] != UInt8(ascii: "\n") {
            index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(index + 1, bytes.count)
    }

    /// The end of `[==[ … ]==]`; nil where no such text begins.
    private static func endOfLongText(_ bytes: [UInt8], _ start: Int) -> Int? {
        guard start < bytes.count, bytes[start] == UInt8(ascii: "[") else { return nil }
        var index = start + 1
        while index < bytes.count, bytes[index] == UInt8(ascii: "=") { index += 1 }
        guard index < bytes.count, bytes[index] == UInt8(ascii: "[") else { return nil }
        let level = index - start - 1
        let closing = [UInt8(ascii: "]")] + [UInt8](repeating: UInt8(ascii: "="), count: level) + [UInt8(ascii: "]")]
        while index < bytes.count {
            if bytes[index...].starts(with: closing) { return index + closing.count }
            index += 1
        }
        return bytes.count
    }

    private static func isWordStart(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F
    }

    private static func isWord(_ byte: UInt8) -> Bool { isWordStart(byte) || (0x30...0x39).contains(byte) }
}
