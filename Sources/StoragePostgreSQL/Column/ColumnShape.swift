internal import KeyModel
internal import PluginKit
internal import Storage

/// How statements on an encrypted column are written: the names, quoted, and what its key compares by.
struct ColumnShape: Sendable {
    /// What a column's values are to us.
    enum Form: Hashable, Sendable {
        case text, blob, other
    }

    let target: ColumnTarget
    /// The table, as SQL.
    let table: String
    /// The table's own name, as SQL.
    let tableName: String
    /// The column's name, as SQL.
    let columnName: String
    let form: Form
    /// What the new value, which comes as text or bytes, is cast to; nil where the assignment does it.
    let cast: String?
    /// The type of JSON that the column's values are, as SQL; nil where they are none.
    let documentType: String?
    /// Whether the type itself changes what is written to it.
    let altersValues: Bool
    /// The most bytes of a value, where the type limits them.
    let maximumBytes: Int?
    /// What a batch passes the column's fence with; nil where it is asked value by value.
    let fencePass: FencePass?
    /// The key columns in their declared order.
    let key: [KeyColumn]
    /// The positions in ``key`` by which rows are put in order: the columns of the unique index.
    let order: [Int]

    /// A key column, as SQL that compares as its index does.
    struct KeyColumn: Sendable {
        /// What its values are.
        enum Form: Sendable {
            case integer, text, paddedText, uuid, blob
        }

        let form: Form
        /// The column, relabelled as the type that its operators are of.
        let sql: String
        /// What a parameter is cast to.
        let cast: String
        /// The schema of its operators.
        let operators: String
        let isNullable: Bool

        /// A comparison with operators that nobody can have put in front of those meant.
        func compared(_ operation: String, _ other: String) -> String {
            "\(sql) OPERATOR(\(quotedIdentifier(operators)).\(operation)) \(other)"
        }
    }

    /// The column, as SQL.
    var column: String { "\(tableName).\(columnName)" }
    /// The column's value in the form in which it is read.
    var value: String { form == .blob ? column : "\(column)::pg_catalog.text" }
    /// The column's value as bytes, which compare by nothing but themselves.
    var bytes: String { bytes(of: column) }
    /// The column for messages.
    var name: String { target.path.description }
    /// The terms of ORDER BY.
    var orderTerms: String { order.map { key[$0].sql }.joined(separator: ", ") }

    /// The bytes of an expression of the column's type.
    func bytes(of expression: String) -> String {
        form == .blob ? expression : "pg_catalog.convert_to((\(expression))::pg_catalog.text, 'UTF8')"
    }

    /// The bytes of an expression of the column's type as a fence looks at them: a document that is a JSON string counts
    /// by what the string holds.
    func guardedBytes(of expression: String) -> String {
        guard let documentType else { return bytes(of: expression) }
        let (document, kind) = ("(\(expression))::\(documentType)", documentType.contains("jsonb") ? "jsonb" : "json")
        return """
            CASE WHEN pg_catalog.\(kind)_typeof(\(document)) = 'string' THEN pg_catalog.convert_to(
                \(document) OPERATOR(pg_catalog.#>>) '{}'::pg_catalog.text[], 'UTF8') ELSE \(bytes(of: expression)) END
            """
    }

    /// The condition that joins rows to the columns `keyturn_k0…` of a list of keys.
    func joined(to list: String) -> String {
        key.enumerated().map { $1.compared("=", "\(list).keyturn_k\($0)::\($1.cast)") }.joined(separator: " AND ")
    }

    /// The condition that rows stand after a key (`>`) or not after it (`<=`), whose parameters begin at a position.
    func orderCondition(_ operation: String, from first: Int) -> String {
        let strict = operation == ">" ? ">" : "<"
        func parameter(_ position: Int) -> String { "$\(first + position)::\(key[position].cast)" }
        if Set(order.map { key[$0].operators }).count == 1, let operators = order.first.map({ key[$0].operators }) {
            let parameters = order.map(parameter).joined(separator: ", ")
            return "ROW(\(orderTerms)) OPERATOR(\(quotedIdentifier(operators)).\(operation)) ROW(\(parameters))"
        }
        // Operators of several schemas cannot stand in one comparison of rows: a > x OR (a = x AND (b > y OR …)).
        guard let last = order.last else { return "true" }
        let innermost = key[last].compared(operation, parameter(last))
        let whole = order.dropLast().reversed().reduce(innermost) { inner, position in
            let column = key[position]
            return "(\(column.compared(strict, parameter(position))) OR (\(column.compared("=", parameter(position)))"
                + " AND \(inner)))"
        }
        // What the index can begin with.
        return "\(key[order[0]].compared(strict + "=", parameter(order[0]))) AND \(whole)"
    }
}

