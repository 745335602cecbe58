internal import GRDB
internal import PluginKit
internal import Storage

extension SQLiteSession {
    func installFence(_ fence: Fence) throws {
        let shape = try shape(of: fence.target)
        let triggers = FenceTriggers(
            columnID: fence.columnID, shape: shape, schema: fence.target.path.table.schema ?? "main",
            isUTF16: try encodesUTF16())
        try removeFence(fence)
        for text in [triggers.updateTrigger, triggers.insertTrigger] { try run(text, shape.name) }
        // Creating a trigger checks no names; compiling statements that fire it does.
        try run("EXPLAIN UPDATE \(shape.table) SET \(shape.column) = \(shape.column)", shape.name)
    }

    func removeFence(_ fence: Fence) throws {
        let schema = fence.target.path.table.schema ?? "main"
        for event in FenceTriggers.Event.allCases {
            let name = FenceTriggers.name(columnID: fence.columnID, event)
            try run("DROP TRIGGER IF EXISTS \(quotedIdentifier(schema)).\(quotedIdentifier(name))", "the fence")
        }
    }

    private func run(_ text: String, _ object: String) throws {
        let statement = try SQLiteStatement(text, in: self, isCached: false, doing: "fence", object)
        defer { statement.reset() }
        try statement.run()
    }

    private func encodesUTF16() throws -> Bool {
        try rows("PRAGMA encoding").first.map { try $0.text(0) }?.hasPrefix("UTF-16") ?? false
    }
}

/// Writes the triggers of a fence, of built-in SQL alone, so that they bind whatever program opens the file.
struct FenceTriggers {
    /// What fires a trigger.
    enum Event: String, CaseIterable {
        case update
        case insert
    }

    let columnID: Int64
    let shape: ColumnShape
    let schema: String
    let isUTF16: Bool

    /// What the names of all our triggers begin with.
    static let prefix = controlPrefix + "fence_"

    /// The name of a column's trigger.
    static func name(columnID: Int64, _ event: Event) -> String { "\(prefix)\(columnID)_\(event.rawValue)" }

    /// Refuses values that the column would change to; setting the value that already stands there is no change.
    var updateTrigger: String {
        let change = """
            (typeof(NEW.\(shape.column)) IS NOT typeof(OLD.\(shape.column))
            OR CAST(NEW.\(shape.column) AS BLOB) IS NOT CAST(OLD.\(shape.column) AS BLOB))
            """
        return trigger(.update, "UPDATE OF \(shape.column)", when: "\(change) AND \(refused)")
    }

    /// Refuses values of new rows, those of INSERT OR REPLACE among them.
    var insertTrigger: String { trigger(.insert, "INSERT", when: refused) }

    private func trigger(_ event: Event, _ clause: String, when condition: String) -> String {
        let name = "\(quotedIdentifier(schema)).\(quotedIdentifier(Self.name(columnID: columnID, event)))"
        // A predicate can only be asked of a row that stands in the table.
        let time = shape.target.predicate == nil ? "BEFORE" : "AFTER"
        return """
            CREATE TRIGGER \(name) \(time) \(clause) ON \(quotedIdentifier(shape.target.path.table.name))
            WHEN \(condition)
            BEGIN SELECT RAISE(ABORT, \(quotedLiteral(DatabaseFile.fenceMessage)))\(source); END
            """
    }

    private var source: String {
        guard let predicate = shape.target.predicate else { return "" }
        let key = zip(shape.key, shape.target.key).map { "\($0) = NEW.\(quotedIdentifier($1))" }
        let table = quotedIdentifier(shape.target.path.table.name)
        return " FROM \(table) WHERE \(key.joined(separator: " AND ")) AND \(parenthesised(predicate))"
    }

    /// Whether the new value holds anything, and no mark admits it.
    private var refused: String {
        let value = "NEW.\(shape.column)"
        return """
            \(value) IS NOT NULL AND length(CAST(\(value) AS BLOB)) > 0
            AND NOT EXISTS (SELECT 1 FROM \(quotedIdentifier(controlPrefix + "fences")) AS f
            WHERE f.column_id = \(columnID) AND (f.form = 'any' OR (f.form = typeof(\(value))
            AND \(stands("f.first", at: "f.first_at")) AND (f.second IS NULL OR \(stands("f.second", at: "f.second_at"))))))
            """
    }

    /// Whether the bytes of a mark stand at a position of the new value.
    private func stands(_ mark: String, at position: String) -> String {
        let value = "NEW.\(shape.column)"
        let asBytes = "substr(CAST(\(value) AS BLOB), \(position), length(\(mark))) = \(mark)"
        guard isUTF16 else { return "(\(asBytes))" }
        return """
            CASE typeof(\(value)) WHEN 'blob' THEN \(asBytes) ELSE NOT EXISTS (
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < length(\(mark)))
            SELECT 1 FROM n WHERE unicode(substr(\(value), \(position) + i, 1)) IS NOT \(byte(of: mark))) END
            """
    }

    /// The byte at position `i` of a mark as a number.
    ///
    /// A cast would do, were it not for UTF-16, in which the marks, plain ASCII, stand as two bytes a character.
    private func byte(of mark: String) -> String {
        let digits = "hex(substr(\(mark), i + 1, 1))"
        return """
            (16 * instr('123456789ABCDEF', substr(\(digits), 1, 1)) + instr('123456789ABCDEF', substr(\(digits), 2, 1)))
            """
    }
}
