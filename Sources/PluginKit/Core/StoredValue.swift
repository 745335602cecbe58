/// Plain bytes, where what they mean is said by the type around them.
public typealias Bytes = [UInt8]

/// A value as it stands in a column, byte for byte.
public enum StoredValue: Hashable, Sendable {
    /// No value.
    case null
    /// Text, as the bytes of its UTF-8 form; not necessarily valid UTF-8, since databases let other bytes in.
    case text(Bytes)
    /// Binary.
    case blob(Bytes)
    /// Anything else an engine stores (an integer in a text column of SQLite), in the engine's own text form.
    case other(String)

    /// The form of the value, nil where there are no bytes to seal.
    public var form: ValueForm? {
        switch self {
        case .text: .text
        case .blob: .blob
        case .null, .other: nil
        }
    }

    /// The bytes of text or binary, nil otherwise.
    public var bytes: Bytes? {
        switch self {
        case .text(let bytes), .blob(let bytes): bytes
        case .null, .other: nil
        }
    }

    /// Makes a value of bytes in a form.
    public init(_ bytes: Bytes, as form: ValueForm) {
        self = form == .text ? .text(bytes) : .blob(bytes)
    }
}

/// Whether a sealed value is to stand in a text or in a binary column.
public enum ValueForm: String, Hashable, Sendable {
    /// Printable ASCII.
    case text
    /// Raw bytes.
    case blob
}
