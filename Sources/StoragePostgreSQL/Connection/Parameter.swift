internal import PluginKit
internal import Storage

/// A value to bind, in the form that goes over the wire.
struct Parameter {
    /// The type as the server numbers it; 0 leaves it to the server.
    let type: UInt32
    /// The bytes, nil for no value.
    let bytes: [UInt8]?
    /// Whether the bytes are the type's binary form or its text form.
    let isBinary: Bool

    /// The types that are bound, by their fixed numbers in `pg_type`.
    enum TypeID {
        static let bytea: UInt32 = 17
        static let int8: UInt32 = 20
        static let text: UInt32 = 25
        static let float8: UInt32 = 701
        static let uuid: UInt32 = 2950
        static let byteaArray: UInt32 = 1001
        static let textArray: UInt32 = 1009
        static let int8Array: UInt32 = 1016
        static let uuidArray: UInt32 = 2951
    }

    private init(type: UInt32, bytes: [UInt8]?, isBinary: Bool = true) {
        self.type = type
        self.bytes = bytes
        self.isBinary = isBinary
    }

    /// A value of the control schema, with its type declared, so that it has it in a select list too.
    init(_ value: SQLValue) {
        switch value {
        case .null: self.init(type: 0, bytes: nil)
        case .integer(let number): self.init(number)
        case .real(let number): self.init(type: TypeID.float8, bytes: bigEndianBytes(of: number.bitPattern))
        case .text(let text): self.init(text)
        case .blob(let bytes): self.init(type: TypeID.bytea, bytes: bytes)
        }
    }

    /// A whole number.
    init(_ number: Int64) { self.init(type: TypeID.int8, bytes: bigEndianBytes(of: number)) }

    /// Text.
    init(_ text: String) { self.init(type: TypeID.text, bytes: [UInt8](text.utf8)) }

    /// A constant in its text form, read by the server as whatever type its column has.
    init(untyped value: SQLValue) {
        let text: [UInt8]? =
            switch value {
            case .null: nil
            case .integer(let number): [UInt8](String(number).utf8)
            case .real(let number): [UInt8]("\(number)".utf8)
            case .text(let text): [UInt8](text.utf8)
            case .blob(let bytes): [UInt8]("\\x".utf8) + bytes.flatMap(Self.hexDigits)
            }
        self.init(type: 0, bytes: text, isBinary: false)
    }

    /// An array of one dimension.
    init(array: ArrayEncoder) { self.init(type: array.arrayType, bytes: array.finished) }

    private static func hexDigits(_ byte: UInt8) -> [UInt8] {
        let digits = [UInt8]("0123456789abcdef".utf8)
        return [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
}

/// Writes an array of one dimension in its binary form: dimensions, a flag for nulls, the element's type, the length
/// and lower bound, then each element behind its length (−1 for none); all numbers are 32 bits, big-endian.
struct ArrayEncoder {
    let arrayType: UInt32
    private var bytes: [UInt8]

    /// Begins an array of so many elements.
    init(of elementType: UInt32, arrayType: UInt32, count: Int, byteCount: Int = 0) {
        self.arrayType = arrayType
        bytes = []
        bytes.reserveCapacity(20 + byteCount + count * 4)
        // An array without elements has no dimensions either, but none of ours is ever empty.
        append(number: 1)
        append(number: 1)
        append(number: elementType)
        append(number: UInt32(truncatingIfNeeded: count))
        append(number: 1)
    }

    static func blobs(count: Int, byteCount: Int) -> ArrayEncoder {
        ArrayEncoder(
            of: Parameter.TypeID.bytea, arrayType: Parameter.TypeID.byteaArray, count: count, byteCount: byteCount)
    }

    static func texts(count: Int, byteCount: Int) -> ArrayEncoder {
        ArrayEncoder(
            of: Parameter.TypeID.text, arrayType: Parameter.TypeID.textArray, count: count, byteCount: byteCount)
    }

    static func numbers(count: Int) -> ArrayEncoder {
        ArrayEncoder(
            of: Parameter.TypeID.int8, arrayType: Parameter.TypeID.int8Array, count: count, byteCount: count * 8)
    }

    static func uuids(count: Int) -> ArrayEncoder {
        ArrayEncoder(
            of: Parameter.TypeID.uuid, arrayType: Parameter.TypeID.uuidArray, count: count, byteCount: count * 16)
    }

    /// Appends bytes, or no value.
    mutating func append(_ element: [UInt8]?) {
        guard let element else { return append(number: .max) }
        append(number: UInt32(truncatingIfNeeded: element.count))
        bytes.append(contentsOf: element)
    }

    /// Appends a number of 64 bits.
    mutating func append(_ element: Int64) {
        append(number: 8)
        withUnsafeBytes(of: element.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// The whole array.
    var finished: [UInt8] { bytes }

    private mutating func append(number: UInt32) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }
}

/// The bytes of a number, most significant first.
func bigEndianBytes(of number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number.bigEndian, Array.init) }
