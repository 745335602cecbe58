internal import KeyModel
internal import Storage

extension SQLiteSession {
    func estimatedRows(of target: ColumnTarget, scope: RowScope) throws -> Int64 {
        guard let record = try tableRecord(target.path.table) else { return 0 }
        return try TableReader(session: self, table: record).estimatedRows(of: try shape(of: target), scope: scope)
    }

    func describe(_ table: TableName) throws -> TableDescription? {
        guard let record = try tableRecord(table) else { return nil }
        let reader = TableReader(session: self, table: record)
        let columns = try columnRecords(of: record)
        let indexes = try indexRecords(of: record)
        let primaryKey = columns.filter { $0.keyPosition > 0 }.sorted { $0.keyPosition < $1.keyPosition }.map(\.name)
        let mentions = try reader.mentions(of: columns, indexes: indexes)
        let size = try reader.size()
        let secondary = indexes.filter { !$0.isPrimaryKey }
        return TableDescription(
            name: TableName(schema: table.schema, name: record.name),
            columns: columns.map { $0.described(isRowID: reader.isRowID($0, indexes, primaryKey)) },
            primaryKey: primaryKey,
            uniqueKeys: TableReader.uniqueKeys(columns, indexes, primaryKey),
            foreignKeyColumns: try reader.foreignKeyColumns(columns, primaryKey),
            indexedColumns: Set(secondary.flatMap { $0.terms.compactMap(\.name) }).union(mentions.byIndexes),
            uniqueColumns: Set(secondary.filter(\.isUnique).flatMap { $0.terms.compactMap(\.name) })
                .union(mentions.byUniqueIndexes),
            computedFromColumns: mentions.byIndexes.union(mentions.byGenerated),
            triggers: try reader.updateTriggers(), estimatedRows: size.rows, estimatedBytes: size.bytes)
    }
}

/// Reads what the catalogue says of one table.
private struct TableReader {
    let session: SQLiteSession
    let table: TableRecord

    /// The columns that expressions mention, by name in the SQL text: rather one too many than one too few.
    struct Mentions {
        var byIndexes: Set<String> = []
        var byUniqueIndexes: Set<String> = []
        var byGenerated: Set<String> = []
    }

    func isRowID(_ column: ColumnRecord, _ indexes: [IndexRecord], _ primaryKey: [String]) -> Bool {
        primaryKey == [column.name] && !indexes.contains(where: \.isPrimaryKey)
    }

    static func uniqueKeys(
        _ columns: [ColumnRecord], _ indexes: [IndexRecord], _ primaryKey: [String]
    ) -> [[String]] {
        let filled = Set(columns.filter(\.isNotNull).map(\.name))
        let others = indexes.filter { $0.isUnique && !$0.isPrimaryKey && !$0.isPartial }.compactMap(\.columns)
            .filter { $0.allSatisfy(filled.contains) }
        return (primaryKey.isEmpty ? [] : [primaryKey]) + others
    }

