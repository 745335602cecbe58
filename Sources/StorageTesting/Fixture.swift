internal import KeyModel
internal import PluginKit
internal import Storage

/// What a case works with: a database, an engine on it, and shorthands.
struct Fixture: Sendable {
    let database: any ConformanceDatabase
    let engine: any StorageEngine

    var dialect: ConformanceDialect { database.dialect }

    /// Runs SQL as the application.
    func run(_ sql: String...) async throws {
        for statement in sql { try await database.runAsApplication(statement) }
    }

    /// Makes the table `t (id, c, flag)` with whole numbers as its key and rows `1…count` that hold `v1`, `v2`, ….
    func makeTable(rows count: Int = 0, columnType: String? = nil) async throws {
        try await run(
            "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, c \(columnType ?? dialect.textType), flag INTEGER)")
        guard count > 0 else { return }
        let rows = (1...count).map { "(\($0), 'v\($0)', 1)" }.joined(separator: ", ")
        try await run("INSERT INTO t (id, c, flag) VALUES \(rows)")
    }

    /// Reads one window.
    func window(_ request: WindowRequest) async throws -> Window {
        try await engine.read { try $0.readWindow(request) }
    }

    /// Reads windows until the last one; `between` is called after each.
    func allRows(_ request: WindowRequest, between: (Int) async throws -> Void = { _ in }) async throws -> [StoredRow] {
        var request = request
        var rows: [StoredRow] = []
        var count = 0
        while true {
            let window = try await window(request)
            rows += window.rows
            if window.isLast { return rows }
            guard let last = window.rows.last else {
                throw ConformanceFailure(description: "a window without rows is not the last one")
            }
            request.after = last.key
            count += 1
            try await between(count)
        }
    }

    /// The value of the row of `t` with a number; nil where the row is gone.
    func value(_ id: Int64, of target: ColumnTarget = .plain) async throws -> StoredValue? {
        try await engine.read { try $0.readRows([RowKey([.integer(id)])], of: target) }.first?.value
    }

    /// Swaps in a transaction of their own.
    func swap(_ swaps: [Swap], in target: ColumnTarget = .plain) async throws -> [Bool] {
        try await engine.write { try $0.swap(swaps, in: target) }
    }
}

extension ColumnTarget {
    /// The column `c` of the table `t` with its key `id`.
    static let plain = ColumnTarget(path: .plain, key: ["id"])

    /// The same with a predicate.
    static func plain(where predicate: String) -> ColumnTarget {
        ColumnTarget(path: .plain, key: ["id"], predicate: predicate)
    }
}

extension ColumnPath {
    static let plain = ColumnPath(table: TableName(name: "t"), column: "c")
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

/// Fails the case unless a claim holds.
func expect(_ holds: Bool, _ claim: @autoclosure () -> String) throws {
    guard holds else { throw ConformanceFailure(description: claim()) }
}

/// Fails the case unless two values are equal.
func expectEqual<Value: Equatable>(_ found: Value, _ wanted: Value, _ claim: @autoclosure () -> String) throws {
    guard found != wanted else { return }
    throw ConformanceFailure(description: "\(claim()): found \(found), not \(wanted)")
}

/// Fails the case unless `body` throws an error of ours with a code.
func expectError(
    _ code: StorageError.Code, _ claim: String, _ body: () async throws -> Void
) async throws {
    do {
        try await body()
    } catch let error as StorageError {
        return try expectEqual(error.code, code, "\(claim) (\(error.message))")
    } catch {
        throw ConformanceFailure(description: "\(claim): threw \(error), not \(code)")
    }
    throw ConformanceFailure(description: "\(claim): threw nothing, not \(code)")
}

/// Fails the case unless the application's own connection is refused by our fence.
func expectFenced(_ claim: String, _ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch {
        return try expect(
            "\(error)".contains("keyturn: "), "\(claim): threw \(error), which is not the fence's message")
    }
    throw ConformanceFailure(description: "\(claim): the fence let it pass")
}

/// A small generator with a seed, so that a failure can be run again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
