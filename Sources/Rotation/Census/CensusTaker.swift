package import ControlStore
package import KeyModel
internal import PluginKit
package import Storage

/// Counts what stands in a column by opening every value: first with the active key alone, then with the others.
package struct CensusTaker: Sendable {
    private let column: ColumnRecord
    private let keyring: OpenedKeyring
    private let namespace: String
    private let source: (core: any EncryptionCore, column: ColumnRecord)?

    /// Prepares to count a column; values of `source` count as left, as long as a conversion from it is open.
    ///
    /// - Throws: ``KeyModelError`` where the conversion's record is damaged.
    package init(
        column: ColumnRecord, keyring: OpenedKeyring, namespace: String, from source: (OpenedKeyring, Conversion)? = nil
    ) throws {
        self.column = column
        self.keyring = keyring
        self.namespace = namespace
        self.source = try source.map { ($0.core, try $1.original(column)) }
    }

    /// A window counted, and where it ended.
    package struct Step: Sendable {
        /// The last row's key; nil where there was no row.
        package let cursor: RowKey?
        /// Whether the end was reached.
        package let isLast: Bool
        /// The rows within `where` that no run puts right by itself, with the stable code of why.
        package var doubtful: [(key: RowKey, reason: String)] = []
        /// The values that no key here opens, whatever `where` picks.
        package var unopened: [Unopened] = []
    }

    /// A value that no key here opens.
    package struct Unopened: Hashable, Sendable {
        /// What tells it from any other, in hexadecimal: SHA-256 over the column's number, the row's key and the bytes.
        package let digest: String
        /// The key that it names; nil where it names none.
        package let key: KeyID?
    }

    /// Counts the next window after a row.
    ///
    /// - Throws: ``StorageError``.
    package func count(after cursor: RowKey?, on engine: any StorageEngine, into census: inout ColumnCensus)
        async throws -> Step
    {
        let request = WindowRequest(
            target: column.target(readsBack: false), scope: .all, after: cursor, rowLimit: engine.tuning.windowRows,
            skipsNull: false
        )
        let window = try await engine.read { try $0.readWindow(request) }
        let verdicts = await parallelMap(window.rows) { judge($0) }
        for (row, verdict) in zip(window.rows, verdicts) { tally(row, verdict, into: &census) }
        let doubtful = zip(window.rows, verdicts).compactMap { row, verdict in
            reason(of: row, verdict).map { (key: row.key, reason: $0) }
        }
        let unopened = zip(window.rows, verdicts).compactMap { self.unopened($0, $1) }
        return Step(
            cursor: window.rows.last?.key ?? cursor, isLast: window.isLast, doubtful: doubtful, unopened: unopened)
    }

    private func unopened(_ row: StoredRow, _ verdict: Verdict) -> Unopened? {
        switch verdict {
        case .foreign, .unopenable: break
        case .null, .empty, .active, .plaintext, .old: return nil
        }
        let place = Array("\(column.id) ".utf8) + row.key.encoded
        let digest = ContentHash.sha256(place + (row.value.bytes ?? Bytes()))
        guard case .mine(.exact(let key)) = keyring.core.inspect(row.value) else {
            return Unopened(digest: digest, key: nil)
        }
        return Unopened(digest: digest, key: key)
    }

    private enum Verdict: Sendable {
        case null, empty, active, plaintext
        case old(KeyID)
        case foreign
        case unopenable(String)
    }

    private func judge(_ rows: [StoredRow]) -> [Verdict] {
        var verdicts = [Verdict](repeating: .null, count: rows.count)
        var sealed: [Int] = []
        for (index, row) in rows.enumerated() {
            switch keyring.core.inspect(row.value) {
            case .null: break
            case .empty: verdicts[index] = .empty
            case .plaintext: verdicts[index] = .plaintext
            case .foreign: verdicts[index] = judgeForeign(row)
            case .mine: sealed.append(index)
            }
        }
        let items = sealed.map { SealedItem(rows[$0].value, context: context(of: rows[$0])) }
        let isActive = openWithActive(items)
        let rest = sealed.indices.filter { !isActive[$0] }
        for (position, isOpen) in isActive.enumerated() where isOpen { verdicts[sealed[position]] = .active }
        for (result, position) in zip(keyring.core.open(rest.map { items[$0] }), rest) {
            verdicts[sealed[position]] =
                switch result {
                case .success(let opened): .old(opened.key)
                case .failure(let failure): .unopenable(failure.rawValue)
                }
        }
        return verdicts
    }

    /// A value of another core is left over if the core that is converted from opens it.
    private func judgeForeign(_ row: StoredRow) -> Verdict {
        guard let source, case .mine = source.core.inspect(row.value) else { return .foreign }
        let item = SealedItem(row.value, context: source.column.context(namespace: namespace, key: row.key))
        switch source.core.open([item]).first {
        case .success(let opened)?: return .old(opened.key)
        case .failure(let failure)?: return .unopenable(failure.rawValue)
        case nil: return .foreign
        }
    }

    private func openWithActive(_ items: [SealedItem]) -> [Bool] {
        guard let core = keyring.activeCore else { return items.map { _ in false } }
        return core.open(items).map { result in
            if case .success = result { true } else { false }
        }
    }

    private func reason(of row: StoredRow, _ verdict: Verdict) -> String? {
        guard row.isMatching else { return nil }
        switch verdict {
        case .null, .empty, .active, .old: return nil
        case .plaintext where column.declaration.plaintext == .keep: return nil
        case .plaintext: return row.value.form == nil ? "dataNotText" : "dataPlaintext"
        case .foreign: return "dataForeign"
        case .unopenable(let reason): return reason
        }
    }

    private func tally(_ row: StoredRow, _ verdict: Verdict, into census: inout ColumnCensus) {
        census.rows += 1
        switch verdict {
        case .null: census.null += 1
        case .empty: census.empty += 1
        default: row.isMatching ? tallyInside(row, verdict, into: &census) : tallyOutside(row, verdict, into: &census)
        }
        if !row.isMatching { census.outside.rows += 1 }
    }

    private func tallyInside(_ row: StoredRow, _ verdict: Verdict, into census: inout ColumnCensus) {
        switch verdict {
        case .null, .empty: break
        case .active: census.active += 1
        case .old(let key):
            census.old[key.description, default: 0] += 1
            census.note(row.key.description, "sealed under key \(key)")
        case .plaintext:
            guard column.declaration.plaintext != .keep else { return }
            census.plaintext += 1
            census.note(row.key.description, "not sealed")
        case .foreign:
            census.unopenable += 1
            census.note(row.key.description, "sealed in another format")
        case .unopenable(let reason):
            census.unopenable += 1
            census.note(row.key.description, "does not open: \(reason)")
        }
    }

    private func tallyOutside(_ row: StoredRow, _ verdict: Verdict, into census: inout ColumnCensus) {
        switch verdict {
        case .null, .empty: break
        case .active: census.outside.active += 1
        case .old(let key):
            census.outside.old += 1
            census.outside.oldKeys = (census.outside.oldKeys ?? [:]).merging([key.description: 1]) { $0 + $1 }
            census.note(row.key.description, "sealed under key \(key), but outside of \"where\", so it stays as it is")
        case .plaintext: census.outside.plaintext += 1
        case .foreign, .unopenable: census.outside.foreign += 1
        }
    }

    private func context(of row: StoredRow) -> ValueContext { column.context(namespace: namespace, key: row.key) }
}
