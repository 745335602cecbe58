package import KeyModel
internal import Storage

extension ControlSession {
    /// What the instance keeps about customers' keys; nil where nothing was begun, or where the schema is older.
    ///
    /// - Throws: ``StorageError``.
    package func byok() throws -> BYOKRecord? {
        guard try storage.controlTables().contains("byok") else { return nil }
        return try storage.query("SELECT external_id, allow_return, described_role FROM \(control: "byok")").first.map {
            BYOKRecord(
                externalID: try $0.text(0), allowsReturn: try $0.integer(1) != 0,
                describedRole: try $0.optional(2, SQLRow.text))
        }
    }

    /// Fixes the External ID, and whether there is a way back; what is fixed already stays.
    ///
    /// - Returns: What holds.
    /// - Throws: ``StorageError``.
    package func beginBYOK(externalID: String, allowsReturn: Bool = false) throws -> BYOKRecord {
        if let present = try byok() { return present }
        try storage.execute(
            """
            INSERT INTO \(control: "byok") (one, external_id, allow_return)
            VALUES (1, \(externalID), \(allowsReturn ? 1 : 0))
            """
        )
        return BYOKRecord(externalID: externalID, allowsReturn: allowsReturn)
    }

    /// Remembers which role was described.
    ///
    /// - Throws: ``StorageError``.
    package func recordDescribed(role: String) throws {
        try storage.execute("UPDATE \(control: "byok") SET described_role = \(role)")
    }

    /// Where every provider stands that was tested, by name.
    ///
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``KeyModelError``.
    package func byokProviders() throws -> [BYOKProviderRecord] {
        try storage.query(
            """
            SELECT provider, tested_settings, tested_at, is_passed, checks, saved_settings, saved_at, saved_by
            FROM \(control: "byok_providers") ORDER BY provider
            """
        ).map { row in
            BYOKProviderRecord(
                provider: try Name(try row.text(0)), testedSettings: try row.text(1), testedAt: try row.timestamp(2),
                isPassed: try row.integer(3) != 0, checks: try row.text(4),
                savedSettings: try row.optional(5, SQLRow.text), savedAt: try row.optional(6, SQLRow.timestamp),
                savedBy: try row.optional(7, SQLRow.text))
        }
    }

    /// Where a provider stands; nil where it was never tested.
    ///
    /// - Throws: As ``byokProviders()``.
    package func byokProvider(_ name: Name) throws -> BYOKProviderRecord? {
        try byokProviders().first { $0.provider == name }
    }

    /// Records where a provider stands.
    ///
    /// - Throws: ``StorageError``.
    package func record(_ provider: BYOKProviderRecord) throws {
        try storage.execute(
            "DELETE FROM \(control: "byok_providers") WHERE provider = \(provider.provider.description)")
        try storage.execute(
            """
            INSERT INTO \(control: "byok_providers") (provider, tested_settings, tested_at, is_passed, checks,
                saved_settings, saved_at, saved_by)
            VALUES (\(provider.provider.description), \(provider.testedSettings), \(provider.testedAt),
                    \(provider.isPassed ? 1 : 0), \(provider.checks), \(provider.savedSettings), \(provider.savedAt),
                    \(provider.savedBy))
            """
        )
    }

    /// The wraps that lay outside of customers' keys, oldest first.
    ///
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``KeyModelError``.
    package func exposures() throws -> [BYOKExposure] {
        try storage.query(
            """
            SELECT key_id, keyring, provider, provider_key_id, since FROM \(control: "byok_exposures")
            ORDER BY since, key_id
            """
        ).map { row in
            BYOKExposure(
                key: try row.keyID(0), keyring: try Name(try row.text(1)), provider: try Name(try row.text(2)),
                providerKeyID: try row.text(3), since: try row.timestamp(4))
        }
    }

    /// Records wraps that are about to be left behind; those that are recorded already stay as they are.
    ///
    /// - Throws: ``StorageError``.
    package func record(_ exposures: [BYOKExposure]) throws {
        for exposure in exposures {
            try storage.execute(
                """
                INSERT INTO \(control: "byok_exposures") (key_id, keyring, provider, provider_key_id, since)
                VALUES (\(exposure.key), \(exposure.keyring.description), \(exposure.provider.description),
                        \(exposure.providerKeyID), \(exposure.since))
                ON CONFLICT (key_id, provider, provider_key_id) DO NOTHING
                """
            )
        }
    }

    /// The keyrings that lie under a customer's key for good, with who holds it.
    ///
    /// - Throws: ``StorageError``, ``ControlStoreError`` or ``KeyModelError``.
    package func movedKeyrings() throws -> [Name: Name] {
        guard try storage.controlTables().contains("byok_keyrings") else { return [:] }
        let rows = try storage.query("SELECT keyring, provider FROM \(control: "byok_keyrings")")
        return Dictionary(
            try rows.map { (try Name(try $0.text(0)), try Name(try $0.text(1))) }, uniquingKeysWith: { $1 })
    }

    /// Records that a keyring lies under a customer's key from now on.
    ///
    /// - Throws: ``StorageError``.
    package func recordMoved(_ keyring: Name, to provider: Name, at time: Timestamp) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "byok_keyrings") (keyring, provider, moved_at)
            VALUES (\(keyring.description), \(provider.description), \(time))
            ON CONFLICT (keyring) DO UPDATE SET provider = excluded.provider, moved_at = excluded.moved_at
            """
        )
    }
}