    /// Both directions: columns that refer, and columns that others refer to.
    func foreignKeyColumns(_ columns: [ColumnRecord], _ primaryKey: [String]) throws -> Set<String> {
        let schema = quotedIdentifier(table.schema)
        let outgoing = try session.rows(
            #"SELECT "from" FROM pragma_foreign_key_list(?1, ?2)"#, [.text(table.name), .text(table.schema)])
        let incoming = try session.rows(
            """
            SELECT f."to" FROM \(schema).sqlite_schema AS m, pragma_foreign_key_list(m.name, ?2) AS f
            WHERE m.type = 'table' AND f."table" = ?1 COLLATE NOCASE
            """, [.text(table.name), .text(table.schema)])
        let named = try (outgoing + incoming).compactMap { try $0.optional(0, SQLRow.text)?.lowercased() }
        // A reference that names no column means the primary key.
        let implied = incoming.contains { $0.isNull(0) } ? primaryKey : []
        return Set(columns.map(\.name).filter { named.contains($0.lowercased()) } + implied)
    }

    func mentions(of columns: [ColumnRecord], indexes: [IndexRecord]) throws -> Mentions {
        var mentions = Mentions()
        for index in indexes where index.isPartial || index.columns == nil {
            let text = try session.rows(
                "SELECT sql FROM \(quotedIdentifier(table.schema)).sqlite_schema WHERE type = 'index' AND name = ?1",
                [.text(index.name)]
            ).first?.text(0)
            // Before the first parenthesis stand the names of index and table, and plain columns are computed from nothing.
            let names = SQLLexer(text ?? "").drop { token in
                index.columns == nil ? token != .symbol("(") : !token.isKeyword("WHERE")
            }.compactMap(\.name)
            let found = columns.map(\.name).filter { names.contains($0.lowercased()) }
            mentions.byIndexes.formUnion(found)
            if index.isUnique { mentions.byUniqueIndexes.formUnion(found) }
        }
        if columns.contains(where: \.isGenerated) {
            let names = generatingNames()
            mentions.byGenerated = Set(columns.map(\.name).filter { names.contains($0.lowercased()) })
        }
        return mentions
    }

    /// The names within the `AS (…)` of generated columns.
    private func generatingNames() -> Set<String> {
        var names: Set<String> = []
        var depth = 0
        var previous = SQLLexer.Token.symbol(" ")
        for token in SQLLexer(table.sql) {
            if depth > 0 || previous.isKeyword("AS") {
                if token == .symbol("(") { depth += 1 }
                if token == .symbol(")") { depth -= 1 }
            }
            if depth > 0, let name = token.name { names.insert(name) }
            previous = token
        }
        return names
    }

    func updateTriggers() throws -> [TriggerDescription] {
        try session.rows(
            """
            SELECT name, sql FROM \(quotedIdentifier(table.schema)).sqlite_schema
            WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name
            """, [.text(table.name)]
        ).map { TriggerDescription(name: try $0.text(0), definition: try $0.text(1)) }
            .filter { !$0.name.hasPrefix(FenceTriggers.prefix) && Self.firesOnUpdate($0) }
    }

    /// The event is the first of the three words after the trigger's own name.
    private static func firesOnUpdate(_ trigger: TriggerDescription) -> Bool {
        let tokens = Array(SQLLexer(trigger.definition))
        let ownName = tokens.firstIndex { $0.name == trigger.name.lowercased() } ?? 0
        let event = tokens.dropFirst(ownName + 1).first { token in
            ["UPDATE", "INSERT", "DELETE"].contains(where: token.isKeyword)
        }
        return event?.isKeyword("UPDATE") ?? true
    }
}

extension TableReader {
    /// Databases up to this size are counted and measured; larger ones are estimated.
    private static let countedBytes: Int64 = 64 << 20

    /// About how many rows there are and how many bytes they take with their indexes.
    func size() throws -> (rows: Int64, bytes: Int64) {
        let schema = quotedIdentifier(table.schema)
        let databaseBytes = try databaseBytes()
        if databaseBytes <= Self.countedBytes {
            let rows = try number("SELECT count(*) FROM \(schema).\(quotedIdentifier(table.name))")
            if let bytes = try measuredBytes() { return (rows, bytes) }
            return (rows, try share(of: databaseBytes, rows: rows))
        }
        let rows = try estimatedRows(of: table.name)
        return (rows, try share(of: databaseBytes, rows: rows))
    }

    private func databaseBytes() throws -> Int64 {
        let schema = quotedIdentifier(table.schema)
        return try number("PRAGMA \(schema).page_count") * number("PRAGMA \(schema).page_size")
    }

