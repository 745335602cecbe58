internal import KeyModel
internal import Storage

extension PostgreSQLSession {
    func checkPredicate(_ predicate: String, on table: TableName) throws {
        guard let record = try tableRecord(table) else {
            throw StorageError(
                .storeObjectMissing, "cannot use \(table): there is no such table",
                hint: "If it was renamed, say so in the configuration with was.")
        }
        if let flaw = PredicateScanner.flaw(of: predicate) { throw malformed(predicate, flaw) }
        let count: Int
        do {
            count = try withSavepoint {
                try connection.parameterCount(of: "SELECT 1 FROM \(record.sql) WHERE \(parenthesised(predicate))")
            }
        } catch let error as StorageError where !error.isTransient {
            throw malformed(predicate, "it does not compile", cause: error)
        }
        guard count == 0 else { throw malformed(predicate, "it holds a parameter") }
    }

    private func malformed(_ predicate: String, _ reason: String, cause: StorageError? = nil) -> StorageError {
        let detail = cause.map { " (\($0.message))" } ?? ""
        return StorageError(
            .callerSQLMalformed, "cannot use the where \(quoted(predicate)): \(reason)\(detail)",
            hint: "Write one expression over the table's columns, strings in single quotes.", cause: cause)
    }
}
