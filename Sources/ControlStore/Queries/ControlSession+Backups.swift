internal import KeyModel
internal import Storage

extension ControlSession {
    /// Lists a backup in the catalogue and returns it with its number.
    ///
    /// - Throws: ``StorageError``.
    package func insertBackup(_ make: (Int64) throws -> BackupRecord) throws -> BackupRecord {
        let backup = try make(try nextBackupNumber())
        try storage.execute(
            """
            INSERT INTO \(control: "backups") (id, method, location, bytes, sha256, started_at, finished_at, run_id,
                stage, level, verified_at, expires_at, is_pinned, is_scanned, is_doomed, manifest)
            VALUES (\(backup.id), \(backup.method), \(backup.location), \(backup.bytes), \(backup.sha256),
                \(backup.startedAt), \(backup.finishedAt), \(backup.run), \(backup.stage.rawValue),
                \(backup.level.rawValue), \(backup.verifiedAt), \(backup.expiresAt), \(backup.isPinned),
                \(backup.isScanned), 0, \(backup.manifest))
            """
        )
        try insertKeys(of: backup)
        return backup
    }

    /// Draws a number that no backup has ever had, whether it is still listed or not.
    private func nextBackupNumber() throws -> Int64 {
        let listed = try storage.query("SELECT coalesce(max(id), 0) FROM \(control: "backups")").first?.integer(0)
        let drawn = try storage.query("SELECT last FROM \(control: "backup_numbers")").first?.integer(0)
        let next = max(listed ?? 0, drawn ?? 0) + 1
        if drawn == nil {
            try storage.execute("INSERT INTO \(control: "backup_numbers") (one, last) VALUES (1, \(next))")
        } else {
            try storage.execute("UPDATE \(control: "backup_numbers") SET last = \(next)")
        }
        return next
    }

    /// Writes back what a later verification found.
    ///
    /// - Throws: ``StorageError``.
    package func update(_ backup: BackupRecord) throws {
        try storage.execute(
            """
            UPDATE \(control: "backups") SET level = \(backup.level.rawValue), verified_at = \(backup.verifiedAt),
                is_pinned = \(backup.isPinned), is_scanned = \(backup.isScanned), manifest = \(backup.manifest)
            WHERE id = \(backup.id)
            """
        )
        try storage.execute("DELETE FROM \(control: "backup_keys") WHERE backup_id = \(backup.id)")
        try storage.execute("DELETE FROM \(control: "backup_wrappers") WHERE backup_id = \(backup.id)")
        try insertKeys(of: backup)
    }

