internal import PluginKit
internal import Storage

extension SQLiteSession {
    func readWindow(_ request: WindowRequest) throws -> Window {
        let shape = try shape(of: request.target)
        let limit = min(max(request.rowLimit, 1), Self.rowLimit)
        let statement = try SQLiteStatement(
            windowText(for: request, shape), in: self, doing: "read", shape.name)
        defer { statement.reset() }
        try bindBounds(of: request, shape, to: statement)
        // One row more than asked for tells whether anything follows.
        try statement.bind(SQLValue.integer(Int64(limit) + 1), at: CInt(2 * shape.key.count + 1))
        return try drain(statement, shape, rowLimit: limit, byteLimit: request.byteLimit)
    }

    func readRows(_ keys: [RowKey], of target: ColumnTarget) throws -> [StoredRow] {
        let shape = try shape(of: target)
        let text = """
            SELECT \(selectList(shape, scope: .all)) FROM \(shape.table) WHERE \(shape.keyCondition(from: 1))
            """
        let statement = try SQLiteStatement(text, in: self, doing: "read", shape.name)
        defer { statement.reset() }
        return try keys.compactMap { key in
            try bind(key, of: shape, to: statement, from: 1)
            defer { statement.reset() }
            return try statement.step() ? try row(statement, shape) : nil
        }
    }

    /// Binds the components of a key.
    ///
    /// - Throws: ``StorageError`` with `storeUnexpected` where it has another number of them than the column's key.
    func bind(_ key: RowKey, of shape: ColumnShape, to statement: SQLiteStatement, from first: Int) throws {
        guard key.components.count == shape.key.count else {
            throw StorageError(
                .storeUnexpected,
                "cannot use \(shape.name): a key of \(key.components.count) components came for a"
                    + " key of \(shape.key.count) columns")
        }
        for (index, component) in key.components.enumerated() {
            try statement.bind(component, at: CInt(first + index))
        }
    }

    /// `?1…` is the key after which to begin, then comes the one at which to end, then the limit.
    func windowText(for request: WindowRequest, _ shape: ColumnShape) -> String {
        var conditions: [String] = []
        if request.skipsNull { conditions.append("\(shape.column) IS NOT NULL") }
        if request.after != nil { conditions.append(shape.orderCondition(">", from: 1)) }
        if request.through != nil { conditions.append(shape.orderCondition("<=", from: 1 + shape.key.count)) }
        conditions += shape.conditions(request.scope)
        let filter = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
        return """
            SELECT \(selectList(shape, scope: request.scope)) FROM \(shape.table) \(shape.access)\(filter) \
            ORDER BY \(shape.orderTerms) LIMIT ?\(2 * shape.key.count + 1)
            """
    }

    /// The value, whether the predicate picks the row, then the key.
    private func selectList(_ shape: ColumnShape, scope: RowScope) -> String {
        let isMatching =
            switch (scope, shape.target.predicate) {
            case (.all, let predicate?): "(\(parenthesised(predicate)) IS TRUE)"
            default: "1"
            }
        return ([shape.column, isMatching] + shape.key).joined(separator: ", ")
    }

    private func bindBounds(of request: WindowRequest, _ shape: ColumnShape, to statement: SQLiteStatement) throws {
        if let after = request.after { try bind(after, of: shape, to: statement, from: 1) }
        if let through = request.through { try bind(through, of: shape, to: statement, from: 1 + shape.key.count) }
    }

    private func drain(
        _ statement: SQLiteStatement, _ shape: ColumnShape, rowLimit: Int, byteLimit: Int
    ) throws -> Window {
        var rows: [StoredRow] = []
        var bytes = 0
        while try statement.step() {
            guard rows.isEmpty || rows.count < rowLimit && bytes < byteLimit else {
                return Window(rows: rows, isLast: false)
            }
            let row = try row(statement, shape)
            bytes += row.value.bytes?.count ?? 0
            rows.append(row)
        }
        return Window(rows: rows, isLast: true)
    }

    private func row(_ statement: SQLiteStatement, _ shape: ColumnShape) throws -> StoredRow {
        var components: [KeyComponent] = []
        components.reserveCapacity(shape.key.count)
        for position in shape.key.indices {
            guard let component = try statement.keyComponent(CInt(2 + position)) else {
                throw unusableKey(shape, position)
            }
            components.append(component)
        }
        return StoredRow(
            key: RowKey(components), value: try statement.storedValue(0), isMatching: statement.isTrue(1))
    }

    private func unusableKey(_ shape: ColumnShape, _ position: Int) -> StorageError {
        StorageError(
            .storeUnexpected,
            "cannot read \(shape.name): in a row of the table the key column \(shape.target.key[position])"
                + " holds NULL or a number with a fraction",
            hint: "Give such rows a key of whole numbers, text or bytes, or declare another unique key.")
    }
}
