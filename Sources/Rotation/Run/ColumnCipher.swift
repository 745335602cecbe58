package import ControlStore
internal import KeyModel
package import PluginKit
package import Storage

/// Decides what becomes of each value of one column: kept, sealed anew, or quarantined.
///
/// It knows no database.
package struct ColumnCipher: Sendable {
    /// What becomes of one value.
    package enum Outcome: Sendable {
        /// It needs nothing.
        case keep
        /// It is to be replaced by this value, and with it the assignments are written: it was plaintext, and the column has some.
        case replace(StoredValue, setsAssignments: Bool)
        /// It must not be touched; the reason is a stable code.
        case quarantine(reason: String)
    }

    /// The column.
    package let column: ColumnRecord
    /// The column, ready to be read and written.
    package let target: ColumnTarget
    /// Which rows are read.
    package let scope: RowScope
    private let core: any EncryptionCore
    private let descriptor: CoreDescriptor
    private let active: KeyID
    private let plaintext: ColumnDeclaration.PlaintextPolicy
    private let place: Place
    private let source: Source?
    private let reappeared: ReappearedKeys?

    /// Where values of a column are bound to.
    private struct Place: Sendable {
        private let column: ValueContext
        private let isRowBound: Bool

        init(_ column: ColumnRecord, namespace: String) {
            isRowBound = column.declaration.context == .row
            self.column =
                switch column.declaration.context {
                case .none, .caller: .none
                case .column, .row: .column(namespace: namespace, name: column.logicalName)
                }
        }

        func of(_ row: StoredRow) -> ValueContext {
            isRowBound ? column.row(row.key.components.map(\.canonical)) : column
        }
    }

    /// What is to be sealed, and at which positions among the rows.
    private struct Plain {
        var items: [PlainItem] = []
        var indices: [Int] = []

        mutating func append(_ item: PlainItem, at index: Int) {
            items.append(item)
            indices.append(index)
        }
    }

    /// The core and the place that values are converted from.
    private struct Source: Sendable {
        let core: any EncryptionCore
        let place: Place
    }

    /// Prepares a column.
    ///
    /// - Parameters:
    ///   - column: The column.
    ///   - keyring: Its keyring; the active version seals.
    ///   - namespace: The instance's namespace.
    ///   - isAdopting: Whether plaintext is to be sealed, whatever the column's policy says.
    ///   - readsBack: Whether what was stored is compared before commit.
    ///   - source: The keyring that values are converted from; nil where nothing is converted.
    ///   - reappeared: Told of the older keys that open values; nil where nobody wants to know.
    /// - Throws: ``RotationError`` with `keyNotActive`.
    package init(
        column: ColumnRecord, keyring: OpenedKeyring, namespace: String, isAdopting: Bool, readsBack: Bool,
        from source: (OpenedKeyring, Conversion)? = nil, noting reappeared: ReappearedKeys? = nil
    ) throws {
        self.column = column
        self.reappeared = reappeared
        core = keyring.core
        descriptor = keyring.descriptor
        active = try keyring.requireActive()
        plaintext = isAdopting ? .seal : column.declaration.plaintext
        target = column.target(readsBack: readsBack)
        scope = target.scope(isAdopting: isAdopting)
        place = Place(column, namespace: namespace)
        self.source = try source.map { keyring, conversion in
            Source(core: keyring.core, place: Place(try conversion.original(column), namespace: namespace))
        }
    }

    /// Decides for rows, in their order.
    package func outcomes(of rows: [StoredRow]) -> [Outcome] {
        var outcomes = [Outcome](repeating: .keep, count: rows.count)
        var sealed: [Int] = []
        var foreign: [Int] = []
        var plain = Plain()
        for (index, row) in rows.enumerated() {
            switch core.inspect(row.value) {
            case .foreign where row.isMatching && isOfSource(row.value): foreign.append(index)
            case .null, .empty: break
            case .mine where !row.isMatching: break
            case .mine(.exact(active)): break
            case .mine: sealed.append(index)
            case .foreign: if row.isMatching { outcomes[index] = .quarantine(reason: "dataForeign") }
            // A row that was read again may have left the rows that the column's `where` picks.
            case .plaintext where !row.isMatching && scope == .matching: break
            case .plaintext: adopt(row, at: index, into: &plain, outcomes: &outcomes)
            }
        }
        open(sealed, of: rows, into: &plain, outcomes: &outcomes)
        convert(foreign, of: rows, into: &plain, outcomes: &outcomes)
        seal(plain, of: rows, outcomes: &outcomes)
        return outcomes
    }

    private func adopt(
        _ row: StoredRow, at index: Int, into plain: inout Plain, outcomes: inout [Outcome]
    ) {
        switch (plaintext, row.value.bytes, row.value.form) {
        case (.keep, _, _): break
        case (.seal, let bytes?, let form?):
            let attributes = ValueAttributes(isText: form == .text).kept(by: descriptor)
            plain.append(PlainItem(bytes, context: place.of(row), attributes: attributes, form: form), at: index)
        case (.seal, _, _): outcomes[index] = .quarantine(reason: "dataNotText")
        case (.refuse, _, _): outcomes[index] = .quarantine(reason: "dataPlaintext")
        }
    }

    private func open(
        _ sealed: [Int], of rows: [StoredRow], into plain: inout Plain,
        outcomes: inout [Outcome]
    ) {
        let items = sealed.map { SealedItem(rows[$0].value, context: place.of(rows[$0])) }
        for (position, result) in core.open(items).enumerated() {
            let index = sealed[position]
            switch result {
            case .success(let opened) where opened.key == active: break
            case .success(let opened):
                reappeared?.meet(opened.key)
                let item = PlainItem(
                    opened.plaintext, context: items[position].context, attributes: opened.attributes,
                    form: rows[index].value.form ?? .text, isDeterministic: opened.isDeterministic
                )
                plain.append(item, at: index)
            case .failure(let failure): outcomes[index] = .quarantine(reason: failure.rawValue)
            }
        }
    }

    /// Seals, opens again, and compares; a value that does not come back is never written.
    private func seal(_ plain: Plain, of rows: [StoredRow], outcomes: inout [Outcome]) {
        var written: [SealedItem] = []
        var positions: [Int] = []
        written.reserveCapacity(plain.items.count)
        positions.reserveCapacity(plain.items.count)
        for (position, result) in core.seal(plain.items, with: active).enumerated() {
            switch result {
            case .success(let value):
                written.append(SealedItem(value, context: plain.items[position].context))
                positions.append(position)
            case .failure(let failure): outcomes[plain.indices[position]] = .quarantine(reason: failure.rawValue)
            }
        }
        for (place, result) in core.open(written).enumerated() {
            let index = plain.indices[positions[place]]
            guard case .success(let opened) = result, opened.key == active,
                opened.isSame(as: plain.items[positions[place]])
            else {
                outcomes[index] = .quarantine(reason: "internalReadBackDiffers")
                continue
            }
            let setsAssignments = !target.assignments.isEmpty && core.inspect(rows[index].value) == .plaintext
            outcomes[index] = .replace(written[place].value, setsAssignments: setsAssignments)
        }
    }

    private func isOfSource(_ value: StoredValue) -> Bool {
        guard case .mine? = source?.core.inspect(value) else { return false }
        return true
    }

    /// Opens values of the core that is converted from; what the new core cannot keep of their attributes is dropped.
    private func convert(
        _ foreign: [Int], of rows: [StoredRow], into plain: inout Plain,
        outcomes: inout [Outcome]
    ) {
        guard let source, !foreign.isEmpty else { return }
        let items = foreign.map { SealedItem(rows[$0].value, context: source.place.of(rows[$0])) }
        for (index, result) in zip(foreign, source.core.open(items)) {
            switch result {
            case .success(let opened):
                reappeared?.meet(opened.key)
                plain.append(converted(opened, row: rows[index]), at: index)
            case .failure(let failure): outcomes[index] = .quarantine(reason: failure.rawValue)
            }
        }
    }

    private func converted(_ opened: OpenedValue, row: StoredRow) -> PlainItem {
        let form = row.value.form ?? .text
        let attributes = ValueAttributes(isText: form == .text, timestamp: opened.attributes.timestamp)
        return PlainItem(
            opened.plaintext, context: place.of(row), attributes: attributes.kept(by: descriptor), form: form
        )
    }
}

extension OpenedValue {
    /// Whether opening gave back all that was sealed; what was left to the core (a timestamp) may be anything.
    fileprivate func isSame(as item: PlainItem) -> Bool {
        plaintext == item.plaintext && isDeterministic == item.isDeterministic
            && (item.attributes.timestamp == nil || attributes.timestamp == item.attributes.timestamp)
            && (item.attributes.others.isEmpty || attributes.others == item.attributes.others)
    }
}
