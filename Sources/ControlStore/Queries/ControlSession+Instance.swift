package import KeyModel
internal import Storage

extension ControlSession {
    /// The instance that the database belongs to; nil where there is none yet.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func instance() throws -> InstanceRecord? {
        guard try schemaVersion() > 0 else { return nil }
        let rows = try storage.query(
            "SELECT id, namespace, nonce, epoch, created_at, root_key_id, escrowed_at FROM \(control: "instance")"
        )
        return try rows.first.map { row in
            InstanceRecord(
                id: try row.text(0), namespace: try row.text(1), nonce: try row.text(2), epoch: try row.integer(3),
                createdAt: try row.timestamp(4), rootKeyID: try row.text(5),
                escrowedAt: try row.optional(6, SQLRow.timestamp)
            )
        }
    }

    /// Records the instance; fails where one is recorded.
    ///
    /// - Throws: ``StorageError``.
    package func insert(_ instance: InstanceRecord) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "instance") (one, id, namespace, nonce, epoch, created_at, root_key_id)
            VALUES (1, \(instance.id), \(instance.namespace), \(instance.nonce), \(instance.epoch),
                    \(instance.createdAt), \(instance.rootKeyID))
            """
        )
    }

    /// Raises the epoch and returns it.
    ///
    /// - Throws: ``StorageError``.
    package func raiseEpoch() throws -> Int64 {
        try storage.execute("UPDATE \(control: "instance") SET epoch = epoch + 1")
        guard let row = try storage.query("SELECT epoch FROM \(control: "instance")").first else {
            throw ControlStoreError(.storeSchemaState, "the database belongs to no instance")
        }
        return try row.integer(0)
    }

    /// Gives the database a new nonce and an epoch above every one that was seen.
    ///
    /// - Throws: ``StorageError``.
    package func restart(nonce: String, epoch: Int64) throws {
        try storage.execute("UPDATE \(control: "instance") SET nonce = \(nonce), epoch = \(epoch)")
    }

    /// Records when the root key was exported for safe-keeping; nil where the last copy is out of date.
    ///
    /// - Throws: ``StorageError``.
    package func recordEscrow(at time: Timestamp?) throws {
        try storage.execute("UPDATE \(control: "instance") SET escrowed_at = \(time)")
    }

    /// Records that a configuration holds from now on.
    ///
    /// - Throws: ``StorageError``.
    package func record(configuration: Configuration, at time: Timestamp, actor: String) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "configurations") (number, hash, file, loaded_at, actor)
            SELECT coalesce(max(number), 0) + 1, \(configuration.hash), \(configuration.file), \(time), \(actor)
            FROM \(control: "configurations")
            """
        )
    }

    /// The hash of the configuration that holds; nil where none was recorded.
    ///
    /// - Throws: ``StorageError``.
    package func configurationHash() throws -> String? {
        try storage.query("SELECT hash FROM \(control: "configurations") ORDER BY number DESC LIMIT 1").first?.text(0)
    }
}
