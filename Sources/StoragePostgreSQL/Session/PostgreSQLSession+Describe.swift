internal import Foundation
internal import KeyModel
internal import Storage

extension PostgreSQLSession {
    func controlTables() throws -> Set<String> {
        Set(
            try rows(
                """
                SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = $1::name AND c.relkind IN ('r', 'p')
                """, [.text(controlSchema)]
            ).map { try $0.text(0) })
    }

    /// Those of the application; partitions stand in the table that they are parts of.
    ///
    /// A schema is named only where the role's path does not lead to it.
    func tables() throws -> [TableName] {
        try rows(
            """
            SELECT CASE WHEN pg_table_is_visible(c.oid) THEN NULL ELSE n.nspname::text END, c.relname::text
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
                AND n.nspname NOT IN ($1::name, 'pg_catalog', 'information_schema')
            ORDER BY n.nspname, c.relname
            """, [.text(controlSchema)]
        ).map { TableName(schema: try $0.optional(0, SQLRow.text), name: try $0.text(1)) }
    }

    func estimatedRows(of target: ColumnTarget, scope: RowScope) throws -> Int64 {
        let shape = try shape(of: target)
        guard let record = try tableRecord(target.path.table) else { return 0 }
        let conditions = ["\(shape.column) IS NOT NULL"] + shape.conditions(scope)
        let source = "FROM \(shape.table) WHERE \(conditions.joined(separator: " AND "))"
        let isCounted = try TableReader(session: self, table: record, columns: []).isCounted()
        if isCounted { return try rows("SELECT count(*) \(source)").first?.integer(0) ?? 0 }
        // The planner reads its statistics alone, of the predicate as of the share without a value.
        let explained = try rows("EXPLAIN (FORMAT JSON) SELECT 1 \(source)").first?.text(0) ?? "[]"
        let plans = try? JSONDecoder().decode([ExplainedQuery].self, from: Data(explained.utf8))
        return plans?.first.map { Int64(min(max($0.plan.rows, 0), 1e15)) } ?? 0
    }

    func describe(_ table: TableName) throws -> TableDescription? {
        guard let record = try tableRecord(table) else { return nil }
        let columns = try columnRecords(of: record)
        let indexes = try indexRecords(of: record, columns)
        let reader = TableReader(session: self, table: record, columns: columns)
        let filled = Set(columns.filter(\.isNotNull).map(\.name))
        let secondary = indexes.filter { !$0.isPrimaryKey }
        let primaryKey = indexes.first(where: \.isPrimaryKey)?.keyColumns ?? []
        let others = secondary.filter { $0.coversPlainly && $0.keyColumns.allSatisfy(filled.contains) }
        let size = try reader.size()
        return TableDescription(
            name: TableName(schema: table.schema, name: record.name), columns: columns.map(\.described),
            primaryKey: primaryKey, uniqueKeys: (primaryKey.isEmpty ? [] : [primaryKey]) + others.map(\.keyColumns),
            foreignKeyColumns: try reader.foreignKeyColumns(),
            indexedColumns: secondary.reduce(into: []) { $0.formUnion($1.columns) },
            uniqueColumns: secondary.filter(\.isUnique).reduce(into: []) { $0.formUnion($1.columns) },
            computedFromColumns: try reader.generatingColumns().union(indexes.flatMap(\.computedFrom)),
            triggers: try reader.updateTriggers(), subscriptions: try reader.subscriptions(),
            estimatedRows: size.rows, estimatedBytes: size.bytes, storesOutOfLine: size.outOfLine)
    }
}

extension ColumnRecord {
    fileprivate var described: ColumnDescription {
        ColumnDescription(
            name: name, declaredType: declaredType, kind: kind, isNullable: !isNotNull, maximumLength: maximumLength,
            isGenerated: isGenerated, holdsDocuments: holdsDocuments)
    }
}

/// What EXPLAIN answers, as far as it is of use here.
private struct ExplainedQuery: Decodable {
    struct Node: Decodable {
        let rows: Double

        private enum CodingKeys: String, CodingKey { case rows = "Plan Rows" }
    }

    let plan: Node

    private enum CodingKeys: String, CodingKey { case plan = "Plan" }
}

/// Reads what the catalogue says of one table.
private struct TableReader {
    let session: PostgreSQLSession
    let table: TableRecord
    let columns: [ColumnRecord]

    /// Tables up to this size are counted; of larger ones the server's estimate is taken.
    private static let countedBytes: Int64 = 64 << 20

