internal import KeyModel
internal import Storage

/// A table as the catalogue has it.
struct TableRecord {
    let name: String
    let schema: String
    let sql: String
}

/// A column as the catalogue has it.
struct ColumnRecord {
    let name: String
    let declaredType: String
    let isNotNull: Bool
    /// The place in the primary key, from 1; 0 outside it.
    let keyPosition: Int
    let isGenerated: Bool
}

/// An index as the catalogue has it.
struct IndexRecord {
    let name: String
    let isUnique: Bool
    let isPrimaryKey: Bool
    let isPartial: Bool
    var terms: [Term]

    /// A column of an index; an expression has no name.
    struct Term {
        let name: String?
        let collation: String
    }

    /// The names of the columns, nil where one of them is an expression.
    var columns: [String]? {
        let names = terms.compactMap(\.name)
        return names.count == terms.count ? names : nil
    }
}

extension SQLiteSession {
    func controlTables() throws -> Set<String> {
        Set(try tableNames(ours: true).map { String($0.dropFirst(controlPrefix.count)) })
    }

    func tables() throws -> [TableName] { try tableNames(ours: false).map { TableName(name: $0) } }

    private func tableNames(ours: Bool) throws -> [String] {
        try rows(
            """
            SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
            AND (name LIKE 'keyturn\\_%' ESCAPE '\\') = ?1 ORDER BY name
            """, [.integer(ours ? 1 : 0)]
        ).map { try $0.text(0) }
    }

    /// Looks a table up, whatever the case of its name; nil for a view, a virtual table, or nothing at all.
    func tableRecord(_ table: TableName) throws -> TableRecord? {
        let schema = table.schema ?? "main"
        let found = try rows(
            """
            SELECT name, sql FROM \(quotedIdentifier(schema)).sqlite_schema
            WHERE type = 'table' AND rootpage > 0 AND name = ?1 COLLATE NOCASE
            """, [.text(table.name)])
        return try found.first.map { TableRecord(name: try $0.text(0), schema: schema, sql: try $0.text(1)) }
    }

    func columnRecords(of table: TableRecord) throws -> [ColumnRecord] {
        try rows(
            #"SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?1, ?2) ORDER BY cid"#,
            [.text(table.name), .text(table.schema)]
        ).map { row in
            ColumnRecord(
                name: try row.text(0), declaredType: try row.text(1), isNotNull: try row.integer(2) != 0,
                keyPosition: Int(try row.integer(3)), isGenerated: try row.integer(4) >= 2)
        }
    }

    func indexRecords(of table: TableRecord) throws -> [IndexRecord] {
        let rows = try rows(
            """
            SELECT i.name, i."unique", i.origin = 'pk', i.partial, t.name, t.coll, t.cid
            FROM pragma_index_list(?1, ?2) AS i, pragma_index_xinfo(i.name, ?2) AS t WHERE t.key = 1 ORDER BY i.seq, t.seqno
            """, [.text(table.name), .text(table.schema)])
        var indexes: [IndexRecord] = []
        for row in rows {
            let name = try row.text(0)
            if indexes.last?.name != name {
                indexes.append(
                    IndexRecord(
                        name: name, isUnique: try row.integer(1) != 0, isPrimaryKey: try row.integer(2) != 0,
                        isPartial: try row.integer(3) != 0, terms: []))
            }
            indexes[indexes.count - 1].terms.append(
                IndexRecord.Term(name: try row.optional(4, SQLRow.text), collation: try row.text(5)))
        }
        return indexes
    }
}
