internal import KeyModel
internal import PluginKit
internal import Storage

/// How statements on an encrypted column are written: the names, quoted, and the index that makes its key unique.
struct ColumnShape: Sendable {
    let target: ColumnTarget
    /// The table, as SQL.
    let table: String
    /// The column, as SQL.
    let column: String
    /// The key columns in their declared order, as SQL that compares as the unique index does.
    let key: [String]
    /// The positions in ``key`` by which rows are put in order: the columns of the unique index.
    let order: [Int]
    /// What makes SQLite walk along the unique index, whatever other index a predicate would suggest.
    let access: String
    /// The number of the fence that an update of the column fires, where it fires that one alone.
    let onlyFence: Int64?

    /// The condition that picks the row with a key, whose parameters begin at a position.
    func keyCondition(from first: Int) -> String {
        key.enumerated().map { "\($1) = ?\(first + $0)" }.joined(separator: " AND ")
    }

    /// The condition that compares the order of rows with a key, whose parameters begin at a position.
    func orderCondition(_ comparison: String, from first: Int) -> String {
        let terms = order.map { key[$0] }.joined(separator: ", ")
        let parameters = order.map { "?\(first + $0)" }.joined(separator: ", ")
        return "(\(terms)) \(comparison) (\(parameters))"
    }

    /// What a row of the scope meets, as SQL.
    func conditions(_ scope: RowScope) -> [String] {
        scope == .matching ? [target.predicate].compactMap(\.self).map(parenthesised) : []
    }

    /// The terms of ORDER BY.
    var orderTerms: String { order.map { key[$0] }.joined(separator: ", ") }

    /// The column for messages.
    var name: String { target.path.description }
}

extension SQLiteSession {
    /// Finds out how statements on a column are written, once a transaction.
    ///
    /// - Throws: ``StorageError`` with `storeObjectMissing` where table, column or a name in the predicate is gone,
    ///   `storeUnexpected` where nothing makes the declared key unique.
    func shape(of target: ColumnTarget) throws -> ColumnShape {
        if let shape = shapes[target] { return shape }
        let version = try schemaVersion()
        if let shape = memory.shape(of: target, version: version) {
            shapes[target] = shape
            return shape
        }
        guard let table = try tableRecord(target.path.table) else {
            throw missing("there is no table \(quoted(target.path.table.description))", target)
        }
        let columns = try columnRecords(of: table).map { $0.name.lowercased() }
        for name in [target.path.column] + target.key where !columns.contains(name.lowercased()) {
            throw missing("the table has no column \(quoted(name))", target)
        }
        let shape = try shape(of: target, in: table)
        if let predicate = target.predicate {
            _ = try strictly {
                try SQLiteStatement(
                    "SELECT 1 FROM \(shape.table) WHERE \(parenthesised(predicate))", in: self, isCached: false,
                    doing: "read", shape.name)
            }
        }
        shapes[target] = shape
        memory.remember(shape, version: version)
        return shape
    }

    private func schemaVersion() throws -> Int64 { try rows("PRAGMA main.schema_version").first?.integer(0) ?? 0 }

    private func shape(of target: ColumnTarget, in table: TableRecord) throws -> ColumnShape {
        let declared = target.key.map { $0.lowercased() }
        guard !declared.isEmpty, Set(declared).count == declared.count,
            let index = try uniqueIndex(over: declared, of: table)
        else { throw notUnique(target) }
        let collations = Dictionary(uniqueKeysWithValues: index.terms.map { ($0.column, $0.collation) })
        let key = zip(target.key, declared).map { name, folded in
            quotedIdentifier(name)
                + (collations[folded].flatMap { $0 }.map { " COLLATE " + quotedIdentifier($0) } ?? "")
        }
        return ColumnShape(
            target: target, table: target.path.table.sql, column: quotedIdentifier(target.path.column), key: key,
            order: index.terms.compactMap { declared.firstIndex(of: $0.column) },
            access: index.name.map { "INDEXED BY " + quotedIdentifier($0) } ?? "NOT INDEXED",
            onlyFence: try onlyFence(firedBy: target, in: table))
    }

    private struct UniqueIndex {
        /// Nil for the rowid itself.
        let name: String?
        /// The columns in lower case, each with its collation; the rowid needs none.
        let terms: [(column: String, collation: String?)]
    }

    /// The index that makes a key unique: all its columns belong to the key, and it holds every row.
    private func uniqueIndex(over declared: [String], of table: TableRecord) throws -> UniqueIndex? {
        let indexes = try indexRecords(of: table)
        let primary = try columnRecords(of: table).filter { $0.keyPosition > 0 }
        // A primary key without an index is the rowid under another name.
        if primary.count == 1, !indexes.contains(where: \.isPrimaryKey), declared.contains(primary[0].name.lowercased())
        {
            return UniqueIndex(name: nil, terms: [(primary[0].name.lowercased(), nil)])
        }
        let candidates = indexes.filter { index in
            index.isUnique && !index.isPartial
                && index.columns?.allSatisfy { declared.contains($0.lowercased()) } ?? false
        }
        let best = candidates.first(where: \.isPrimaryKey) ?? candidates.min { $0.terms.count < $1.terms.count }
        return best.map { index in
            UniqueIndex(
                name: index.name, terms: index.terms.map { (($0.name ?? "").lowercased(), $0.collation) })
        }
    }

    private func missing(_ reason: String, _ target: ColumnTarget) -> StorageError {
        StorageError(
            .storeObjectMissing, "cannot use \(target.path): \(reason)",
            hint: "If it was renamed, say so in the configuration with was.")
    }

    private func notUnique(_ target: ColumnTarget) -> StorageError {
        let key = target.key.map(quotedIdentifier).joined(separator: ", ")
        return StorageError(
            .storeUnexpected, "cannot use \(target.path): no unique index makes the key (\(key)) name one row",
            hint: "Declare as key the columns of the primary key or of a unique index that covers the whole table.")
    }
}