extension PostgreSQLSession {
    /// Finds out how statements on a column are written, once a transaction and anew only where the catalogue changed.
    ///
    /// - Throws: ``StorageError`` with `storeObjectMissing` where table or column is gone, `storeUnexpected` where nothing
    ///   makes the declared key unique or where rows are hidden.
    func shape(of target: ColumnTarget) throws -> ColumnShape {
        if let shape = shapes[target] { return shape }
        guard let table = try tableRecord(target.path.table) else {
            throw missing("there is no table \(quoted(target.path.table.description))", target)
        }
        let fingerprint = table.wholeFingerprint
        if let known = connection.knownShapes[target], known.fingerprint == fingerprint {
            shapes[target] = known.shape
            return known.shape
        }
        let shape = try shape(of: target, in: table)
        if connection.knownShapes.count > 1000 { connection.knownShapes = [:] }
        connection.knownShapes[target] = (fingerprint, shape)
        shapes[target] = shape
        return shape
    }

    private func shape(of target: ColumnTarget, in table: TableRecord) throws -> ColumnShape {
        guard !table.hidesRows else {
            throw unusable(
                target, "row-level security hides rows of the table from this role",
                hint: "Connect as a role with BYPASSRLS, or as the table's owner where the policies are not forced.")
        }
        guard !table.isInherited else {
            throw unusable(
                target, "other tables inherit from it, and no key is unique across them",
                hint: "Declare the tables one by one, or make them partitions.")
        }
        let records = try columnRecords(of: table)
        func record(_ name: String) throws -> ColumnRecord {
            let found =
                records.first { $0.name == name } ?? records.first { $0.name.lowercased() == name.lowercased() }
            guard let found else { throw missing("the table has no column \(quoted(name))", target) }
            return found
        }
        let column = try record(target.path.column)
        let key = try target.key.map(record)
        let tableName = quotedIdentifier(table.name)
        return ColumnShape(
            target: target, table: table.sql, tableName: tableName, columnName: quotedIdentifier(column.name),
            form: column.kind == .blob ? .blob : column.kind == .text ? .text : .other,
            cast: column.needsCast ? column.baseSQL : nil,
            documentType: column.holdsDocuments ? column.baseSQL : nil, altersValues: column.altersValues,
            maximumBytes: column.maximumLength.map { $0 * 4 }, fencePass: try fencePass(of: column, in: table),
            key: try key.map { try keyColumn($0, of: tableName, target) },
            order: try order(of: key.map(\.name), in: table, records, target))
    }

    private func keyColumn(
        _ record: ColumnRecord, of table: String, _ target: ColumnTarget
    ) throws -> ColumnShape.KeyColumn {
        let form: ColumnShape.KeyColumn.Form? =
            switch (record.kind, record.baseType) {
            case (.text, "json"), (.text, "jsonb"), (.text, "xml"), (.other, _): nil
            case (.text, "bpchar"): .paddedText
            case (.text, _): .text
            case (.integer, _): .integer
            case (.uuid, _): .uuid
            case (.blob, _): .blob
            }
        guard let form else {
            throw unusable(
                target, "the key column \(quoted(record.name)) is of type \(record.declaredType)",
                hint: "Keys are whole numbers, text, uuid or bytea; declare another unique key.")
        }
        guard record.isDeterministic else {
            throw unusable(
                target, "the key column \(quoted(record.name)) has a collation by which different texts are equal",
                hint: "Declare another unique key.")
        }
        let own = record.baseType == "varchar" ? "pg_catalog.text" : record.baseSQL
        return ColumnShape.KeyColumn(
            form: form, sql: "(\(table).\(quotedIdentifier(record.name)))::\(own)",
            cast: form == .integer ? "pg_catalog.int8" : own, operators: record.baseSchema,
            isNullable: !record.isNotNull)
    }

    /// The positions in the declared key of the columns of the index that makes it unique.
    private func order(
        of key: [String], in table: TableRecord, _ columns: [ColumnRecord], _ target: ColumnTarget
    ) throws -> [Int] {
        let candidates = try indexRecords(of: table, columns).filter { index in
            index.coversPlainly && !index.keyColumns.isEmpty && index.keyColumns.allSatisfy(key.contains)
        }
        let best =
            candidates.first(where: \.isPrimaryKey) ?? candidates.min { $0.keyColumns.count < $1.keyColumns.count }
        guard let best, Set(key).count == key.count else {
            let names = target.key.map(quotedIdentifier).joined(separator: ", ")
            throw unusable(
                target, "no unique index makes the key (\(names)) name one row",
                hint: "Declare as key the columns of the primary key or of a unique index that covers the whole table.")
        }
        return best.keyColumns.compactMap(key.firstIndex)
    }

    private func missing(_ reason: String, _ target: ColumnTarget) -> StorageError {
        StorageError(
            .storeObjectMissing, "cannot use \(target.path): \(reason)",
            hint: "If it was renamed, say so in the configuration with was.")
    }

    private func unusable(_ target: ColumnTarget, _ reason: String, hint: String) -> StorageError {
        StorageError(.storeUnexpected, "cannot use \(target.path): \(reason)", hint: hint)
    }
}
