internal import ControlStore
internal import KeyModel
package import PluginKit
package import Storage

extension RotationEngine {
    /// Seals one value for a row of a column, under the active key.
    ///
    /// - Throws: ``RotationError`` with `keyNotActive`, `keySealsExhausted` or `callerRequestInvalid`; ``ControlStoreError``
    ///   with `storeSetBack`.
    package func seal(_ plaintext: Bytes, column path: ColumnPath, row: [String]) async throws -> StoredValue {
        try await requireCurrent()
        let (column, keyring, form) = try await cipher(for: path)
        let active = try keyring.requireActive()
        let limit = min(keyring.descriptor.sealLimit, keyring.record.keyring.policy.maxSeals ?? .max)
        let reserved = try await context.control.write { try $0.reserveSeals(1, of: active) }
        guard UInt64(clamping: reserved - 1) < limit else {
            throw RotationError(
                .keySealsExhausted, "key \(active) has sealed its limit of \(limit) values", hint: "Rotate the keyring."
            )
        }
        let item = PlainItem(
            plaintext, context: try await place(of: column, row: row),
            attributes: ValueAttributes(isText: form == .text).kept(by: keyring.descriptor),
            form: form
        )
        switch keyring.core.seal([item], with: active).first {
        case .success(let value)?: return value
        case .failure(let failure)?:
            throw RotationError(.callerRequestInvalid, "cannot seal the value: \(failure.rawValue)")
        case nil: throw RotationError(.callerRequestInvalid, "cannot seal the value")
        }
    }

    /// Opens one value of a row of a column, under whichever key sealed it.
    ///
    /// - Throws: ``RotationError`` with `dataNotAuthentic` or `dataMalformed`.
    package func open(_ value: Bytes, column path: ColumnPath, row: [String]) async throws -> OpenedValue {
        let (column, keyring, form) = try await cipher(for: path)
        let source = try await source(of: column)
        let isBound = column.declaration.context == .row || source?.column.declaration.context == .row
        let key = isBound ? try await rowKey(row, of: column) : RowKey([])
        return try open(StoredValue(value, as: form), of: column, keyring, source, key: key)
    }

    /// Opens the value that stands in a row of a column.
    ///
    /// - Returns: Nil where the row has no value.
    /// - Throws: ``RotationError`` with `callerNotFound` where there is no such row, `dataNotAuthentic` or `dataMalformed`.
    package func openStored(column path: ColumnPath, row: [String]) async throws -> OpenedValue? {
        do {
            return try await openWhatStands(in: path, row: row)
        } catch let error as RotationError where [.dataMalformed, .dataNotAuthentic].contains(error.code) {
            // A run may have gone on since the keys were fetched, and the value with it.
            return try await openWhatStands(in: path, row: row)
        }
    }

    private func openWhatStands(in path: ColumnPath, row: [String]) async throws -> OpenedValue? {
        let (column, keyring, _) = try await cipher(for: path)
        let key = try await rowKey(row, of: column)
        let source = try await source(of: column)
        let found = try await context.engine.read { try $0.readRows([key], of: column.target(readsBack: false)) }
        guard let stored = found.first else {
            throw RotationError(.callerNotFound, "\"\(path)\" has no row \(key)")
        }
        guard stored.value != .null else { return nil }
        return try open(stored.value, of: column, keyring, source, key: stored.key)
    }

    /// Opens a value as one of the column's core, or as one of the core that the column is being converted from.
    private func open(
        _ value: StoredValue, of column: ColumnRecord, _ keyring: OpenedKeyring,
        _ source: (column: ColumnRecord, keyring: OpenedKeyring)?, key: RowKey
    ) throws -> OpenedValue {
        do {
            return try open(value, keyring, place: column.context(namespace: instance.namespace, key: key))
        } catch let error as RotationError {
            guard error.code == .dataMalformed, let source else { throw error }
            return try open(
                value, source.keyring, place: source.column.context(namespace: instance.namespace, key: key))
        }
    }

    /// What a column is being converted from: the column as it was, and its keyring; nil while no run does that.
    private func source(of column: ColumnRecord) async throws -> (column: ColumnRecord, keyring: OpenedKeyring)? {
        guard let run = try await context.control.read({ try $0.openRun() }), run.kind == .convert,
            run.columnIDs.contains(column.id), run.keyring == column.declaration.keyring,
            let original = try Plan.decode(run.plan)?.conversion?.original(column)
        else { return nil }
        let record = try await context.control.read { try $0.keyring(original.declaration.keyring) }
        let keyring = try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: false)
        return (original, keyring.fitted(to: try await description(of: column)))
    }

    private func open(_ value: StoredValue, _ keyring: OpenedKeyring, place: ValueContext) throws -> OpenedValue {
        switch keyring.core.open([SealedItem(value, context: place)]).first {
        case .success(let opened)?: return opened
        case .failure(.malformed)?:
            throw RotationError(.dataMalformed, "the value is not of core \"\(keyring.descriptor.name)\"")
        case .failure(let failure)?:
            throw RotationError(
                .dataNotAuthentic, "cannot open the value: \(failure.rawValue)",
                hint: "It was changed, moved to another place, or sealed under a key that is not in the keyring."
            )
        case nil: throw RotationError(.dataMalformed, "cannot open the value")
        }
    }

    private func cipher(for path: ColumnPath) async throws -> (ColumnRecord, OpenedKeyring, ValueForm) {
        let column = try await self.column(path)
        let record = try await context.control.read { try $0.keyring(column.declaration.keyring) }
        let opened = try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: false)
        let description = try await description(of: column)
        return (column, opened.fitted(to: description), description?.kind == .blob ? .blob : .text)
    }

    private func place(of column: ColumnRecord, row: [String]) async throws -> ValueContext {
        guard column.declaration.context == .row else {
            return column.context(namespace: instance.namespace, key: RowKey([]))
        }
        return column.context(namespace: instance.namespace, key: try await rowKey(row, of: column))
    }

    /// Reads a row's key from texts, by the types of the key columns.
    private func rowKey(_ texts: [String], of column: ColumnRecord) async throws -> RowKey {
        let names = column.declaration.key
        guard texts.count == names.count else {
            throw RotationError(
                .callerRequestInvalid,
                "\"\(column.declaration.path)\" needs the key of its row: \(names.joined(separator: ", "))",
                hint: "Give --key once for each key column, in that order."
            )
        }
        let table = try await context.engine.read { try $0.describe(column.declaration.path.table) }
        return RowKey(
            try zip(texts, names).map { text, name in
                switch table?.column(name)?.kind {
                case .integer:
                    guard let number = Int64(text) else {
                        throw RotationError(
                            .callerRequestInvalid, "\(quoted(text)) is no whole number for key column \"\(name)\"")
                    }
                    return .integer(number)
                case .uuid: return .uuid(text.lowercased())
                case .blob:
                    guard let bytes = Self.bytes(hex: text) else {
                        throw RotationError(
                            .callerRequestInvalid, "\(quoted(text)) is not hexadecimal, for key column \"\(name)\"")
                    }
                    return .blob(bytes)
                default: return .text(Bytes(text.utf8))
                }
            }
        )
    }

    private static func bytes(hex text: String) -> Bytes? {
        let digits = Array(text.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: Bytes = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }
}
