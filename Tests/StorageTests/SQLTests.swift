import KeyModel
import Storage
import Testing

struct SQLTests {
    @Test
    func interpolatedValuesBecomeParameters() throws {
        let text: String? = "it's"
        let id = try #require(KeyID(7))
        let sql: SQL = "SELECT \(text), \(Int64(5)), \(3), \(true), \([1, 2] as [UInt8]), \(id), \(nil as String?)"
        let parameters = sql.parts.compactMap { if case .parameter(let value) = $0 { value } else { nil } }
        #expect(
            parameters == [.text("it's"), .integer(5), .integer(3), .integer(1), .blob([1, 2]), .integer(7), .null])
        let literal = sql.parts.compactMap { if case .text(let text) = $0 { text } else { nil } }.joined()
        #expect(!literal.contains("it's"))
    }

    @Test
    func namesStayApartFromText() {
        let table = TableName(schema: "main", name: "a\"b")
        let sql: SQL = "SELECT \(identifier: "x", "y") FROM \(table: table), \(control: "runs")"
        #expect(
            sql.parts.filter { if case .text = $0 { false } else { true } }
                == [.identifier(["x", "y"]), .identifier(["main", "a\"b"]), .control("runs")])
    }

    @Test
    func statementsAreJoinedWithTheirParameters() {
        let filter: SQL = " WHERE id = \(1)"
        let joined: SQL = "DELETE FROM t" + filter
        let nested: SQL = "DELETE FROM t\(filter)"
        #expect(joined.parts.contains(.parameter(.integer(1))))
        #expect(nested.parts.contains(.parameter(.integer(1))))
    }

    @Test
    func rowsSayWhatStandsWhere() throws {
        let row = SQLRow([.integer(7), .text("2026-01-02T03:04:05.000Z"), .blob([1]), .null, .real(0.5)])
        #expect(try row.integer(0) == 7)
        #expect(try row.keyID(0) == KeyID(7))
        #expect(try row.text(1).hasPrefix("2026"))
        #expect(try row.blob(2) == [1])
        #expect(row.isNull(3))
        #expect(try row.optional(3, SQLRow.integer) == nil)
        #expect(try row.optional(0, SQLRow.integer) == 7)
    }

    @Test(arguments: [0, 1, 3, 4, 99])
    func aRowOfTheWrongKindIsAnErrorNotATrap(index: Int) {
        let row = SQLRow([.text("x"), .integer(-1), .integer(0), .null, .real(1)])
        #expect(throws: StorageError.self) { _ = try row.blob(index) }
        #expect(throws: StorageError.self) { _ = try row.keyID(index) }
        #expect(throws: StorageError.self) { _ = try row.timestamp(index) }
    }
}
