internal import ControlStore
package import KeyModel
internal import PluginKit
internal import Storage

/// Ciphertext in columns that the configuration does not declare: no run rewrites it and no census counts it.
package struct Discovery: Hashable, Codable, Sendable {
    /// What was found in one column.
    package struct Finding: Hashable, Codable, Sendable {
        /// The column.
        package let column: String
        /// Values that look sealed, by what they look like.
        package internal(set) var shapes: [String: Int64] = [:]
        /// Those of them that a key of ours sealed, by key id.
        package internal(set) var keys: [String: Int64] = [:]
        /// The first such row.
        package let firstRow: String
        /// Whether the whole column was looked at.
        package internal(set) var isWhole = false
    }

    /// The columns with a finding, by table and column.
    package internal(set) var findings: [Finding] = []
    /// Columns that were looked at in part only, since they hold more than is read of one.
    package internal(set) var partlyRead: [String] = []
    /// Tables that were left out, since they have no key that can be walked or may not be read.
    package internal(set) var unreadable: [String] = []

    /// Whether a key of ours sealed values that nobody declared.
    package var holdsOurs: Bool { findings.contains { !$0.keys.isEmpty } }
}

/// Looks through every text and binary column that is not declared; reads windows, so that memory stays bounded.
struct UndeclaredScan: Sendable {
    let control: ControlStore
    let rings: [OpenedKeyring]
    /// The most bytes of values that are read of one column.
    let byteBudget: Int

    /// A gibibyte a column: minutes at the most, and all of any but the largest tables.
    static let usualBudget = 1 << 30

    /// Looks through the database.
    ///
    /// - Returns: What was found; nil when it was interrupted.
    func run(interrupt: Interrupt) async throws -> Discovery? {
        let declared = try await control.read { try $0.columns() }.filter(\.isDeclared).map(\.declaration.path)
        let tables = try await control.engine.read { session in
            try session.tables().compactMap { try session.describe($0) }
        }
        var discovery = Discovery()
        for table in tables {
            let key = table.primaryKey.isEmpty ? table.uniqueKeys.first ?? [] : table.primaryKey
            guard !key.isEmpty else {
                discovery.unreadable.append(table.name.description)
                continue
            }
            do {
                for column in table.columns where mayHoldCiphertext(column, of: table, declared) {
                    let target = ColumnTarget(path: ColumnPath(table: table.name, column: column.name), key: key)
                    guard try await look(through: target, column, interrupt, into: &discovery) else { return nil }
                }
            } catch let error as StorageError where !error.isTransient {
                // A key of a type that cannot be walked, or a table that may not be read: said, not fatal.
                discovery.unreadable.append(table.name.description)
            }
        }
        return discovery
    }

    private func mayHoldCiphertext(
        _ column: ColumnDescription, of table: TableDescription, _ declared: [ColumnPath]
    ) -> Bool {
        let mayHoldBytes = column.kind == .text || column.kind == .blob || column.kind == .other
        let isRowNumber = column.kind == .integer && table.primaryKey == [column.name]
        // Where types bind nothing, ciphertext stands under any of them.
        guard mayHoldBytes || !control.engine.bindsTypes && !isRowNumber else { return false }
        return !declared.contains { path in
            path.column.lowercased() == column.name.lowercased()
                && path.table.name.lowercased() == table.name.name.lowercased()
                && (path.table.schema == nil || table.name.schema == nil || path.table.schema == table.name.schema)
        }
    }

    private func look(
        through target: ColumnTarget, _ column: ColumnDescription, _ interrupt: Interrupt,
        into discovery: inout Discovery
    ) async throws -> Bool {
        let embedded = EmbeddedValues(of: rings)
        var finding: Discovery.Finding?
        var cursor: RowKey?
        var bytes = 0
        var isLast = false
        while !isLast, bytes < byteBudget {
            if interrupt.isSet { return false }
            let request = WindowRequest(
                target: target, scope: .all, after: cursor, rowLimit: control.engine.tuning.windowRows
            )
            let window = try await persistent { try await control.engine.read { try $0.readWindow(request) } }
            for row in window.rows {
                let value = column.holdsDocuments ? row.value.documentContent : row.value
                note(value, of: row.key, target, embedded, in: &finding)
            }
            bytes += window.rows.reduce(0) { $0 + ($1.value.bytes?.count ?? 0) }
            cursor = window.rows.last?.key ?? cursor
            isLast = window.isLast
        }
        if !isLast { discovery.partlyRead.append(target.path.description) }
        if var finding {
            finding.isWhole = isLast
            discovery.findings.append(finding)
        }
        return true
    }

    private func note(
        _ value: StoredValue, of key: RowKey, _ target: ColumnTarget, _ embedded: EmbeddedValues,
        in finding: inout Discovery.Finding?
    ) {
        var known =
            finding ?? Discovery.Finding(column: target.path.description, firstRow: key.description)
        if let shape = SealedShape.recognised(in: value) {
            known.shapes[shape.rawValue, default: 0] += 1
            if let key = sealer(of: value) { known.keys[key.description, default: 0] += 1 }
        } else {
            let inside = embedded.keys(in: value.bytes ?? [])
            guard !inside.isEmpty else { return }
            for (shape, key) in inside {
                known.shapes["\(shape.rawValue) inside of other text", default: 0] += 1
                known.keys[key.description, default: 0] += 1
            }
        }
        finding = known
    }

    /// The key of ours that sealed a value: the one that it names, or the one that opens it.
    private func sealer(of value: StoredValue) -> KeyID? {
        for ring in rings {
            switch ring.core.inspect(value) {
            case .mine(.exact(let key)) where ring.record.keyring[key] != nil: return key
            case .mine(.candidates), .mine(.none):
                let opened = ring.core.open([SealedItem(value, context: .none)]).first
                if case .success(let opened)? = opened { return opened.key }
            default: continue
            }
        }
        return nil
    }
}

extension RotationEngine {
    /// Looks for ciphertext that nobody declared; changes nothing and needs no lease.
    ///
    /// - Parameters:
    ///   - keyring: The keyring whose keys are tried; nil for all.
    ///   - interrupt: Raised to stop; what was found so far is thrown away.
    /// - Returns: What was found; nil when it was interrupted.
    /// - Throws: ``RotationError`` with `keyNotUnwrapped`, or ``StorageError``.
    package func discover(keysOf keyring: Name?, interrupt: Interrupt = Interrupt()) async throws -> Discovery? {
        let records = try await context.control.read { session in
            try keyring.map { [try session.keyring($0)] } ?? session.keyrings()
        }
        var rings: [OpenedKeyring] = []
        for record in records {
            rings.append(
                try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true))
        }
        let scan = UndeclaredScan(control: context.control, rings: rings, byteBudget: UndeclaredScan.usualBudget)
        return try await scan.run(interrupt: interrupt)
    }
}
