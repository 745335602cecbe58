internal import Foundation
package import Frames
internal import Terminal

/// Writes values as Lua does, for people to read; whatever the value, it ends and controls no terminal.
package struct LuaInspector: Sendable {
    /// How wide a table may be that stands in one line.
    let width: Int

    private static let depthLimit = 16
    private static let reserved: Set<String> = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    ]

    /// Makes an inspector for a terminal of this width.
    package init(width: Int) { self.width = max(20, width) }

    /// The lines of a value.
    package func lines(_ value: FrameValue) -> [String] {
        text(value, indent: 0).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    private func text(_ value: FrameValue, indent: Int) -> String {
        switch value {
        case .null: "nil"
        case .bool(let truth): truth ? "true" : "false"
        case .integer(let number): String(number)
        case .double(let number): Self.number(number)
        case .string(let text): Self.quoted(text)
        case .binary(let bytes): Self.quoted(bytes)
        case .array(let items): table(items.map { (nil, $0) }, indent: indent)
        case .map(let entries):
            table(entries.sorted { $0.key < $1.key }.map { (Self.key($0.key), $0.value) }, indent: indent)
        }
    }

    private func table(_ entries: [(key: String?, value: FrameValue)], indent: Int) -> String {
        guard !entries.isEmpty else { return "{}" }
        guard indent < Self.depthLimit else { return "{ … }" }
        let parts = entries.map { ($0.key.map { "\($0) = " } ?? "") + text($0.value, indent: indent + 1) }
        let flat = "{ " + parts.joined(separator: ", ") + " }"
        if !flat.contains("\n"), flat.terminalWidth + indent * 2 <= width { return flat }
        let inner = String(repeating: "  ", count: indent + 1)
        return "{\n" + parts.map { "\(inner)\($0),\n" }.joined() + String(repeating: "  ", count: indent) + "}"
    }

    private static func number(_ number: Double) -> String {
        if number.isNaN { return "nan" }
        if number.isInfinite { return number < 0 ? "-inf" : "inf" }
        return number == number.rounded() && abs(number) < 1e15 ? String(format: "%.1f", number) : "\(number)"
    }

    private static func key(_ name: String) -> String {
        let isName =
            name.utf8.first.map { !(0x30...0x39).contains($0) } ?? false
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || byte == 0x5F
            }
        return isName && !reserved.contains(name) ? name : "[\(quoted(name))]"
    }

    private static func quoted(_ text: String) -> String {
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        return "\"\(escaped.escapedForTerminal)\""
    }

    private static func quoted(_ bytes: [UInt8]) -> String {
        let shown = bytes.prefix(256).map { byte in
            (0x20..<0x7F).contains(byte) && byte != 0x22 && byte != 0x5C
                ? String(UnicodeScalar(byte)) : String(format: "\\x%02x", byte)
        }
        return "\"\(shown.joined())\"" + (bytes.count > 256 ? " … \(bytes.count) bytes" : "")
    }
}
