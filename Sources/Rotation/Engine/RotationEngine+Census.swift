internal import ControlStore
package import KeyModel
internal import Storage

extension RotationEngine {
    /// Counts every value of the keyrings' columns by opening it; changes nothing and needs no lease.
    ///
    /// - Parameters:
    ///   - keyring: The keyring; nil for all.
    ///   - interrupt: Raised to stop; what was counted so far is thrown away.
    ///   - report: Told the column and the rows counted in it after each window.
    /// - Returns: A census a keyring, by name; nil when it was interrupted.
    /// - Throws: ``RotationError`` with `keyNotUnwrapped`, or ``StorageError``.
    package func census(
        of keyring: Name?, interrupt: Interrupt = Interrupt(),
        report: @Sendable (_ column: String, _ rows: Int64) -> Void = { _, _ in }
    ) async throws -> [Census]? {
        try await Patience.during(context, until: interrupt) { try await countPatiently(keyring, interrupt, report) }
    }

    private func countPatiently(
        _ keyring: Name?, _ interrupt: Interrupt, _ report: @Sendable (_ column: String, _ rows: Int64) -> Void
    ) async throws -> [Census]? {
        let (records, columns) = try await context.control.read { session in
            (try keyring.map { [try session.keyring($0)] } ?? session.keyrings(), try session.columns())
        }
        var result: [Census] = []
        for record in records {
            let opened = try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true)
            var census = Census(
                keyring: record.keyring.name.description, activeKey: opened.active?.description, columns: [])
            for column in columns where column.isDeclared && column.declaration.keyring == record.keyring.name {
                let name = column.declaration.path.description
                var count = ColumnCensus(column: name)
                let fitted = opened.fitted(to: try await description(of: column))
                let taker = try CensusTaker(column: column, keyring: fitted, namespace: instance.namespace)
                var step = CensusTaker.Step(cursor: nil, isLast: false)
                while !step.isLast {
                    if interrupt.isSet { return nil }
                    step = try await taker.count(after: step.cursor, on: context.engine, into: &count)
                    report(name, count.rows)
                }
                census.columns.append(count)
            }
            result.append(census)
        }
        return result
    }

    /// What the database says of a column; nil where it is gone.
    func description(of column: ColumnRecord) async throws -> ColumnDescription? {
        let path = column.declaration.path
        return try await context.engine.read { try $0.describe(path.table)?.column(path.column) }
    }
}
