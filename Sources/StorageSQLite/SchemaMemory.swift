internal import Storage
internal import Synchronization

/// What was found out about columns, for as long as the schema of the database stays the same.
///
/// SQLite counts the changes of a schema in the file itself, so that a change by any program is noticed.
final class SchemaMemory: Sendable {
    private struct Known {
        var version: Int64 = 0
        var shapes: [ColumnTarget: ColumnShape] = [:]
    }

    private let known = Mutex(Known())

    /// What is known of a column at a version of the schema.
    func shape(of target: ColumnTarget, version: Int64) -> ColumnShape? {
        known.withLock { $0.version == version ? $0.shapes[target] : nil }
    }

    /// Keeps what was found out; columns of attached files are left out, since their schemas are counted elsewhere.
    func remember(_ shape: ColumnShape, version: Int64) {
        guard ["main", nil].contains(shape.target.path.table.schema) else { return }
        known.withLock { known in
            if known.version != version { known = Known(version: version) }
            known.shapes[shape.target] = shape
        }
    }
}
