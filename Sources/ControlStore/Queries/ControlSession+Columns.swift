package import KeyModel
internal import PluginKit
internal import Storage

extension ControlSession {
    /// All columns, by number.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func columns() throws -> [ColumnRecord] {
        let rows = try storage.query(
            """
            SELECT id, logical_name, path, keyring, key_columns, context, predicate, plaintext, assignments, is_declared,
                is_fenced FROM \(control: "columns") ORDER BY id
            """
        )
        let acknowledged = try acknowledgedOfColumns()
        return try rows.map { try columnRecord($0, acknowledged) }
    }

    /// What is acknowledged of columns, by their number; nothing in a schema from before anything could be.
    private func acknowledgedOfColumns() throws -> [Int64: Set<ColumnDeclaration.Acknowledgement>] {
        guard try storage.controlTables().contains("column_acknowledgements") else { return [:] }
        return try storage.query("SELECT column_id, what FROM \(control: "column_acknowledgements")")
            .reduce(into: [:]) { found, row in
                // A word that this build does not know acknowledges nothing that it asks for.
                guard let known = ColumnDeclaration.Acknowledgement(rawValue: try row.text(1)) else { return }
                found[try row.integer(0), default: []].insert(known)
            }
    }

    /// Replaces what the fence of a column admits.
    ///
    /// - Throws: ``StorageError``.
    package func setFence(of column: Int64, admitting marks: [FenceMark]) throws {
        try storage.execute("DELETE FROM \(control: "fences") WHERE column_id = \(column)")
        for mark in marks {
            try storage.execute(
                """
                INSERT INTO \(control: "fences") (column_id, form, first_at, first, second_at, second, key_id)
                VALUES (\(column), \(mark.form), \(mark.firstAt), \(mark.first), \(mark.secondAt.map(Int64.init)),
                        \(mark.second), \(mark.key))
                """
            )
        }
    }

    /// Gives a column to another keyring, its values bound otherwise; raw values of the scheme.
    ///
    /// - Throws: ``StorageError``.
    package func move(_ column: Int64, to keyring: Name, context: UInt8) throws {
        try storage.execute(
            """
            UPDATE \(control: "columns") SET keyring = \(keyring.description), context = \(Int(context))
            WHERE id = \(column)
            """
        )
    }

    /// Records whether a fence guards a column.
    ///
    /// - Throws: ``StorageError``.
    package func setFenced(_ isFenced: Bool, column: Int64) throws {
        try storage.execute("UPDATE \(control: "columns") SET is_fenced = \(isFenced) WHERE id = \(column)")
    }

    private func columnRecord(
        _ row: SQLRow, _ acknowledged: [Int64: Set<ColumnDeclaration.Acknowledgement>]
    ) throws -> ColumnRecord {
        let path = try row.text(2)
        let what = "column \"\(path)\""
        guard let scheme = UInt8(exactly: try row.integer(5)).flatMap(ValueContext.Scheme.init(rawValue:)),
            let plaintext = ColumnDeclaration.PlaintextPolicy(rawValue: try row.text(7))
        else {
            throw ControlStoreError(.storeRecordDamaged, "cannot read the record of \(what)")
        }
        let assignments = try JSONText.decode(try row.text(8), as: [StoredAssignment].self, of: what)
        let declaration = ColumnDeclaration(
            path: try ColumnPath(path), keyring: try Name(row.text(3)),
            key: try JSONText.decode(try row.text(4), as: [String].self, of: what), context: scheme,
            predicate: try row.optional(6, SQLRow.text), plaintext: plaintext,
            assignments: assignments.map(\.assignment), acknowledged: acknowledged[try row.integer(0)] ?? []
        )
        return ColumnRecord(
            id: try row.integer(0), logicalName: try row.text(1), declaration: declaration,
            isDeclared: try row.integer(9) != 0, isFenced: try row.integer(10) != 0
        )
    }
}

/// An assignment in its JSON form: a constant is a text or a whole number.
struct StoredAssignment: Codable {
    let column: String
    let text: String?
    let integer: Int64?
    let real: Double?

    init(_ assignment: ColumnTarget.Assignment) {
        column = assignment.column
        switch assignment.value {
        case .text(let value): (text, integer, real) = (value, nil, nil)
        case .integer(let value): (text, integer, real) = (nil, value, nil)
        case .real(let value): (text, integer, real) = (nil, nil, value)
        case .null, .blob: (text, integer, real) = (nil, nil, nil)
        }
    }

    var assignment: ColumnTarget.Assignment {
        let value: SQLValue =
            text.map(SQLValue.text) ?? integer.map(SQLValue.integer) ?? real.map(SQLValue.real) ?? .null
        return ColumnTarget.Assignment(column: column, value: value)
    }
}