    /// The backups, newest first; those that are being deleted only where they are asked for.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func backups(includingDoomed: Bool = false) throws -> [BackupRecord] {
        let rows = try storage.query(
            Self.backupColumns + " WHERE is_doomed <= \(includingDoomed) ORDER BY id DESC")
        let keys = try Dictionary(
            grouping: storage.query("SELECT backup_id, key_id, place FROM \(control: "backup_keys") ORDER BY key_id"),
            by: { try $0.integer(0) })
        let wrappers = try Dictionary(
            grouping: storage.query("SELECT backup_id, provider, provider_key_id FROM \(control: "backup_wrappers")"),
            by: { try $0.integer(0) })
        return try rows.map { row in
            let id = try row.integer(0)
            return try backupRecord(row, keys: keys[id] ?? [], wrappers: wrappers[id] ?? [])
        }
    }

    /// The backup of this number.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func backup(_ id: Int64) throws -> BackupRecord {
        guard let found = try backups().first(where: { $0.id == id }) else {
            throw ControlStoreError(
                .callerNotFound, "there is no backup \(id)", hint: "\"keyturn backup list\" lists them.")
        }
        return found
    }

    /// Whether a verified backup of a run and stage is listed, begun no earlier than the run, and its file is there.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func hasVerifiedBackup(of run: RunRecord, stage: BackupStage) throws -> Bool {
        try backups().contains {
            $0.run == run.id && $0.stage == stage && $0.level >= .checksums && $0.startedAt >= run.startedAt
                && $0.isPresent
        }
    }

    /// Takes a backup out of the catalogue before its files are deleted; its keys count as needed until ``forget(backup:)``.
    ///
    /// - Throws: ``StorageError``.
    package func doom(backup id: Int64) throws {
        try storage.execute("UPDATE \(control: "backups") SET is_doomed = 1 WHERE id = \(id)")
    }

    /// Forgets a backup whose files are gone.
    ///
    /// - Throws: ``StorageError``.
    package func forget(backup id: Int64) throws {
        try storage.execute("DELETE FROM \(control: "backup_keys") WHERE backup_id = \(id)")
        try storage.execute("DELETE FROM \(control: "backup_wrappers") WHERE backup_id = \(id)")
        try storage.execute("DELETE FROM \(control: "backups") WHERE id = \(id)")
    }

    /// Records a drill.
    ///
    /// - Throws: ``StorageError``.
    package func insert(_ drill: DrillRecord) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "drills") (number, at, backup_id, is_passed, took_ms, report, actor)
            SELECT coalesce(max(number), 0) + 1, \(drill.at), \(drill.backup), \(drill.isPassed),
                   \(drill.milliseconds), \(drill.report), \(drill.actor) FROM \(control: "drills")
            """
        )
    }

    /// The drills, newest first.
    ///
    /// - Throws: ``StorageError``.
    package func drills() throws -> [DrillRecord] {
        try storage.query(
            """
            SELECT at, backup_id, is_passed, took_ms, report, actor FROM \(control: "drills")
            ORDER BY number DESC LIMIT 1000
            """
        ).map { row in
            DrillRecord(
                at: try row.timestamp(0), backup: try row.integer(1), isPassed: try row.integer(2) != 0,
                milliseconds: try row.integer(3), report: try row.text(4), actor: try row.text(5))
        }
    }

    private func insertKeys(of backup: BackupRecord) throws {
        for (place, keys) in [("data", backup.dataKeys), ("keyring", backup.wrappedKeys)] {
            for key in Set(keys) {
                try storage.execute(
                    """
                    INSERT INTO \(control: "backup_keys") (backup_id, key_id, place)
                    VALUES (\(backup.id), \(key), \(place))
                    """
                )
            }
        }
        for wrapper in Set(backup.wrappers) {
            try storage.execute(
                """
                INSERT INTO \(control: "backup_wrappers") (backup_id, provider, provider_key_id)
                VALUES (\(backup.id), \(wrapper.provider), \(wrapper.key))
                """
            )
        }
    }

    private static let backupColumns: SQL =
        """
        SELECT id, method, location, bytes, sha256, started_at, finished_at, run_id, stage, level, verified_at,
            expires_at, is_pinned, is_scanned, manifest FROM \(control: "backups")
        """

    private func backupRecord(_ row: SQLRow, keys: [SQLRow], wrappers: [SQLRow]) throws -> BackupRecord {
        let id = try row.integer(0)
        guard let stage = BackupStage(rawValue: try row.text(8)),
            let level = BackupLevel(rawValue: Int(try row.integer(9)))
        else {
            throw ControlStoreError(.storeRecordDamaged, "cannot read the record of backup \(id)")
        }
        return BackupRecord(
            id: id, method: try row.text(1), location: try row.text(2), bytes: try row.integer(3),
            sha256: try row.text(4), startedAt: try row.timestamp(5), finishedAt: try row.timestamp(6),
            run: try row.optional(7, SQLRow.integer), stage: stage, level: level, verifiedAt: try row.timestamp(10),
            expiresAt: try row.optional(11, SQLRow.timestamp), isPinned: try row.integer(12) != 0,
            isScanned: try row.integer(13) != 0,
            dataKeys: try keys.filter { try $0.text(2) == "data" }.map { try $0.keyID(1) },
            wrappedKeys: try keys.filter { try $0.text(2) == "keyring" }.map { try $0.keyID(1) },
            wrappers: try wrappers.map { BackupRecord.Wrapper(provider: try $0.text(1), key: try $0.text(2)) },
            manifest: try row.text(14))
    }
}

extension ControlSession {
    /// The newest run that had a backup before it and still lacks the verified one after it; nil where none does.
    ///
    /// A run that was cancelled or failed before its key became active owes none.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func owesBackup() throws -> Int64? {
        let backups = try backups()
        guard let newest = backups.filter({ $0.stage == .before }).compactMap(\.run).max() else { return nil }
        guard let run = try runs().first(where: { $0.id == newest }) else { return nil }
        if run.state.isOpen { return run.phase > .activate ? run.id : nil }
        if run.phase <= .activate { return nil }
        let end = run.finishedAt ?? run.updatedAt
        let isCovered = backups.contains {
            $0.level >= .checksums && ($0.run == run.id && $0.stage == .after || $0.startedAt >= end)
        }
        return isCovered ? nil : run.id
    }
}
