internal import Foundation

extension FrameValue: Codable {
    /// Reads a value from JSON or the like; whole numbers stay whole.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let truth = try? container.decode(Bool.self) {
            self = .bool(truth)
        } else if let number = try? container.decode(Int64.self) {
            self = .integer(number)
        } else if let number = try? container.decode(Double.self) {
            self = .double(number)
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let list = try? container.decode([FrameValue].self) {
            self = .array(list)
        } else {
            self = .map(try container.decode([String: FrameValue].self))
        }
    }

    /// Writes the value; bytes become a text in base64, numbers that JSON has no word for become null.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let truth): try container.encode(truth)
        case .integer(let number): try container.encode(number)
        case .double(let number) where number.isFinite: try container.encode(number)
        case .double: try container.encodeNil()
        case .string(let text): try container.encode(text)
        case .binary(let bytes): try container.encode(Data(bytes).base64EncodedString())
        case .array(let list): try container.encode(list)
        case .map(let entries): try container.encode(entries)
        }
    }

    /// The value of a record of ours, its members by name.
    ///
    /// - Throws: `EncodingError` for what JSON cannot hold.
    package init(encoding record: some Encodable) throws {
        self = try JSONDecoder().decode(FrameValue.self, from: try JSONEncoder().encode(record))
    }

    /// Reads one value of JSON; nil where the text is none.
    package init?(json text: String) {
        // The decoder accepts what follows a number and the like only as an error.
        guard let value = try? JSONDecoder().decode(FrameValue.self, from: Data(text.utf8)) else { return nil }
        self = value
    }

    /// The value as JSON, members sorted by name.
    ///
    /// - Parameter isPretty: Whether it is laid out over lines for people.
    /// - Returns: The text, without a line end.
    package func json(isPretty: Bool = false) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if isPretty { encoder.outputFormatting.insert(.prettyPrinted) }
        guard let data = try? encoder.encode(self) else { return "null" }
        return String(decoding: data, as: UTF8.self)
    }
}
