internal import GRDB
internal import GRDBSQLite
internal import PluginKit
internal import Storage

extension SQLiteSession {
    func swap(_ swaps: [Swap], in target: ColumnTarget, _ lockedRows: LockedRows) throws -> [Bool] {
        let shape = try shape(of: target)
        guard try FenceMarks(of: shape, in: self)?.admit(swaps) ?? false else { return try write(swaps, shape) }
        return try withoutTriggers { try write(swaps, shape) }
    }

    private func write(_ swaps: [Swap], _ shape: ColumnShape) throws -> [Bool] {
        var statements = SwapStatements(session: self, shape: shape)
        return try swaps.map { swap in
            guard try statements.write(swap) else { return false }
            if swap.setsAssignments, shape.target.predicate != nil { try statements.checkPicked(swap) }
            if shape.target.readsBack { try statements.readBack(swap) }
            return true
        }
    }
}

/// The statements of one call, prepared when first needed and kept over its rows.
private struct SwapStatements {
    /// What makes the text of an update differ.
    private struct Variant: Hashable {
        var setsAssignments = false
        var replacesNumber = false
    }

    private let session: SQLiteSession
    private let shape: ColumnShape
    private var updates: [Variant: SQLiteStatement] = [:]
    private var selection: SQLiteStatement?

    init(session: SQLiteSession, shape: ColumnShape) {
        self.session = session
        self.shape = shape
    }

    /// Writes one value where the old one still stands.
    mutating func write(_ swap: Swap) throws -> Bool {
        if case .other = swap.new {
            throw StorageError(.storeUnexpected, "cannot write \(shape.name): the new value is neither text nor bytes")
        }
        let statement = try update(for: swap)
        defer { statement.reset() }
        try statement.bind(swap.new, at: 1)
        try statement.bind(swap.old, at: 2)
        try session.bind(swap.key, of: shape, to: statement, from: 3)
        if swap.setsAssignments {
            for (index, assignment) in shape.target.assignments.enumerated() {
                try statement.bind(assignment.value, at: CInt(3 + shape.key.count + index))
            }
        }
        try statement.run()
        let changed = sqlite3_changes(session.database.sqliteConnection)
        guard changed <= 1 else {
            throw StorageError(.storeUnexpected, "cannot write \(shape.name): one key names \(changed) rows")
        }
        return changed == 1
    }

    /// Checks that what was written is what stands there now, after all triggers.
    mutating func readBack(_ swap: Swap) throws {
        let statement = try selectionStatement()
        defer { statement.reset() }
        try session.bind(swap.key, of: shape, to: statement, from: 1)
        guard try statement.step(), try statement.storedValue(0) == swap.new else {
            throw StorageError(
                .storeValueAltered,
                "cannot write \(shape.name): the row with key \(swap.key) does not hold what was written to it",
                hint: "A trigger or the column's type changes values; nothing of the transaction was written.")
        }
    }

    /// Checks that the predicate picks a row that has got its assignments: no run would look at it again otherwise.
    mutating func checkPicked(_ swap: Swap) throws {
        let text = "SELECT 1 FROM \(shape.table) WHERE \(shape.keyCondition(from: 1))\(scope(Variant()))"
        let statement = try SQLiteStatement(text, in: session, doing: "read", shape.name)
        defer { statement.reset() }
        try session.bind(swap.key, of: shape, to: statement, from: 1)
        guard try statement.step() else {
            throw StorageError(
                .storeValueAltered,
                "cannot write \(shape.name): \"where\" does not pick the row with key \(swap.key) even with what \"set\" gives",
                hint: "Let \"where\" pick every row that \"set\" marks; nothing of the transaction was written.")
        }
    }

    /// `?1` is the new value, `?2` the old one, then come the key and the assignments.
    private mutating func update(for swap: Swap) throws -> SQLiteStatement {
        let variant = Variant(setsAssignments: swap.setsAssignments, replacesNumber: swap.old.isNumber)
        if let statement = updates[variant] { return statement }
        let assignments = variant.setsAssignments ? shape.target.assignments : []
        let values = assignments.enumerated().map { index, assignment in
            ", \(quotedIdentifier(assignment.column)) = ?\(3 + shape.key.count + index)"
        }
        let text = """
            UPDATE \(shape.table) SET \(shape.column) = ?1\(values.joined()) \
            WHERE \(shape.keyCondition(from: 3)) AND \(unchanged(variant))\(scope(variant))
            """
        let statement = try SQLiteStatement(text, in: session, doing: "write", shape.name)
        updates[variant] = statement
        return statement
    }

    /// Whether the old value still stands there: compared as bytes, since collations and affinities call other values equal.
    private func unchanged(_ variant: Variant) -> String {
        let column = shape.column
        return variant.replacesNumber
            ? "typeof(\(column)) IN ('integer', 'real') AND CAST(CAST(\(column) AS TEXT) AS BLOB) = CAST(?2 AS BLOB)"
            : "typeof(\(column)) = typeof(?2) AND CAST(\(column) AS BLOB) IS CAST(?2 AS BLOB)"
    }

    /// The predicate; a row that gets its assignments may well stand outside of it until then.
    private func scope(_ variant: Variant) -> String {
        guard !variant.setsAssignments, let predicate = shape.target.predicate else { return "" }
        return " AND " + parenthesised(predicate)
    }

    private mutating func selectionStatement() throws -> SQLiteStatement {
        if let selection { return selection }
        let text = "SELECT \(shape.column) FROM \(shape.table) WHERE \(shape.keyCondition(from: 1))"
        let statement = try SQLiteStatement(text, in: session, doing: "read", shape.name)
        selection = statement
        return statement
    }
}

extension StoredValue {
    fileprivate var isNumber: Bool { if case .other = self { true } else { false } }
}
