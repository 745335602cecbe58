internal import PluginKit
internal import Storage

extension PostgreSQLSession {
    /// The components of a key as parameters for ``ColumnShape/orderCondition(_:from:)``.
    ///
    /// - Throws: ``StorageError`` with `storeUnexpected` where they are not those of the column's key.
    func parameters(of key: RowKey, _ shape: ColumnShape) throws -> [Parameter] {
        try check(key, shape)
        return zip(key.components, shape.key).map { component, column in
            switch component {
            case .integer(let number): Parameter(number)
            case .text(let bytes): Parameter(String(decoding: bytes, as: UTF8.self))
            case .uuid(let text): Parameter(untyped: .text(text))
            case .blob(let bytes): Parameter(SQLValue.blob(bytes))
            }
        }
    }

    /// Keys as one array a key column; throws as ``parameters(of:_:)`` does.
    func arrays(of keys: [RowKey], _ shape: ColumnShape) throws -> [Parameter] {
        for key in keys { try check(key, shape) }
        return try shape.key.indices.map { position in
            var array =
                switch shape.key[position].form {
                case .integer: ArrayEncoder.numbers(count: keys.count)
                case .text, .paddedText: ArrayEncoder.texts(count: keys.count, byteCount: keys.count * 24)
                case .uuid: ArrayEncoder.uuids(count: keys.count)
                case .blob: ArrayEncoder.blobs(count: keys.count, byteCount: keys.count * 24)
                }
            for key in keys {
                switch key.components[position] {
                case .integer(let number): array.append(number)
                case .text(let bytes), .blob(let bytes): array.append(bytes)
                case .uuid(let text):
                    guard let bytes = Self.uuidBytes(text) else { throw mismatch(shape) }
                    array.append(bytes)
                }
            }
            return Parameter(array: array)
        }
    }

    /// The key of a row whose components stand from a column on.
    ///
    /// - Throws: ``StorageError`` with `storeUnexpected` where one of them is no value.
    func key(_ result: ResultSet, row: Int, from first: Int, _ shape: ColumnShape) throws -> RowKey {
        var components: [KeyComponent] = []
        components.reserveCapacity(shape.key.count)
        for (position, column) in shape.key.enumerated() {
            guard !result.isNull(row, first + position) else { throw unusableKey(shape, position) }
            components.append(Self.component(result, row, first + position, column.form))
        }
        return RowKey(components)
    }

    /// A row of the table holds no value in a key column, so that nothing names it.
    func unusableKey(_ shape: ColumnShape, _ position: Int) -> StorageError {
        unexpected(
            shape, doing: "read", "in a row of the table the key column \(shape.target.key[position]) holds NULL",
            hint: "Give such rows a key, or declare another unique one.")
    }

    private static func component(
        _ result: ResultSet, _ row: Int, _ column: Int, _ form: ColumnShape.KeyColumn.Form
    ) -> KeyComponent {
        switch form {
        case .integer: return .integer(result.integer(row, column))
        case .text: return .text(result.bytes(row, column))
        case .paddedText:
            let bytes = result.bytes(row, column)
            let end = bytes.lastIndex { $0 != UInt8(ascii: " ") }.map { $0 + 1 } ?? 0
            return .text(Array(bytes[..<end]))
        case .uuid: return .uuid(uuidText(result.bytes(row, column)))
        case .blob: return .blob(result.bytes(row, column))
        }
    }

    private func check(_ key: RowKey, _ shape: ColumnShape) throws {
        guard key.components.count == shape.key.count else {
            throw unexpected(
                shape, doing: "use",
                "a key of \(key.components.count) components came for a key of \(shape.key.count) columns")
        }
        for (component, column) in zip(key.components, shape.key) {
            switch (component, column.form) {
            case (.integer, .integer), (.text, .text), (.text, .paddedText), (.uuid, .uuid), (.blob, .blob): break
            default: throw mismatch(shape)
            }
        }
    }

    private func mismatch(_ shape: ColumnShape) -> StorageError {
        unexpected(shape, doing: "use", "a key came whose components are not of the types of its columns")
    }

    private static func uuidText(_ bytes: [UInt8]) -> String {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            text += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return text
    }

    private static func uuidBytes(_ text: String) -> [UInt8]? {
        let digits = text.utf8.filter { $0 != UInt8(ascii: "-") }.map { Character(Unicode.Scalar($0)).hexDigitValue }
        guard digits.count == 32 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: 32, by: 2) {
            guard let high = digits[index], let low = digits[index + 1] else { return nil }
            bytes.append(UInt8(high << 4 | low))
        }
        return bytes
    }
}
