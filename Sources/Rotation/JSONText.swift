internal import Foundation

extension Encodable {
    /// The value as JSON with stable key order.
    package func encoded() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension Decodable {
    /// Reads a value back from JSON; nil for no text.
    package static func decode(_ text: String?) throws -> Self? {
        guard let text else { return nil }
        return try JSONDecoder().decode(Self.self, from: Data(text.utf8))
    }
}
