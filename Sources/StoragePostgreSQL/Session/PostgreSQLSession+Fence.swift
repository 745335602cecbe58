internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Storage

extension PostgreSQLSession {
    func installFence(_ fence: Fence) throws {
        let shape = try shape(of: fence.target)
        let role = try rows("SELECT SESSION_USER::text").first?.text(0) ?? ""
        let text = FenceText(columnID: fence.columnID, shape: shape, role: role)
        try locking(shape.table, "SHARE ROW EXCLUSIVE", shape.name) {
            for statement in text.functions { try run(statement, shape.name) }
            for event in FenceText.Event.allCases {
                try run(text.trigger(event), shape.name)
                try enableAlways(event, of: fence, shape)
            }
        }
        // A function's body is compiled when it first runs; the predicate is compiled now.
        if let predicate = fence.target.predicate { try checkPredicate(predicate, on: fence.target.path.table) }
    }

    func removeFence(_ fence: Fence) throws {
        // By the triggers' names, which stay theirs when the table gets another.
        let names = FenceText.Event.allCases.map { FenceText.name(columnID: fence.columnID, $0) }
        let found = try rows(
            """
            SELECT t.tgname::text, n.nspname::text, c.relname::text FROM pg_trigger AS t
            JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE t.tgname IN ($1::name, $2::name) AND t.tgparentid = 0
            """, names.map(SQLValue.text))
        for row in found {
            let table = "\(quotedIdentifier(try row.text(1))).\(quotedIdentifier(try row.text(2)))"
            let trigger = quotedIdentifier(try row.text(0))
            try locking(table, "ACCESS EXCLUSIVE", "the fence") {
                try run("DROP TRIGGER \(trigger) ON \(table)", "the fence")
            }
        }
        try run("DROP FUNCTION IF EXISTS \(FenceText.function(columnID: fence.columnID))()", "the fence")
    }

    /// Also where a writer pretends to be a replica, and on each partition by itself.
    private func enableAlways(_ event: FenceText.Event, of fence: Fence, _ shape: ColumnShape) throws {
        let name = FenceText.name(columnID: fence.columnID, event)
        let tables = try rows(
            """
            SELECT n.nspname::text, c.relname::text FROM pg_trigger AS t
            JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE t.tgname = $1::name AND t.tgenabled <> 'A'
            """, [.text(name)])
        for row in tables {
            let table = "\(quotedIdentifier(try row.text(0))).\(quotedIdentifier(try row.text(1)))"
            try run("ALTER TABLE \(table) ENABLE ALWAYS TRIGGER \(quotedIdentifier(name))", shape.name)
        }
    }

    /// Runs DDL under a lock that is only waited for briefly, again and again: a longer wait would queue up everybody else.
    private func locking(_ table: String, _ mode: String, _ object: String, _ body: () throws -> Void) throws {
        let attempts = 40
        for attempt in 1...attempts {
            do {
                return try withSavepoint {
                    try run("SET LOCAL lock_timeout = 100", object)
                    // Two at a time would replace the function that all fences share under each other's hands.
                    try run("SELECT pg_catalog.pg_advisory_xact_lock(\(Self.fencesLock))", object)
                    try run("LOCK TABLE \(table) IN \(mode) MODE", object)
                    try body()
                }
            } catch let error as StorageError where error.code == .storeBusy && attempt < attempts {
                Thread.sleep(forTimeInterval: .random(in: 0.02...0.2))
            }
        }
    }

    /// "keyturn" in ASCII.
    private static var fencesLock: Int64 { 0x6B65_7974_7572_6E }

    private func run(_ text: String, _ object: String) throws {
        _ = try connection.run(text, doing: "fence", object)
    }
}

/// Writes the triggers of a fence.
///
/// A batch of ours, whose values were held against the same marks already, shows the pass of the trigger instead of being
/// asked value by value; see ``FencePass``.
///
/// They fire after the row is written, so that no other trigger can alter the value behind them, and their condition,
/// which costs no lock and no queue, calls them for refused values only. The condition knows the column by its number,
/// so that a renamed column stays guarded. What it calls runs as our own role: those who write need no right on anything
/// of ours.
struct FenceText {
    /// What fires a trigger.
    enum Event: String, CaseIterable {
        case update
        case insert
    }

    let columnID: Int64
    let shape: ColumnShape
    /// Who has connected to make them.
    let role: String

    /// What the names of all our triggers begin with.
    static let prefix = "keyturn_fence_"

    /// The name of a column's trigger.
    static func name(columnID: Int64, _ event: Event) -> String { "\(prefix)\(columnID)_\(event.rawValue)" }

    /// The name of a column's function, as SQL.
    static func function(columnID: Int64) -> String {
        "\(quotedIdentifier(controlSchema)).\(quotedIdentifier("fence_\(columnID)"))"
    }

    /// The function that looks a value up in the rows of the fence, the right to call it, and the one that refuses.
    var functions: [String] {
        [
            """
            CREATE OR REPLACE FUNCTION keyturn.admits(guarded bigint, form text, value bytea) RETURNS boolean
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS \(quotedLiteral(Self.lookup))
            """,
            "GRANT EXECUTE ON FUNCTION keyturn.admits(bigint, text, bytea) TO PUBLIC",
            """
            CREATE OR REPLACE FUNCTION \(Self.function(columnID: columnID))() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS \(quotedLiteral(refusal))
            """,
        ]
    }

    /// A trigger of the column.
    func trigger(_ event: Event) -> String {
        let name = quotedIdentifier(Self.name(columnID: columnID, event))
        let new = "NEW.\(shape.columnName)"
        let changed =
            event == .insert
            ? "true"
            : "\(comparable("OLD")) IS DISTINCT FROM \(comparable("NEW")) AND \(FencePass.drawn().condition(for: role))"
        let form = shape.form == .blob ? "blob" : "text"
        return """
            CREATE OR REPLACE TRIGGER \(name) AFTER \(event.rawValue.uppercased()) ON \(shape.table) FOR EACH ROW
            WHEN (\(changed) AND NOT keyturn.admits(\(columnID), '\(form)', \(shape.guardedBytes(of: new))))
            EXECUTE FUNCTION \(Self.function(columnID: columnID))()
            """
    }

    /// The value of a row such that equal means equal bytes.
    private func comparable(_ row: String) -> String {
        let value = "\(row).\(shape.columnName)"
        return shape.form == .blob ? value : "(\(value))::pg_catalog.text COLLATE pg_catalog.\"C\""
    }

    private static let lookup = """
        BEGIN
            RETURN value IS NULL OR octet_length(value) = 0 OR EXISTS (
                SELECT FROM keyturn.fences AS f WHERE f.column_id = guarded AND (f.form = 'any' OR f.form = admits.form
                    AND substring(value FROM f.first_at::int4 FOR octet_length(f.first)) = f.first
                    AND (f.second IS NULL
                        OR substring(value FROM f.second_at::int4 FOR octet_length(f.second)) = f.second)));
        END
        """

    /// A predicate is asked of the new row under the table's own name.
    private var refusal: String {
        let scope = shape.target.predicate.map { predicate in
            """
                IF (SELECT \(parenthesised(predicate)) FROM (SELECT NEW.*) AS \(shape.tableName)) IS NOT TRUE THEN
                    RETURN NULL;
                END IF;

            """
        }
        return """
            #variable_conflict use_column
            BEGIN
            \(scope ?? "")
                RAISE EXCEPTION USING MESSAGE = \(quotedLiteral(ServerError.fenceMessage)),
                    ERRCODE = \(quotedLiteral(ServerError.fenceState));
            END
            """
    }
}
