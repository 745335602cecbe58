import PluginKit
import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

extension ColumnTarget {
    /// The column `c` of the table `t`, by default with its key `id`.
    static func plain(
        key: [String] = ["id"], where predicate: String? = nil, assignments: [Assignment] = [], readsBack: Bool = false
    ) -> ColumnTarget {
        ColumnTarget(
            path: ColumnPath(table: TableName(name: "t"), column: "c"), key: key, predicate: predicate,
            assignments: assignments, readsBack: readsBack)
    }
}

extension StoredValue {
    static func text(_ text: String) -> StoredValue { .text([UInt8](text.utf8)) }
}

extension Swap {
    /// Swaps text in the row of `t` with a number.
    init(_ id: Int64, _ old: String, _ new: String, setsAssignments: Bool = false) {
        self.init(
            key: RowKey([.integer(id)]), old: .text(old), new: .text(new), setsAssignments: setsAssignments)
    }
}

extension PostgreSQLEngine {
    func swap(_ swaps: [Swap], in target: ColumnTarget = .plain()) async throws -> [Bool] {
        try await write { try $0.swap(swaps, in: target) }
    }

    func window(_ target: ColumnTarget = .plain()) async throws -> Window {
        try await read { try $0.readWindow(WindowRequest(target: target, scope: .all)) }
    }

    /// Makes the tables that a fence looks into, a fence of `t.c` that admits text which begins with `s1.`, and no more.
    func installFence(_ target: ColumnTarget = .plain()) async throws {
        try await write { session in
            try session.createControlSchema()
            try session.execute(
                """
                CREATE TABLE \(control: "fences") (column_id bigint, form text, first_at bigint, first bytea,
                second_at bigint, second bytea)
                """)
            try session.execute(
                """
                INSERT INTO \(control: "fences") (column_id, form, first_at, first)
                VALUES (7, 'text', 1, \([UInt8]("s1.".utf8)))
                """)
            try session.installFence(Fence(columnID: 7, target: target))
        }
    }
}

/// The error of ours that `body` throws.
func storageError(_ body: () async throws -> Void) async -> StorageError? {
    do {
        try await body()
        return nil
    } catch { return error as? StorageError }
}

/// What the server says to an application where it refuses.
func refusal(_ body: () async throws -> Void) async -> String? {
    do {
        try await body()
        return nil
    } catch { return "\(error)" }
}
