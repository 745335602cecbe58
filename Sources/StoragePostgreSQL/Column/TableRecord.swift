internal import PluginKit
internal import Storage

/// A table as the catalogue has it.
struct TableRecord {
    let id: Int64
    let schema: String
    let name: String
    /// Whether rows are hidden from the role by policies.
    let hidesRows: Bool
    /// Whether other tables inherit from it the old way.
    let isInherited: Bool
    /// Changes whenever the table, its columns, indexes, triggers or rules do.
    let fingerprint: String

    /// The same with what the role sees of it.
    var wholeFingerprint: String { "\(fingerprint) \(hidesRows) \(isInherited)" }

    /// The table as SQL writes it.
    var sql: String { "\(quotedIdentifier(schema)).\(quotedIdentifier(name))" }
}

/// A column as the catalogue has it.
struct ColumnRecord {
    let number: Int64
    let name: String
    let declaredType: String
    let isNotNull: Bool
    let isGenerated: Bool
    /// The type beneath any domains.
    let baseType: String
    let baseSchema: String
    /// Length and the like, −1 for none.
    let modifier: Int64
    /// Whether equal means equal bytes, as far as the collation is concerned.
    let isDeterministic: Bool

    /// The base type as SQL writes it.
    var baseSQL: String { "\(quotedIdentifier(baseSchema)).\(quotedIdentifier(baseType))" }

    private var isBuiltIn: Bool { baseSchema == "pg_catalog" }

    /// What kind of values it is declared for.
    var kind: ColumnDescription.Kind {
        if !isBuiltIn { return baseType == "citext" ? .text : .other }
        return switch baseType {
        case "text", "varchar", "bpchar", "json", "jsonb", "xml": .text
        case "bytea": .blob
        case "int2", "int4", "int8": .integer
        case "uuid": .uuid
        default: .other
        }
    }

    /// Whether text must be cast by word to become a value of it; a cast by word would cut a varchar short in silence.
    var needsCast: Bool { isBuiltIn && ["json", "jsonb", "xml"].contains(baseType) }

    /// Whether it changes what is written to it: spaces within jsonb, those at the end of char.
    var altersValues: Bool { isBuiltIn && ["jsonb", "bpchar"].contains(baseType) }

    /// Whether it takes nothing but JSON.
    var holdsDocuments: Bool { isBuiltIn && ["json", "jsonb"].contains(baseType) }

    /// The most characters it takes.
    var maximumLength: Int? {
        guard isBuiltIn, ["varchar", "bpchar"].contains(baseType), modifier > 4 else { return nil }
        return Int(modifier - 4)
    }
}

/// An index as the catalogue has it.
struct IndexRecord {
    let isUnique: Bool
    let isPrimaryKey: Bool
    /// Whether it holds every row, and nothing but plain columns under collations by which equal means equal bytes.
    let coversPlainly: Bool
    /// The columns by whose values it is ordered.
    let keyColumns: [String]
    /// All columns that it covers or computes from.
    let columns: Set<String>
    /// Those among them that appear in an expression or its condition only.
    let computedFrom: Set<String>
}

extension PostgreSQLSession {
    /// Looks a table up; nil for a view, a foreign table, or nothing at all.
    func tableRecord(_ table: TableName) throws -> TableRecord? {
        // The server would cut longer names and find another table.
        guard !table.name.isEmpty, table.parts.allSatisfy({ $0.utf8.count <= 63 && !$0.utf8.contains(0) }) else {
            return nil
        }
        return try tableRecord(
            rows(of: connection.execute(Self.tableText, Self.tableParameters(table), doing: "read", "the catalogue")))
    }

    /// The statement that looks a table up.
    static let tableText = """
        SELECT c.oid::int8, n.nspname::text, c.relname::text, row_security_active(c.oid),
            c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid),
            concat_ws(' ', c.oid, c.xmin, n.xmin,
                (SELECT string_agg(concat_ws(':', a.attnum, a.xmin, t.xmin), ',' ORDER BY a.attnum)
                 FROM pg_attribute AS a LEFT JOIN pg_type AS t ON t.oid = a.atttypid
                 WHERE a.attrelid = c.oid AND a.attnum > 0),
                (SELECT string_agg(concat_ws(':', i.indexrelid, i.xmin), ',' ORDER BY i.indexrelid)
                 FROM pg_index AS i WHERE i.indrelid = c.oid),
                (SELECT string_agg(concat_ws(':', g.oid, g.xmin, g.tgenabled), ',' ORDER BY g.oid)
                 FROM pg_trigger AS g WHERE g.tgrelid = c.oid), c.relhasrules)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relname = $1::name AND c.relkind IN ('r', 'p')
            AND CASE $2 WHEN '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = $2::name END
        """

