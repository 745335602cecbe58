package import KeyModel
package import PluginKit
internal import Storage

extension ControlSession {
    /// All keyrings, by name.
    ///
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``KeyModelError``.
    package func keyrings() throws -> [KeyringRecord] {
        let rows = try storage.query(
            """
            SELECT name, core, options, provider, consumers, max_age_ms, max_seals, keep_ms, backup, is_declared
            FROM \(control: "keyrings") ORDER BY name
            """
        )
        return try rows.map(keyringRecord)
    }

    /// The keyring of this name.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, whose hint names the nearest one.
    package func keyring(_ name: Name) throws -> KeyringRecord {
        let all = try keyrings()
        guard let found = all.first(where: { $0.keyring.name == name }) else {
            let known = all.map(\.keyring.name.description)
            throw ControlStoreError(
                .callerNotFound, "there is no keyring \(quoted(name.description))",
                hint: nearest(to: name.description, among: known).map { "Did you mean \"\($0)\"?" }
                    ?? (known.isEmpty
                        ? "Declare one in keyturn.lua." : "The keyrings are \(known.joined(separator: ", ")).")
            )
        }
        return found
    }

    /// Records a new version with its wrapped copy, both or neither.
    ///
    /// - Throws: ``StorageError``.
    package func insert(
        _ version: KeyVersion, of keyring: Name, wrap: WrapRecord, origin: KeyOrigin, actor: String, reason: String
    ) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "key_versions") (id, keyring, state, created_at, activated_at, deactivated_at, retired_at,
                origin, seals_reserved)
            VALUES (\(version.id), \(keyring.description), \(version.state.rawValue), \(version.createdAt),
                    \(version.activatedAt), \(version.deactivatedAt), \(version.retiredAt), \(origin.rawValue), 0)
            """
        )
        try insert(wrap)
        let move = KeyMove(
            key: version.id, from: nil, to: version.state, at: version.createdAt, actor: actor, reason: reason
        )
        try record(move)
    }

    /// Records a wrapped copy of a version.
    ///
    /// - Throws: ``StorageError``.
    package func insert(_ wrap: WrapRecord) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "wraps") (key_id, provider, provider_key_id, ciphertext, annotations, created_at)
            VALUES (\(wrap.key), \(wrap.provider.description), \(wrap.wrapped.providerKeyID), \(wrap.wrapped.ciphertext),
                    \(try JSONText.encode(wrap.wrapped.annotations)), \(wrap.createdAt))
            """
        )
    }

    /// Removes a wrapped copy of a version.
    ///
    /// - Throws: ``StorageError``.
    package func drop(_ wrap: WrapRecord) throws {
        try storage.execute(
            """
            DELETE FROM \(control: "wraps") WHERE key_id = \(wrap.key) AND provider = \(wrap.provider.description)
                AND provider_key_id = \(wrap.wrapped.providerKeyID)
            """
        )
    }

    /// The wrapped copies of a version, newest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func wraps(of key: KeyID) throws -> [WrapRecord] {
        let rows = try storage.query(
            """
            SELECT provider, provider_key_id, ciphertext, annotations, created_at FROM \(control: "wraps")
            WHERE key_id = \(key) ORDER BY created_at DESC
            """
        )
        return try rows.map { row in
            let annotations = try JSONText.decode(try row.text(3), as: [String: Bytes].self, of: "key \(key)")
            return WrapRecord(
                key: key, provider: try name(row.text(0)),
                wrapped: WrappedKey(
                    ciphertext: try row.blob(2), providerKeyID: try row.text(1), annotations: annotations
                ),
                createdAt: try row.timestamp(4)
            )
        }
    }

    /// Moves a version to another state and records who did it and why.
    ///
    /// - Throws: ``KeyModelError`` with `keyMoveIllegal`, or ``StorageError``.
    package func move(
        _ version: KeyVersion, to state: KeyState, at time: Timestamp, actor: String, reason: String
    ) throws {
        var moved = version
        try moved.move(to: state, at: time)
        try update(moved)
        try record(KeyMove(key: version.id, from: version.state, to: state, at: time, actor: actor, reason: reason))
    }

    /// Writes back a version's state and times.
    ///
    /// - Throws: ``StorageError``.
    package func update(_ version: KeyVersion) throws {
        try storage.execute(
            """
            UPDATE \(control: "key_versions") SET state = \(version.state.rawValue), activated_at = \(version.activatedAt),
                deactivated_at = \(version.deactivatedAt), retired_at = \(version.retiredAt) WHERE id = \(version.id)
            """
        )
    }

    /// Records of versions that were retired that values lie under them again.
    ///
    /// - Returns: Those of them that were retired, with what holds from now on.
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``KeyModelError``.
    package func noteReappeared(_ keys: Set<KeyID>, at time: Timestamp) throws -> [KeyVersion] {
        let retired = try keyrings().flatMap(\.keyring.versions).filter { version in
            keys.contains(version.id) && version.retiredAt != nil && version.state != .destroyed
        }
        return try retired.map { version in
            var moved = version
            moved.reappear(at: time)
            try update(moved)
            return moved
        }
    }

    /// Removes a version that never became active, with its wrapped copies.
    ///
    /// - Throws: ``StorageError``.
    package func discard(_ version: KeyVersion, at time: Timestamp, actor: String, reason: String) throws {
        try storage.execute("DELETE FROM \(control: "wraps") WHERE key_id = \(version.id)")
        try move(version, to: .destroyed, at: time, actor: actor, reason: reason)
    }

    /// Keeps a sealed canary of a version, by which anyone can later prove that its key is the right one.
    ///
    /// - Throws: ``StorageError``.
    package func setCanary(_ value: StoredValue, of key: KeyID) throws {
        try storage.execute(
            """
            UPDATE \(control: "key_versions") SET canary = \(value.bytes), canary_form = \(value.form?.rawValue)
            WHERE id = \(key)
            """
        )
    }

    /// The sealed canary of a version; nil where none was kept.
    ///
    /// - Throws: ``StorageError``.
    package func canary(of key: KeyID) throws -> StoredValue? {
        let rows = try storage.query("SELECT canary, canary_form FROM \(control: "key_versions") WHERE id = \(key)")
        guard let row = rows.first, !row.isNull(0), let form = ValueForm(rawValue: try row.text(1)) else { return nil }
        return StoredValue(try row.blob(0), as: form)
    }

    /// Reserves a block of seals ahead of their use and returns how many are reserved in all.
    ///
    /// - Throws: ``StorageError``.
    package func reserveSeals(_ count: Int64, of key: KeyID) throws -> Int64 {
        try storage.execute(
            "UPDATE \(control: "key_versions") SET seals_reserved = seals_reserved + \(count) WHERE id = \(key)"
        )
        return try sealsReserved(of: key)
    }

    /// How many seals are reserved under a version; never less than were made.
    ///
    /// - Throws: ``StorageError``.
    package func sealsReserved(of key: KeyID) throws -> Int64 {
        try storage.query("SELECT seals_reserved FROM \(control: "key_versions") WHERE id = \(key)").first?.integer(0)
            ?? 0
    }

    /// Records that a version has wrapped something for others, where no run can count it.
    ///
    /// - Throws: ``StorageError``.
    package func recordServed(_ key: KeyID, at time: Timestamp) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "served_keys") (key_id, since) VALUES (\(key), \(time))
            ON CONFLICT (key_id) DO NOTHING
            """
        )
    }

    /// The versions that have wrapped something for others.
    ///
    /// - Throws: ``StorageError``.
    package func servedKeys() throws -> Set<KeyID> {
        Set(try storage.query("SELECT key_id FROM \(control: "served_keys")").map { try $0.keyID(0) })
    }

    /// Where a version's material came from.
    ///
    /// - Throws: ``StorageError``.
    package func origin(of key: KeyID) throws -> KeyOrigin? {
        try storage.query("SELECT origin FROM \(control: "key_versions") WHERE id = \(key)").first
            .flatMap { KeyOrigin(rawValue: try $0.text(0)) }
    }

    /// Every key id that was ever given out here.
    ///
    /// - Throws: ``StorageError``.
    package func keyIDs() throws -> Set<KeyID> {
        Set(try storage.query("SELECT id FROM \(control: "key_versions")").map { try $0.keyID(0) })
    }

    /// The moves of a version, oldest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func moves(of key: KeyID) throws -> [KeyMove] {
        let rows = try storage.query(
            """
            SELECT from_state, to_state, at, actor, reason FROM \(control: "key_moves")
            WHERE key_id = \(key) ORDER BY number
            """
        )
        return try rows.map { row in
            KeyMove(
                key: key, from: try row.optional(0, SQLRow.text).flatMap(KeyState.init(rawValue:)),
                to: try state(row.text(1)), at: try row.timestamp(2), actor: try row.text(3), reason: try row.text(4)
            )
        }
    }

    private func record(_ move: KeyMove) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "key_moves") (number, key_id, from_state, to_state, at, actor, reason)
            SELECT coalesce(max(number), 0) + 1, \(move.key), \(move.from?.rawValue), \(move.to.rawValue), \(move.at),
                   \(move.actor), \(move.reason) FROM \(control: "key_moves")
            """
        )
    }

    private func keyringRecord(_ row: SQLRow) throws -> KeyringRecord {
        let name = try name(row.text(0))
        let policy = KeyringPolicy(
            maxAge: try row.optional(5, SQLRow.integer).map(Duration.milliseconds),
            maxSeals: try row.optional(6, SQLRow.integer).map(UInt64.init(clamping:)),
            keep: try row.optional(7, SQLRow.integer).map(Duration.milliseconds),
            backup: KeyringPolicy.Backup(rawValue: try row.text(8)) ?? .required
        )
        let consumers = try JSONText.decode(try row.text(4), as: [String].self, of: "keyring \"\(name)\"")
        return KeyringRecord(
            keyring: try Keyring(name: name, core: try row.text(1), policy: policy, versions: try versions(of: name)),
            options: try JSONText.decode(try row.text(2), as: CoreOptions.self, of: "keyring \"\(name)\""),
            provider: try self.name(row.text(3)), consumers: try consumers.map(self.name),
            isDeclared: try row.integer(9) != 0
        )
    }

    private func versions(of keyring: Name) throws -> [KeyVersion] {
        let rows = try storage.query(
            """
            SELECT id, state, created_at, activated_at, deactivated_at, retired_at FROM \(control: "key_versions")
            WHERE keyring = \(keyring.description)
            """
        )
        return try rows.map { row in
            KeyVersion(
                id: try row.keyID(0), state: try state(row.text(1)), createdAt: try row.timestamp(2),
                activatedAt: try row.optional(3, SQLRow.timestamp),
                deactivatedAt: try row.optional(4, SQLRow.timestamp),
                retiredAt: try row.optional(5, SQLRow.timestamp)
            )
        }
    }

    private func state(_ text: String) throws -> KeyState {
        guard let state = KeyState(rawValue: text) else { throw damaged("a key version has the state \(quoted(text))") }
        return state
    }

    private func name(_ text: String) throws -> Name {
        do { return try Name(text) } catch { throw damaged("\(quoted(text)) is no name") }
    }

    private func damaged(_ what: String) -> ControlStoreError {
        ControlStoreError(
            .storeRecordDamaged, "cannot read a record of the control schema: \(what)",
            hint: "Something other than Keyturn has written to its tables; restore them from a backup."
        )
    }
}
