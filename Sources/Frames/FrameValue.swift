/// A value that a frame carries: the subset of MessagePack that every peer of ours speaks.
package enum FrameValue: Hashable, Sendable {
    /// No value.
    case null
    /// A truth.
    case bool(Bool)
    /// A whole number.
    case integer(Int64)
    /// A number with a fraction.
    case double(Double)
    /// Text, always valid UTF-8.
    case string(String)
    /// Bytes, also those of a text that is not valid UTF-8.
    case binary([UInt8])
    /// Values in order.
    case array([FrameValue])
    /// Values by name; written in the order of the names, so that equal maps give equal bytes.
    case map([String: FrameValue])

    /// The value under a name; nil where there is none or this is no map.
    package subscript(name: String) -> FrameValue? {
        guard case .map(let entries) = self else { return nil }
        return entries[name]
    }
}

extension FrameValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: FrameValue...) { self = .array(elements) }

    /// Makes a map; where a name stands twice, the last value counts.
    package init(dictionaryLiteral elements: (String, FrameValue)...) {
        self = .map(Dictionary(elements) { _, last in last })
    }
}
