internal import Foundation
internal import PluginKit
internal import Storage

/// What lets a batch of ours pass a fence without its trigger asking for each value: a text that stands in the trigger's own
/// condition, drawn anew whenever the trigger is made, and shown in a session of the role that made it.
///
/// It spares the server a call that costs as much as all the rest of an update. The text is no secret, since everybody may
/// read the catalogue, so that another role's session has no use for it: the trigger asks there as always. The role that
/// made the trigger could as well remove it.
struct FencePass: Hashable, Sendable {
    /// The number of the fence.
    let columnID: Int64
    private let text: String

    /// The setting that a transaction of ours shows it in.
    static let setting = "keyturn.pass"
    private static let beginning = "keyturn-pass-"

    /// The condition of a trigger that fires for everybody but a role that shows it.
    ///
    /// It looks at who has connected, whatever role that session plays or whoever's function it is in.
    func condition(for role: String) -> String {
        """
        (SESSION_USER OPERATOR(pg_catalog.<>) \(quotedLiteral(role))::pg_catalog.name \
        OR pg_catalog.current_setting('\(Self.setting)', true) IS DISTINCT FROM '\(text)')
        """
    }

    /// The value of the setting.
    var parameter: Parameter { Parameter(text) }

    /// A new one.
    static func drawn() -> FencePass {
        FencePass(columnID: 0, text: beginning + UUID().uuidString.lowercased())
    }

    private init(columnID: Int64, text: String) {
        self.columnID = columnID
        self.text = text
    }

    /// Reads it from a trigger; nil where that is none of ours, or one from before there were passes.
    init?(trigger name: String, definition: String) {
        let ending = "_\(FenceText.Event.update.rawValue)"
        guard name.hasPrefix(FenceText.prefix), name.hasSuffix(ending),
            let number = Int64(name.dropFirst(FenceText.prefix.count).dropLast(ending.count)),
            let start = definition.range(of: "'" + Self.beginning),
            let end = definition[start.upperBound...].firstIndex(of: "'")
        else { return nil }
        self.init(columnID: number, text: Self.beginning + definition[start.upperBound..<end])
    }
}

extension PostgreSQLSession {
    /// The pass of the fence that guards a column; nil where there is none, or where anything else fires on an update, since
    /// that could write what nobody has looked at.
    func fencePass(of column: ColumnRecord, in table: TableRecord) throws -> FencePass? {
        let triggers = try rows(
            """
            SELECT t.tgname::text, pg_get_triggerdef(t.oid), EXISTS (
                SELECT FROM pg_depend AS d WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid
                    AND d.refobjid = t.tgrelid AND d.refobjsubid = $2::int4)
            FROM pg_trigger AS t WHERE t.tgrelid = $1::oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
            UNION ALL
            SELECT rulename::text, '', false FROM pg_rewrite WHERE ev_class = $1::oid
            UNION ALL
            SELECT 'triggers of partitions', '', false FROM pg_class WHERE oid = $1::oid AND relkind = 'p'
            """, [.integer(table.id), .integer(column.number)])
        guard try triggers.allSatisfy({ try $0.text(0).hasPrefix(FenceText.prefix) }) else { return nil }
        let passes = try triggers.filter { try $0.integer(2) != 0 }.compactMap {
            FencePass(trigger: try $0.text(0), definition: try $0.text(1))
        }
        return passes.count == 1 ? passes[0] : nil
    }

    /// Prepares a transaction for a batch: how long it waits for rows that are locked, and whether it passes the fence.
    func prepare(for swaps: [Swap], _ shape: ColumnShape) throws {
        let maySkip = shape.fencePass != nil && swaps.allSatisfy { !$0.setsAssignments }
        let statement = preparation(for: shape, withPass: maySkip)
        let result = try connection.execute(statement.text, statement.parameters)
        guard maySkip, try !isAdmitted(swaps, shape, by: result) else { return }
        // The trigger decides, and names the refusal.
        _ = try connection.execute("SELECT pg_catalog.set_config('\(FencePass.setting)', '', true)", [])
    }

    /// What a batch asks of its transaction.
    private var batchSettings: String {
        "pg_catalog.set_config('lock_timeout', $1, true)"
            + (commitsAsynchronously ? ", pg_catalog.set_config('synchronous_commit', 'off', true)" : "")
    }

    /// The statement that prepares a transaction for a batch; with a pass, if there is one, it shows that and answers with
    /// the marks that every value must have been held against before anything is committed.
    func preparation(for shape: ColumnShape, withPass: Bool) -> Statement {
        let wait = Parameter("\(connection.settings.batchLockTimeout.wholeMilliseconds)")
        guard withPass, let pass = shape.fencePass else {
            return Statement(text: "SELECT \(batchSettings)", parameters: [wait])
        }
        let text = """
            SELECT f.form, f.first_at, f.first, f.second_at, f.second, \(batchSettings),
                pg_catalog.set_config('\(FencePass.setting)', $2, true)
            FROM (VALUES (1)) AS one LEFT JOIN keyturn.fences AS f ON f.column_id = $3
            """
        return Statement(text: text, parameters: [wait, pass.parameter, Parameter(pass.columnID)])
    }

    /// Whether the fence would let all values pass, by the answer to ``preparation(for:withPass:)``; without one it is asked.
    func isAdmitted(_ swaps: [Swap], _ shape: ColumnShape, by result: ResultSet) throws -> Bool {
        guard shape.fencePass != nil else { return true }
        let marks = try AdmittedMarks(
            (0..<result.rowCount).map { row in SQLRow((0..<5).map { result.value(row, $0) }) })
        return swaps.indices.allSatisfy { shape.isAdmitted(swaps[$0].new, by: marks) }
    }
}

extension ColumnShape {
    /// Whether the fence would let a value pass; a document counts by what its string holds.
    fileprivate func isAdmitted(_ value: StoredValue, by marks: AdmittedMarks) -> Bool {
        guard let bytes = value.bytes, let form = value.form else { return false }
        guard documentType != nil else { return marks.admit(bytes[...], as: form) }
        let quote = UInt8(ascii: "\"")
        guard bytes.count >= 2, bytes.first == quote, bytes.last == quote else { return false }
        return marks.admit(bytes[1..<(bytes.count - 1)], as: form)
    }
}
