internal import ControlStore
package import KeyModel
internal import Logging
internal import Storage

extension RotationEngine {
    /// Counts every value of the keyrings' columns by opening it; changes no value and needs no lease.
    ///
    /// Where values lie under keys that were retired, those count as unused from a later time on.
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
        let censuses = try await Patience.during(context, until: interrupt) {
            try await countPatiently(keyring, interrupt, report)
        }
        let columns = (censuses ?? []).flatMap(\.columns)
        let found = columns.flatMap { Array($0.old.keys) + Array(($0.outside.oldKeys ?? [:]).keys) }
        await noteReappeared(Set(found))
        return censuses
    }

    /// Records that values lie under keys that were retired, by key id.
    ///
    /// Where the database takes no writes now, or was set back, that is only logged: whoever counts next says it again.
    func noteReappeared(_ ids: Set<String>) async {
        let keys = Set(ids.compactMap { KeyID(hex: $0) })
        guard !keys.isEmpty else { return }
        do {
            let isRetired = try await context.control.read { session in
                try session.keyrings().flatMap(\.keyring.versions).contains {
                    keys.contains($0.id) && $0.retiredAt != nil
                }
            }
            guard isRetired else { return }
            try await requireCurrent()
            let now = context.now()
            let moved = try await context.control.write { try $0.noteReappeared(keys, at: now) }
            for version in moved {
                context.logger.warning("values lie under a retired key again", metadata: ["key.id": "\(version.id)"])
            }
        } catch {
            context.logger.warning(
                "values lie under retired keys, which could not be recorded", metadata: ["why": "\(error)"])
        }
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
