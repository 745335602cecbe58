internal import CPostgreSQL
internal import Storage

/// What a statement answered, freed with this object.
final class ResultSet {
    // Safety: freed once, in deinit; never handed out.
    private let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { PQclear(handle) }

    /// Whether the statement went through.
    var isSuccess: Bool { [PGRES_COMMAND_OK, PGRES_TUPLES_OK].contains(PQresultStatus(handle)) }
    /// Whether it ends what was sent together.
    var isSync: Bool { PQresultStatus(handle) == PGRES_PIPELINE_SYNC }
    /// How many rows there are.
    var rowCount: Int { Int(PQntuples(handle)) }
    /// How many columns a row has.
    var columnCount: Int { Int(PQnfields(handle)) }
    /// How many parameters a described statement takes.
    var parameterCount: Int { Int(PQnparams(handle)) }
    /// The tag of the command, such as `COMMIT`.
    var commandTag: String { PQcmdStatus(handle).map { String(cString: $0) } ?? "" }

    /// How many rows an INSERT, UPDATE or DELETE changed.
    var changedRows: Int {
        guard ["INSERT", "UPDATE", "DELETE", "MERGE"].contains(where: commandTag.hasPrefix),
            let count = PQcmdTuples(handle)
        else { return 0 }
        return Int(String(cString: count)) ?? 0
    }

    /// The code of the failure by the SQL standard; empty where the server had no chance to say anything.
    var sqlState: String { field(CInt(UInt8(ascii: "C"))) ?? "" }
    /// The first line of the server's words; details, which may quote values, are left aside.
    var primaryMessage: String { field(CInt(UInt8(ascii: "M"))) ?? "" }

    private func field(_ code: CInt) -> String? { PQresultErrorField(handle, code).map { String(cString: $0) } }
}

extension ResultSet {
    /// Whether there is no value.
    func isNull(_ row: Int, _ column: Int) -> Bool { PQgetisnull(handle, CInt(row), CInt(column)) != 0 }

    /// The bytes of a value, empty where there is none.
    func bytes(_ row: Int, _ column: Int) -> [UInt8] { withBytes(row, column) { [UInt8]($0) } }

    /// A whole number of 2, 4 or 8 bytes in binary form.
    func integer(_ row: Int, _ column: Int) -> Int64 {
        withBytes(row, column) { bytes in
            switch bytes.count {
            case 2: Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
            case 4: Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
            case 8: Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
            default: 0
            }
        }
    }

    /// A truth in binary form; no value is false.
    func truth(_ row: Int, _ column: Int) -> Bool { withBytes(row, column) { $0.first ?? 0 } != 0 }

    /// A value of the control schema or the catalogue, from its text form.
    func value(_ row: Int, _ column: Int) -> SQLValue {
        guard !isNull(row, column) else { return .null }
        let bytes = bytes(row, column)
        let text = String(decoding: bytes, as: UTF8.self)
        switch PQftype(handle, CInt(column)) {
        case 16: return .integer(text == "t" ? 1 : 0)
        case 17: return .blob(Self.unhexed(bytes))
        case 20, 21, 23, 26: return Int64(text).map(SQLValue.integer) ?? .text(text)
        case 700, 701: return Double(text).map(SQLValue.real) ?? .text(text)
        case 1700: return Int64(text).map(SQLValue.integer) ?? Double(text).map(SQLValue.real) ?? .text(text)
        default: return .text(text)
        }
    }

    private func withBytes<Value>(_ row: Int, _ column: Int, _ body: (UnsafeRawBufferPointer) -> Value) -> Value {
        let start = PQgetvalue(handle, CInt(row), CInt(column))
        return body(UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(handle, CInt(row), CInt(column)))))
    }

    /// Reads the form `\x0a…`.
    private static func unhexed(_ text: [UInt8]) -> [UInt8] {
        stride(from: 2, to: text.count - 1, by: 2).map { digit(text[$0]) << 4 | digit(text[$0 + 1]) }
    }

    private static func digit(_ character: UInt8) -> UInt8 {
        character <= UInt8(ascii: "9") ? character &- UInt8(ascii: "0") : (character | 0x20) &- UInt8(ascii: "a") &+ 10
    }
}
