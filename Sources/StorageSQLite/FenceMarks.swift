internal import CSQLite
internal import GRDB
internal import GRDBSQLite
internal import PluginKit
internal import Storage

/// What the fence of a column admits, asked here rather than by its trigger.
///
/// The trigger costs more than the rest of an update. Where nothing but a fence of ours would fire, a batch whose values are
/// all admitted is written without firing it; any other batch fires it, and it decides.
struct FenceMarks {
    private let marks: AdmittedMarks

    /// Reads the marks of a column's fence; nil where it has none, or where something else fires as well.
    init?(of shape: ColumnShape, in session: SQLiteSession) throws {
        guard let fence = shape.onlyFence else { return nil }
        marks = try AdmittedMarks(
            session.rows(
                """
                SELECT form, first_at, first, second_at, second FROM \(quotedIdentifier(controlPrefix + "fences"))
                WHERE column_id = ?1
                """, [.integer(fence)]))
    }

    /// Whether the trigger would let all new values pass; what else is written beside a value is left to triggers.
    func admit(_ swaps: [Swap]) -> Bool {
        swaps.allSatisfy { swap in
            guard !swap.setsAssignments, let bytes = swap.new.bytes, let form = swap.new.form else { return false }
            return marks.admit(bytes[...], as: form)
        }
    }
}

extension SQLiteSession {
    /// Runs statements that fire no triggers, on this connection and for as long as `body` runs.
    func withoutTriggers<Value>(_ body: () throws -> Value) throws -> Value {
        let connection = database.sqliteConnection
        guard kt_sqlite_fire_triggers(connection, 0) == SQLITE_OK else { return try body() }
        defer { kt_sqlite_fire_triggers(connection, 1) }
        return try body()
    }

    /// The number of the fence that an update of a column fires; nil where there is none or a trigger of an application.
    ///
    /// A fence with a predicate counts as none, since what it guards is only known once the row is written.
    func onlyFence(firedBy target: ColumnTarget, in table: TableRecord) throws -> Int64? {
        guard target.predicate == nil else { return nil }
        let triggers = try rows(
            """
            SELECT name, sql FROM \(quotedIdentifier(table.schema)).sqlite_schema
            WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE
            """, [.text(table.name)])
        let event = "BEFORE UPDATE OF \(quotedIdentifier(target.path.column)) ON"
        var fences: [Int64] = []
        for trigger in triggers {
            let name = try trigger.text(0)
            guard name.hasPrefix(FenceTriggers.prefix) else { return nil }
            if let number = FenceTriggers.updatedColumn(name), try trigger.text(1).contains(event) {
                fences.append(number)
            }
        }
        return fences.count == 1 ? fences[0] : nil
    }
}

extension FenceTriggers {
    /// The column's number in the name of a trigger that fires on updates; nil for other names.
    fileprivate static func updatedColumn(_ name: String) -> Int64? {
        let parts = name.dropFirst(prefix.count).split(separator: "_")
        guard parts.count == 2, parts[1] == Event.update.rawValue else { return nil }
        return Int64(parts[0])
    }
}