    /// About how many rows with a value are in the scope: of a large database by the first and the last rows of the table.
    func estimatedRows(of shape: ColumnShape, scope: RowScope) throws -> Int64 {
        let conditions = (["\(shape.column) IS NOT NULL"] + shape.conditions(scope)).joined(separator: " AND ")
        guard try databaseBytes() > Self.countedBytes else {
            return try number("SELECT count(*) FROM \(shape.table) WHERE \(conditions)")
        }
        let descending = shape.order.map { "\(shape.key[$0]) DESC" }.joined(separator: ", ")
        let halves = [shape.orderTerms, descending].map { order in
            """
            SELECT * FROM (SELECT (\(conditions)) IS TRUE AS keyturn_picked FROM \(shape.table) \(shape.access) \
            ORDER BY \(order) LIMIT \(Self.lookedAt))
            """
        }
        let text = "SELECT count(*), coalesce(sum(keyturn_picked), 0) FROM (\(halves.joined(separator: " UNION ALL ")))"
        guard let row = try session.rows(text).first else { return 0 }
        let (seen, picked) = (try row.integer(0), try row.integer(1))
        return seen == 0 ? 0 : Int64(Double(try estimatedRows(of: table.name)) * (Double(picked) / Double(seen)))
    }

    /// Rows at either end by which a share of the table is estimated.
    private static let lookedAt = 10_000

    /// The bytes by `dbstat`, which not every library has.
    private func measuredBytes() throws -> Int64? {
        let isThere = try number("SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'") > 0
        guard isThere else { return nil }
        return try number(
            """
            SELECT coalesce(sum(pgsize), 0) FROM dbstat(?2, 1) WHERE name IN
            (SELECT name FROM \(quotedIdentifier(table.schema)).sqlite_schema WHERE tbl_name = ?1)
            """, [.text(table.name), .text(table.schema)])
    }

    /// What ANALYZE left, else the highest rowid, else a count.
    private func estimatedRows(of name: String) throws -> Int64 {
        let schema = quotedIdentifier(table.schema)
        if try number("SELECT count(*) FROM \(schema).sqlite_schema WHERE name = 'sqlite_stat1'") > 0 {
            let analysed = try session.rows(
                "SELECT max(CAST(stat AS INTEGER)) FROM \(schema).sqlite_stat1 WHERE tbl = ?1 COLLATE NOCASE",
                [.text(name)])
            if let count = try analysed.first?.optional(0, SQLRow.integer) { return count }
        }
        let hasRowID =
            try number("SELECT count(*) FROM pragma_table_list(?1) WHERE wr = 0", [.text(name)]) > 0
        let counting = hasRowID ? "coalesce(max(rowid), 0)" : "count(*)"
        return try number("SELECT \(counting) FROM \(schema).\(quotedIdentifier(name))")
    }

    /// The table's part of the file, by its part of all rows.
    private func share(of bytes: Int64, rows: Int64) throws -> Int64 {
        let others = try session.tables().map(\.name).filter { $0.lowercased() != table.name.lowercased() }
        let all = try others.reduce(rows) { try $0 + estimatedRows(of: $1) }
        return all == 0 ? 0 : Int64(Double(bytes) * (Double(rows) / Double(all)))
    }

    private func number(_ text: String, _ parameters: [SQLValue] = []) throws -> Int64 {
        guard let row = try session.rows(text, parameters).first else {
            throw session.file.unexpected("a question about the catalogue had no answer")
        }
        return try row.integer(0)
    }
}

extension ColumnRecord {
    fileprivate func described(isRowID: Bool) -> ColumnDescription {
        ColumnDescription(
            name: name, declaredType: declaredType, kind: kind, isNullable: !isNotNull && !isRowID,
            isGenerated: isGenerated)
    }

    /// SQLite's own rules of affinity; lengths in a type are not enforced.
    private var kind: ColumnDescription.Kind {
        let type = declaredType.uppercased()
        if type == "UUID" { return .uuid }
        if type.contains("INT") { return .integer }
        if ["CHAR", "CLOB", "TEXT"].contains(where: type.contains) { return .text }
        return type.isEmpty || type.contains("BLOB") ? .blob : .other
    }
}