    /// Both directions: columns that refer, and columns that others refer to; and those that a partition depends on.
    func foreignKeyColumns() throws -> Set<String> {
        try names(
            """
            SELECT unnest(conkey) FROM pg_constraint WHERE contype = 'f' AND conrelid = $1::oid
            UNION SELECT unnest(confkey) FROM pg_constraint WHERE contype = 'f' AND confrelid = $1::oid
            UNION SELECT unnest(partattrs) FROM pg_partitioned_table WHERE partrelid = $1::oid
            """)
    }

    /// The columns that generated ones are computed from.
    func generatingColumns() throws -> Set<String> {
        try names(
            """
            SELECT d.refobjsubid FROM pg_attrdef AS e JOIN pg_attribute AS a ON a.attrelid = e.adrelid AND a.attnum = e.adnum
            JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
            WHERE e.adrelid = $1::oid AND a.attgenerated <> '' AND d.refclassid = 'pg_class'::regclass
                AND d.refobjid = e.adrelid AND d.refobjsubid NOT IN (0, a.attnum)
            """)
    }

    /// Triggers and rules that an update fires.
    func updateTriggers() throws -> [TriggerDescription] {
        try session.rows(
            """
            SELECT t.tgname::text, pg_get_triggerdef(t.oid) FROM pg_trigger AS t
            WHERE t.tgrelid = $1::oid AND NOT t.tgisinternal AND t.tgtype & 16 <> 0 AND t.tgenabled <> 'D'
                AND NOT starts_with(t.tgname::text, $2)
            UNION ALL
            SELECT rulename::text, pg_get_ruledef(oid) FROM pg_rewrite
            WHERE ev_class = $1::oid AND ev_type = '2' AND ev_enabled <> 'D'
            ORDER BY 1, 2
            """, [.integer(table.id), .text(FenceText.prefix)]
        ).map { TriggerDescription(name: try $0.text(0), definition: try $0.text(1)) }
    }

    /// The subscriptions that write to the table beside the application, partitions and what it is one of included.
    ///
    /// They are named by a function, since not every role may read the catalogue of their names.
    func subscriptions() throws -> [String] {
        try session.rows(
            """
            SELECT DISTINCT coalesce((pg_identify_object('pg_subscription'::regclass, r.srsubid, 0)).identity, r.srsubid::text)
            FROM pg_subscription_rel AS r WHERE r.srrelid IN (
                SELECT relid::oid FROM pg_partition_tree($1::oid::regclass)
                UNION ALL SELECT relid::oid FROM pg_partition_ancestors($1::oid::regclass) UNION ALL SELECT $1::oid)
            ORDER BY 1
            """, [.integer(table.id)]
        ).map { try $0.text(0) }
    }

    /// About how many rows there are and how many bytes they take with their indexes, partitions included.
    func size() throws -> (rows: Int64, bytes: Int64, outOfLine: Bool) {
        guard let row = try sizes() else { return (0, 0, false) }
        let counted = try isCounted(row) ? session.rows("SELECT count(*) FROM \(table.sql)").first?.integer(0) : nil
        return (try counted ?? row.integer(2), try row.integer(0), try row.integer(4) != 0)
    }

    /// Whether its rows are counted where their number matters.
    func isCounted() throws -> Bool { try sizes().map { try isCounted($0) } ?? true }

    private func isCounted(_ sizes: SQLRow) throws -> Bool {
        let isSmall = try sizes.integer(1) <= Self.countedBytes || sizes.integer(3) != 0
        return isSmall && !table.hidesRows
    }

    /// Bytes with indexes, bytes without, rows by the statistics, whether these are missing, whether values lie out of line.
    private func sizes() throws -> SQLRow? {
        try session.rows(
            """
            SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8,
                coalesce(sum(pg_table_size(c.oid)), 0)::int8, coalesce(sum(greatest(c.reltuples, 0)), 0)::int8,
                coalesce(bool_or(c.reltuples < 0), false),
                coalesce(sum(pg_relation_size(nullif(c.reltoastrelid, 0))), 0) > coalesce(sum(pg_relation_size(c.oid)), 0) / 4
            FROM pg_class AS c WHERE c.relkind = 'r' AND c.oid = ANY (
                SELECT relid FROM pg_partition_tree($1::oid::regclass) UNION ALL SELECT $1::oid)
            """, [.integer(table.id)]
        ).first
    }

    /// The names of columns that a query on the catalogue gives by their numbers.
    private func names(_ text: String) throws -> Set<String> {
        let numbers = Set(try session.rows(text, [.integer(table.id)]).map { try $0.integer(0) })
        return Set(columns.filter { numbers.contains($0.number) }.map(\.name))
    }
}
