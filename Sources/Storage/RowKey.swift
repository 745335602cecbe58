internal import KeyModel

/// One component of a primary key.
package enum KeyComponent: Hashable, Sendable {
    /// A whole number of any width.
    case integer(Int64)
    /// Text, as the bytes of its UTF-8 form.
    case text([UInt8])
    /// A UUID of an engine that has the type, as lower-case text.
    case uuid(String)
    /// Binary.
    case blob([UInt8])

    /// The bytes that a value is bound to: integers in decimal whatever their width, uuid in lower-case text, text as UTF-8,
    /// bytes raw.
    package var canonical: [UInt8] {
        switch self {
        case .integer(let number): [UInt8](String(number).utf8)
        case .text(let bytes), .blob(let bytes): bytes
        case .uuid(let text): [UInt8](text.lowercased().utf8)
        }
    }
}

/// The primary key of a row, one component a key column.
package struct RowKey: Hashable, Sendable, CustomStringConvertible {
    /// The components in the order of the declared key.
    package let components: [KeyComponent]

    /// Makes a key.
    package init(_ components: [KeyComponent]) { self.components = components }

    /// The key as bytes, for a cursor: per component a tag (`i t u b`), a 32-bit big-endian length, and the bytes.
    package var encoded: [UInt8] {
        components.flatMap { component -> [UInt8] in
            let bytes = component.canonical
            let count = UInt32(bytes.count)
            return [component.tag] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + bytes
        }
    }

    /// Reads a key back from its bytes; nil where they are none.
    package init?(encoded: [UInt8]) {
        var rest = encoded[...]
        var components: [KeyComponent] = []
        while let tag = rest.popFirst() {
            guard rest.count >= 4 else { return nil }
            let count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(4)
            let bytes = Array(rest.prefix(count))
            // Only the one form that ``encoded`` writes is read, so that equal keys are equal bytes.
            guard bytes.count == count, let component = KeyComponent(tag: tag, bytes: bytes),
                component.canonical == bytes
            else { return nil }
            components.append(component)
            rest = rest.dropFirst(count)
        }
        guard !components.isEmpty else { return nil }
        self.components = components
    }

    /// The key for people: components separated by commas, text quoted, bytes in hexadecimal.
    package var description: String {
        components.map { component in
            switch component {
            case .integer(let number): String(number)
            case .text(let bytes): quoted(String(decoding: bytes, as: UTF8.self))
            case .uuid(let text): text
            case .blob(let bytes): "x'" + bytes.prefix(64).map(Self.hex).joined() + (bytes.count > 64 ? "…'" : "'")
            }
        }.joined(separator: ",")
    }

    private static func hex(_ byte: UInt8) -> String { String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }
}

extension KeyComponent {
    fileprivate var tag: UInt8 {
        switch self {
        case .integer: UInt8(ascii: "i")
        case .text: UInt8(ascii: "t")
        case .uuid: UInt8(ascii: "u")
        case .blob: UInt8(ascii: "b")
        }
    }

    fileprivate init?(tag: UInt8, bytes: [UInt8]) {
        switch tag {
        case UInt8(ascii: "i"):
            guard let number = Int64(String(decoding: bytes, as: UTF8.self)) else { return nil }
            self = .integer(number)
        case UInt8(ascii: "t"): self = .text(bytes)
        case UInt8(ascii: "u"): self = .uuid(String(decoding: bytes, as: UTF8.self))
        case UInt8(ascii: "b"): self = .blob(bytes)
        default: return nil
        }
    }
}
