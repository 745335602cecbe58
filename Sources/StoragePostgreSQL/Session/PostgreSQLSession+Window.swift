internal import PluginKit
internal import Storage

extension PostgreSQLSession {
    func readWindow(_ request: WindowRequest) throws -> Window {
        let shape = try shape(of: request.target)
        let text = WindowText(request: request, shape: shape)
        let limit = min(max(request.rowLimit, 1), Self.rowLimit)
        var parameters: [Parameter] = []
        if let after = request.after { parameters += try self.parameters(of: after, shape) }
        if let through = request.through { parameters += try self.parameters(of: through, shape) }
        // One row more than asked for tells whether anything follows.
        let limits = [Parameter(Int64(limit) + 1), Parameter(Int64(max(request.byteLimit, 1)))]
        func read(_ text: String, isMeasured: Bool, _ limits: some Collection<Parameter>) throws -> Window {
            let result = try connection.execute(
                text, parameters + limits, isBinary: true, doing: "read", shape.name)
            return try self.window(result, shape, limit: limit, isMeasured: isMeasured)
        }
        var window: Window
        if text.measuresBytes(rowLimit: limit) {
            // Mostly all fits. An answer without rows may also mean that it does not.
            window = try read(text.gated, isMeasured: false, limits)
            if window.rows.isEmpty { window = try read(text.measured, isMeasured: true, limits) }
        } else {
            window = try read(text.plain, isMeasured: false, limits.prefix(1))
        }
        // Nothing compares with NULL, so such rows stand in no window; they are looked for at both ends.
        if request.after == nil || window.isLast { try refuseNullKeys(text, parameters, shape) }
        return window
    }

    func readRows(_ keys: [RowKey], of target: ColumnTarget) throws -> [StoredRow] {
        guard !keys.isEmpty else { return [] }
        let shape = try shape(of: target)
        let components = shape.key.map(\.sql).joined(separator: ", ")
        let text = """
            SELECT \(shape.value), \(shape.matches(.all)), \(components)
            FROM \(shape.unnested()) JOIN \(shape.table) ON \(shape.joined(to: "keyturn_rows")) ORDER BY keyturn_i
            """
        let result = try connection.execute(
            text, try arrays(of: keys, shape), isBinary: true, doing: "read", shape.name)
        return try (0..<result.rowCount).map { try storedRow(result, $0, shape, valueAt: 0, matchAt: 1, keyAt: 2) }
    }

    private func window(_ result: ResultSet, _ shape: ColumnShape, limit: Int, isMeasured: Bool) throws -> Window {
        var rows: [StoredRow] = []
        rows.reserveCapacity(result.rowCount)
        for row in 0..<result.rowCount {
            guard row < limit, !isMeasured || result.truth(row, 2 + shape.key.count) else {
                return Window(rows: rows, isLast: false)
            }
            rows.append(try storedRow(result, row, shape, valueAt: 0, matchAt: 1, keyAt: 2))
        }
        return Window(rows: rows, isLast: true)
    }

    private func storedRow(
        _ result: ResultSet, _ row: Int, _ shape: ColumnShape, valueAt: Int, matchAt: Int, keyAt: Int
    ) throws -> StoredRow {
        StoredRow(
            key: try key(result, row: row, from: keyAt, shape),
            value: Self.storedValue(result, row, valueAt, shape.form),
            isMatching: result.truth(row, matchAt))
    }

    private static func storedValue(
        _ result: ResultSet, _ row: Int, _ column: Int, _ form: ColumnShape.Form
    ) -> StoredValue {
        guard !result.isNull(row, column) else { return .null }
        let bytes = result.bytes(row, column)
        return switch form {
        case .text: .text(bytes)
        case .blob: .blob(bytes)
        case .other: .other(String(decoding: bytes, as: UTF8.self))
        }
    }

    private func refuseNullKeys(_ text: WindowText, _ parameters: [Parameter], _ shape: ColumnShape) throws {
        for (position, column) in shape.key.enumerated() where column.isNullable {
            let result = try connection.execute(
                text.nullKeys(column), [], isBinary: true, doing: "read", shape.name)
            if result.truth(0, 0) { throw unusableKey(shape, position) }
        }
    }
}

/// Writes the statements that read a window.
private struct WindowText {
    let request: WindowRequest
    let shape: ColumnShape

    /// Whether the lengths of values are looked at first: not where the type bounds them well enough.
    func measuresBytes(rowLimit: Int) -> Bool {
        guard let most = shape.maximumBytes else { return true }
        return most.multipliedReportingOverflow(by: rowLimit).partialValue > request.byteLimit || most > 1 << 20
    }