    /// Its values.
    static func tableParameters(_ table: TableName) -> [Parameter] {
        [Parameter(table.name), Parameter(table.schema ?? "")]
    }

    /// What it finds.
    func tableRecord(_ found: [SQLRow]) throws -> TableRecord? {
        try found.first.map { row in
            TableRecord(
                id: try row.integer(0), schema: try row.text(1), name: try row.text(2),
                hidesRows: try row.integer(3) != 0, isInherited: try row.integer(4) != 0, fingerprint: try row.text(5))
        }
    }

    func columnRecords(of table: TableRecord) throws -> [ColumnRecord] {
        try rows(
            """
            SELECT a.attnum, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull OR b.isnotnull,
                a.attgenerated <> '' OR a.attidentity = 'a', t.typname::text, n.nspname::text, b.modifier,
                coalesce(l.collisdeterministic, true)
            FROM pg_attribute AS a CROSS JOIN LATERAL (
                WITH RECURSIVE chain AS (
                    SELECT s.oid, s.typbasetype, a.atttypmod AS modifier, s.typnotnull AS isnotnull, 1 AS depth
                    FROM pg_type AS s WHERE s.oid = a.atttypid
                    UNION ALL
                    SELECT s.oid, s.typbasetype, CASE WHEN d.modifier = -1 THEN p.typtypmod ELSE d.modifier END,
                        d.isnotnull OR s.typnotnull, d.depth + 1
                    FROM chain AS d JOIN pg_type AS p ON p.oid = d.oid JOIN pg_type AS s ON s.oid = d.typbasetype)
                SELECT * FROM chain ORDER BY depth DESC LIMIT 1) AS b
            JOIN pg_type AS t ON t.oid = b.oid JOIN pg_namespace AS n ON n.oid = t.typnamespace
            LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
            WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
            """, [.integer(table.id)]
        ).map { row in
            ColumnRecord(
                number: try row.integer(0), name: try row.text(1), declaredType: try row.text(2),
                isNotNull: try row.integer(3) != 0, isGenerated: try row.integer(4) != 0, baseType: try row.text(5),
                baseSchema: try row.text(6), modifier: try row.integer(7), isDeterministic: try row.integer(8) != 0)
        }
    }

    func indexRecords(of table: TableRecord, _ columns: [ColumnRecord]) throws -> [IndexRecord] {
        let names = Dictionary(uniqueKeysWithValues: columns.map { ($0.number, $0.name) })
        return try rows(
            """
            SELECT i.indisunique OR i.indisexclusion, i.indisprimary,
                i.indisvalid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (
                    SELECT FROM pg_collation AS l
                    WHERE l.oid = ANY (i.indcollation::oid[]) AND NOT l.collisdeterministic),
                i.indnkeyatts, i.indkey::text,
                (SELECT string_agg(DISTINCT d.refobjsubid::text, ' ') FROM pg_depend AS d
                 WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
                    AND d.refobjsubid > 0)
            FROM pg_index AS i WHERE i.indrelid = $1::oid ORDER BY i.indisprimary DESC, i.indexrelid
            """, [.integer(table.id)]
        ).map { row in
            let keys = try row.text(4).split(separator: " ").compactMap { Int64($0) }
            let mentioned = (try row.optional(5, SQLRow.text) ?? "").split(separator: " ").compactMap { Int64($0) }
            let plain = Set(keys.compactMap { names[$0] })
            let others = Set(mentioned.compactMap { names[$0] }).subtracting(plain)
            return IndexRecord(
                isUnique: try row.integer(0) != 0, isPrimaryKey: try row.integer(1) != 0,
                coversPlainly: try row.integer(2) != 0,
                keyColumns: keys.prefix(Int(try row.integer(3))).compactMap { names[$0] },
                columns: plain.union(others), computedFrom: others)
        }
    }
}
