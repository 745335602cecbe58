package import KeyModel

/// A statement whose values are always bound and whose identifiers are always quoted, never spliced.
///
/// ```swift
/// let sql: SQL = "UPDATE \(control: "runs") SET phase = \(phase) WHERE id = \(id)"
/// ```
/// Interpolated values become parameters, `control:` names a table of Keyturn's own schema, `identifier:` quotes a name,
/// and `raw:` takes SQL that the configuration gave (a `where`), which a driver has parsed before.
package struct SQL: ExpressibleByStringInterpolation, Sendable {
    /// A piece of a statement.
    package enum Part: Hashable, Sendable {
        /// Text of ours or of the configuration.
        case text(String)
        /// A value to bind.
        case parameter(SQLValue)
        /// A table of the control schema, without its prefix.
        case control(String)
        /// A name of the database's own, outermost first.
        case identifier([String])
    }

    /// The pieces, in order.
    package private(set) var parts: [Part]

    package init(stringLiteral value: String) { parts = [.text(value)] }

    package init(stringInterpolation: StringInterpolation) { parts = stringInterpolation.parts }

    /// Appends another statement's pieces.
    package static func + (left: SQL, right: SQL) -> SQL {
        var result = left
        result.parts += right.parts
        return result
    }

    /// Collects the pieces of an interpolated statement.
    package struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var parts: [Part] = []

        package init(literalCapacity: Int, interpolationCount: Int) {
            parts.reserveCapacity(interpolationCount * 2 + 1)
        }

        package mutating func appendLiteral(_ literal: String) { parts.append(.text(literal)) }
        /// Binds a value.
        package mutating func appendInterpolation(_ value: SQLValue) { parts.append(.parameter(value)) }
        /// Binds a text, or null.
        package mutating func appendInterpolation(_ value: String?) {
            parts.append(.parameter(value.map { .text($0) } ?? .null))
        }
        /// Binds a number, or null.
        package mutating func appendInterpolation(_ value: Int64?) {
            parts.append(.parameter(value.map { .integer($0) } ?? .null))
        }
        /// Binds a number.
        package mutating func appendInterpolation(_ value: Int) { parts.append(.parameter(.integer(Int64(value)))) }
        /// Binds 0 or 1.
        package mutating func appendInterpolation(_ value: Bool) { parts.append(.parameter(.integer(value ? 1 : 0))) }
        /// Binds bytes, or null.
        package mutating func appendInterpolation(_ value: [UInt8]?) {
            parts.append(.parameter(value.map { .blob($0) } ?? .null))
        }
        /// Binds a time's text, or null.
        package mutating func appendInterpolation(_ value: Timestamp?) { appendInterpolation(value?.description) }
        /// Binds a key id's number, or null.
        package mutating func appendInterpolation(_ value: KeyID?) {
            appendInterpolation(value.map { Int64($0.rawValue) })
        }
        /// Names a table of the control schema, without its prefix.
        package mutating func appendInterpolation(control table: String) { parts.append(.control(table)) }
        /// Names something of the database's own, outermost first.
        package mutating func appendInterpolation(identifier name: String...) { parts.append(.identifier(name)) }
        /// Names a table of the database's own.
        package mutating func appendInterpolation(table: TableName) { parts.append(.identifier(table.parts)) }
        /// Inserts SQL as it is; never text from outside.
        package mutating func appendInterpolation(raw text: String) { parts.append(.text(text)) }
        /// Inserts another statement's pieces.
        package mutating func appendInterpolation(_ sql: SQL) { parts += sql.parts }
    }
}

/// A value bound to or read from a statement on the control schema.
package enum SQLValue: Hashable, Sendable {
    /// No value.
    case null
    /// A whole number; truths are 0 and 1.
    case integer(Int64)
    /// A number with a fraction.
    case real(Double)
    /// Text.
    case text(String)
    /// Bytes.
    case blob([UInt8])
}

/// A row read from the control schema or the catalogue, by position.
package struct SQLRow: Sendable {
    /// The values in the order of the select list.
    package let values: [SQLValue]

    /// Makes a row.
    package init(_ values: [SQLValue]) { self.values = values }

    /// The whole number at a position.
    ///
    /// - Throws: ``StorageError`` with `storeUnexpected` where something else stands there.
    package func integer(_ index: Int) throws(StorageError) -> Int64 {
        guard index < values.count, case .integer(let number) = values[index] else {
            throw unexpected(index, "a whole number")
        }
        return number
    }

    /// The text at a position; throws as ``integer(_:)`` does.
    package func text(_ index: Int) throws(StorageError) -> String {
        guard index < values.count, case .text(let text) = values[index] else { throw unexpected(index, "text") }
        return text
    }

    /// The bytes at a position; throws as ``integer(_:)`` does.
    package func blob(_ index: Int) throws(StorageError) -> [UInt8] {
        guard index < values.count, case .blob(let bytes) = values[index] else { throw unexpected(index, "bytes") }
        return bytes
    }

    /// The key id at a position; throws as ``integer(_:)`` does.
    package func keyID(_ index: Int) throws(StorageError) -> KeyID {
        guard let number = UInt32(exactly: try integer(index)), let id = KeyID(number) else {
            throw unexpected(index, "a key id")
        }
        return id
    }

    /// The time at a position; throws as ``integer(_:)`` does.
    package func timestamp(_ index: Int) throws(StorageError) -> Timestamp {
        do { return try Timestamp(try text(index)) } catch { throw unexpected(index, "a time") }
    }

    /// Whether there is no value at a position.
    package func isNull(_ index: Int) -> Bool { index < values.count && values[index] == .null }

    /// The value at a position by one of the readers above, nil where there is none.
    package func optional<Value>(
        _ index: Int, _ read: (SQLRow) -> (Int) throws(StorageError) -> Value
    ) throws(StorageError) -> Value? {
        isNull(index) ? nil : try read(self)(index)
    }

    private func unexpected(_ index: Int, _ wanted: String) -> StorageError {
        StorageError(
            .storeUnexpected, "cannot read a row of the control schema: column \(index + 1) is not \(wanted)",
            hint: "Something other than Keyturn has written to its tables; restore them from a backup."
        )
    }
}
