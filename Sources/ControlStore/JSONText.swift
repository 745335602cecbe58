internal import Foundation

/// JSON in a text column: stable key order, so that equal values give equal texts.
enum JSONText {
    static func encode(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    static func decode<Value: Decodable>(_ text: String, as type: Value.Type = Value.self, of what: String) throws
        -> Value
    {
        do {
            return try JSONDecoder().decode(type, from: Data(text.utf8))
        } catch {
            throw ControlStoreError(
                .storeRecordDamaged, "cannot read the record of \(what)",
                hint: "Something other than Keyturn has written to its tables; restore them from a backup.",
                cause: error
            )
        }
    }
}
