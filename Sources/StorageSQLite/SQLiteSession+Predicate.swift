internal import GRDB
internal import GRDBSQLite
internal import KeyModel
internal import Storage

extension SQLiteSession {
    func checkPredicate(_ predicate: String, on table: TableName) throws {
        if let flaw = Self.flaw(of: predicate) { throw malformed(predicate, flaw) }
        do {
            let statement = try strictly {
                try SQLiteStatement(
                    "SELECT 1 FROM \(table.sql) WHERE \(parenthesised(predicate))", in: self, isCached: false,
                    doing: "use")
            }
            guard statement.isReadOnly else { throw malformed(predicate, "it changes the database") }
            guard statement.parameterCount == 0 else { throw malformed(predicate, "it holds a parameter") }
        } catch let error as StorageError where error.code != .callerSQLMalformed {
            guard try tableRecord(table) != nil else { throw error }
            throw malformed(predicate, "it does not compile", cause: error)
        }
    }

    /// Runs `body` with strings in double quotes refused, so that a name which is gone is an error and not a text.
    func strictly<Value>(_ body: () throws -> Value) rethrows -> Value {
        guard database.configuration.acceptsDoubleQuotedStringLiterals else { return try body() }
        _disableDoubleQuotedStringLiterals(database.sqliteConnection)
        defer { _enableDoubleQuotedStringLiterals(database.sqliteConnection) }
        return try body()
    }

    /// What is wrong with the words of a predicate; nil where only compiling can tell.
    private static func flaw(of predicate: String) -> String? {
        var depth = 0
        var isEmpty = true
        for token in SQLLexer(predicate) {
            isEmpty = false
            switch token {
            case .malformed(let what): return "it holds \(what)"
            case .symbol("("): depth += 1
            case .symbol(")"):
                depth -= 1
                if depth < 0 { return "it closes a parenthesis that it did not open" }
            case .symbol(";"): return "it holds more than one statement"
            case .word, .quoted, .symbol: break
            }
        }
        if isEmpty { return "it is empty" }
        return depth == 0 ? nil : "it leaves a parenthesis open"
    }

    private func malformed(_ predicate: String, _ reason: String, cause: (any Error)? = nil) -> StorageError {
        let detail = (cause as? StorageError).map { " (\($0.message))" } ?? ""
        return StorageError(
            .callerSQLMalformed, "cannot use the where \(quoted(predicate)): \(reason)\(detail)",
            hint: "Write one expression over the table's columns, strings in single quotes.", cause: cause)
    }
}

/// A predicate between parentheses on lines of their own, so that a comment at its end cannot swallow the closing one.
func parenthesised(_ predicate: String) -> String { "(\n\(predicate)\n)" }