    /// The value, whether the predicate picks the row, then the key.
    var plain: String { "SELECT \(list) \(source())" }

    /// The same, and nothing at all where the values together are longer than a window may be.
    var gated: String {
        let gate = """
            (SELECT coalesce(pg_catalog.sum(keyturn_bytes), 0)
            FROM (SELECT pg_catalog.octet_length(\(shape.value)) AS keyturn_bytes \(source())) AS keyturn_lengths)
            < $\(boundCount + 2)::pg_catalog.int8
            """
        return "SELECT \(list) \(source(if: gate))"
    }

    /// The same, and whether the row still belongs to the window by the bytes before it; of the first that does not,
    /// the value is left out.
    ///
    /// Lengths are known without fetching what stands out of line.
    var measured: String {
        let keys = shape.key.indices.map { "keyturn_k\($0)" }
        let order = shape.order.map { keys[$0] }.joined(separator: ", ")
        func sum(until last: Int) -> String {
            """
            coalesce(pg_catalog.sum(keyturn_bytes) OVER (
                ORDER BY \(order) ROWS BETWEEN UNBOUNDED PRECEDING AND \(last) PRECEDING), 0)
            """
        }
        let limit = "$\(boundCount + 2)::pg_catalog.int8"
        return """
            SELECT CASE WHEN keyturn_before < \(limit) THEN keyturn_value END, keyturn_matches, \
            \(keys.joined(separator: ", ")), keyturn_before < \(limit)
            FROM (SELECT *, \(sum(until: 1)) AS keyturn_before, \(sum(until: 2)) AS keyturn_earlier
                FROM (SELECT \(list), pg_catalog.octet_length(\(shape.value)) AS keyturn_bytes \(source())) AS keyturn_rows
            ) AS keyturn_window WHERE keyturn_earlier < \(limit)
            """
    }

    /// Whether a row that the window would show has no value in a key column.
    func nullKeys(_ column: ColumnShape.KeyColumn) -> String {
        let conditions = ["\(column.sql) IS NULL"] + contentConditions
        return "SELECT EXISTS (SELECT FROM \(shape.table) WHERE \(conditions.joined(separator: " AND ")))"
    }

    private var list: String {
        let keys = shape.key.enumerated().map { "\($1.sql) AS keyturn_k\($0)" }
        return (["\(shape.value) AS keyturn_value", "\(shape.matches(request.scope)) AS keyturn_matches"] + keys)
            .joined(separator: ", ")
    }

    /// `$1…` is the key after which to begin, then comes the one at which to end, then the limit of rows.
    private func source(if gate: String? = nil) -> String {
        var conditions = contentConditions + [gate].compactMap(\.self)
        if request.after != nil { conditions.append(shape.orderCondition(">", from: 1)) }
        if request.through != nil {
            conditions.append(shape.orderCondition("<=", from: request.after == nil ? 1 : 1 + shape.key.count))
        }
        let filter = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
        return "FROM \(shape.table)\(filter) ORDER BY \(shape.orderTerms) LIMIT $\(boundCount + 1)"
    }

    private var boundCount: Int { [request.after, request.through].compactMap(\.self).count * shape.key.count }

    private var contentConditions: [String] {
        (request.skipsNull ? ["\(shape.column) IS NOT NULL"] : []) + shape.conditions(request.scope)
    }
}

extension ColumnShape {
    /// What a row of the scope meets, as SQL.
    func conditions(_ scope: RowScope) -> [String] {
        scope == .matching ? [target.predicate].compactMap(\.self).map(parenthesised) : []
    }

    /// Whether the predicate picks a row, as SQL.
    func matches(_ scope: RowScope) -> String {
        switch (scope, target.predicate) {
        case (.all, let predicate?): "(\(parenthesised(predicate)) IS TRUE)"
        default: "true"
        }
    }

    /// Arrays of keys, and of whatever else, as rows with their number in `keyturn_i`.
    func unnested(_ others: [(name: String, type: String)] = []) -> String {
        let keys = key.enumerated().map { position, column in
            let type =
                switch column.form {
                case .integer: "int8"
                case .text, .paddedText: "text"
                case .uuid: "uuid"
                case .blob: "bytea"
                }
            return (name: "keyturn_k\(position)", type: type)
        }
        let arrays = (keys + others).enumerated().map { index, array in
            "pg_catalog.unnest($\(index + 1)::pg_catalog.\(array.type)[])"
        }
        let names = (keys + others).map(\.name) + ["keyturn_i"]
        return """
            ROWS FROM (\(arrays.joined(separator: ", "))) WITH ORDINALITY \
            AS keyturn_rows (\(names.joined(separator: ", ")))
            """
    }
}
