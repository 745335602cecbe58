internal import KeyModel
internal import Storage

extension ControlSession {
    /// Records a destruction and returns it with its number.
    ///
    /// - Throws: ``StorageError``.
    package func insertDestruction(_ make: (Int64) throws -> DestructionRecord) throws -> DestructionRecord {
        let next = try storage.query("SELECT coalesce(max(id), 0) + 1 FROM \(control: "destructions")").first?
            .integer(0)
        let record = try make(next ?? 1)
        try storage.execute(
            """
            INSERT INTO \(control: "destructions") (id, keyring, keys, state, requested_at, requested_by, reason, due_at,
                approved_by, finished_at, report)
            VALUES (\(record.id), \(record.keyring.description),
                \(try JSONText.encode(record.keys.map(\.description))), \(record.state.rawValue),
                \(record.requestedAt), \(record.requestedBy), \(record.reason), \(record.dueAt),
                \(record.approvedBy), \(record.finishedAt), \(record.report))
            """
        )
        return record
    }

    /// Writes back where a destruction stands.
    ///
    /// - Throws: ``StorageError``.
    package func update(_ record: DestructionRecord) throws {
        try storage.execute(
            """
            UPDATE \(control: "destructions") SET state = \(record.state.rawValue), approved_by = \(record.approvedBy),
                finished_at = \(record.finishedAt), report = \(record.report) WHERE id = \(record.id)
            """
        )
    }

    /// The destructions, newest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func destructions() throws -> [DestructionRecord] {
        try storage.query(
            """
            SELECT id, keyring, keys, state, requested_at, requested_by, reason, due_at, approved_by, finished_at, report
            FROM \(control: "destructions") ORDER BY id DESC LIMIT 1000
            """
        ).map { row in
            let id = try row.integer(0)
            let keys = try JSONText.decode(try row.text(2), as: [String].self, of: "destruction \(id)")
            guard let state = DestructionState(rawValue: try row.text(3)) else {
                throw ControlStoreError(.storeRecordDamaged, "cannot read the record of destruction \(id)")
            }
            return DestructionRecord(
                id: id, keyring: try Name(row.text(1)), keys: keys.compactMap { KeyID(hex: $0) }, state: state,
                requestedAt: try row.timestamp(4), requestedBy: try row.text(5), reason: try row.text(6),
                dueAt: try row.timestamp(7), approvedBy: try row.optional(8, SQLRow.text),
                finishedAt: try row.optional(9, SQLRow.timestamp), report: try row.text(10))
        }
    }

    /// The destruction of this number.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func destruction(_ id: Int64) throws -> DestructionRecord {
        guard let found = try destructions().first(where: { $0.id == id }) else {
            throw ControlStoreError(
                .callerNotFound, "there is no destruction \(id)",
                hint: "\"keyturn keyring destructions\" lists them.")
        }
        return found
    }
}
