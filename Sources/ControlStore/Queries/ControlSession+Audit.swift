internal import KeyModel
internal import Storage

extension ControlSession {
    /// Appends an entry to the audit log; writers of other processes and nodes wait for their turn.
    ///
    /// - Parameters:
    ///   - entry: The entry; its number, hash and signature are set here.
    ///   - seen: The newest entry that the node knows of; nil where that is not to be checked.
    ///   - sign: Signs the 32 bytes of the hash.
    /// - Returns: The new head.
    /// - Throws: ``ControlStoreError`` with `storeSetBack` where the log ends before `seen` or has another entry there, or
    ///   ``StorageError``.
    package func append(
        _ entry: AuditRecord, after seen: AuditHead?, sign: ([UInt8]) throws -> String
    ) throws -> AuditHead {
        try storage.execute(
            """
            INSERT INTO \(control: "audit_head") (one, number, hash) VALUES (1, 0, \(AuditHead.empty.hash))
            ON CONFLICT (one) DO NOTHING
            """)
        // Holds the row until the transaction ends.
        try storage.execute("UPDATE \(control: "audit_head") SET number = number + 1")
        guard let row = try storage.query("SELECT number, hash FROM \(control: "audit_head")").first else {
            throw ControlStoreError(.storeSchemaState, "the audit log has no head")
        }
        if let seen { try refuse(shorterThan: seen, last: try row.integer(0) - 1) }
        var placed = entry
        placed.number = try row.integer(0)
        let digest = placed.digest(after: try row.text(1))
        placed.hash = Self.hex(digest)
        placed.signature = try sign(digest)
        try insert(placed)
        if placed.kind == .intent {
            try storage.execute(
                "INSERT INTO \(control: "audit_open") (number, node) VALUES (\(placed.number), \(placed.node))")
        } else if let intent = placed.intent {
            try storage.execute("DELETE FROM \(control: "audit_open") WHERE number = \(intent)")
        }
        try storage.execute("UPDATE \(control: "audit_head") SET hash = \(placed.hash)")
        return AuditHead(number: placed.number, hash: placed.hash)
    }

    /// The head as the database has it.
    ///
    /// - Throws: ``StorageError``.
    package func auditHead() throws -> AuditHead {
        let rows = try storage.query("SELECT number, hash FROM \(control: "audit_head")")
        return try rows.first.map { AuditHead(number: try $0.integer(0), hash: try $0.text(1)) } ?? .empty
    }

    /// Entries after a number, oldest first, at most `limit`.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func audit(after number: Int64, limit: Int) throws -> [AuditRecord] {
        try storage.query(Self.auditColumns + " WHERE number > \(number) ORDER BY number LIMIT \(limit)").map(
            auditRecord)
    }

    /// The newest entries, newest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func newestAudit(limit: Int, before number: Int64 = .max) throws -> [AuditRecord] {
        try storage.query(Self.auditColumns + " WHERE number < \(number) ORDER BY number DESC LIMIT \(limit)")
            .map(auditRecord)
    }

    /// The intents of a node of which no outcome is recorded, oldest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func openIntents(of node: String) throws -> [AuditRecord] {
        try storage.query(
            Self.auditColumns + """
                 WHERE number IN (SELECT number FROM \(control: "audit_open") WHERE node = \(node))
                ORDER BY number LIMIT 1000
                """
        ).map(auditRecord)
    }

    /// Whether an outcome of an intent is recorded.
    ///
    /// - Throws: ``StorageError``.
    package func hasOutcome(of intent: Int64) throws -> Bool {
        try storage.query("SELECT 1 FROM \(control: "audit_open") WHERE number = \(intent)").isEmpty
    }

    /// Records what hooks and schedules of a configuration may call.
    ///
    /// - Throws: ``StorageError``.
    package func record(_ grant: GrantRecord) throws {
        let calls = try JSONText.encode(grant.calls)
        try storage.execute(
            """
            INSERT INTO \(control: "grants") (configuration_hash, calls, actor, at)
            VALUES (\(grant.configurationHash), \(calls), \(grant.actor), \(grant.at))
            ON CONFLICT (configuration_hash) DO UPDATE SET calls = excluded.calls, actor = excluded.actor, at = excluded.at
            """)
    }

    /// What hooks and schedules of a configuration may call; nil where nobody granted anything.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func grant(of configurationHash: String) throws -> GrantRecord? {
        let rows = try storage.query(
            "SELECT calls, actor, at FROM \(control: "grants") WHERE configuration_hash = \(configurationHash)")
        return try rows.first.map { row in
            GrantRecord(
                configurationHash: configurationHash, calls: try JSONText.decode(try row.text(0), of: "a grant"),
                actor: try row.text(1), at: try row.timestamp(2))
        }
    }

    private func refuse(shorterThan seen: AuditHead, last: Int64) throws {
        guard seen.number > 0 else { return }
        let rows = try storage.query("SELECT hash FROM \(control: "audit") WHERE number = \(seen.number)")
        let present = try rows.first?.text(0)
        guard last < seen.number || present != seen.hash else { return }
        let why =
            last < seen.number
            ? "it ends at entry \(last), this node has seen entry \(seen.number)"
            : "its entry \(seen.number) is not the one that this node has seen"
        throw ControlStoreError(
            .storeSetBack, "cannot go on with the audit log: \(why)",
            hint: "If the database was restored or failed over on purpose, run \"keyturn recover\"; "
                + "else somebody has cut the log: look at \"keyturn call audit.verify\".")
    }

    private func insert(_ entry: AuditRecord) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "audit") (number, kind, at, node, process, uid, user_name, peer_pid, way, call, arguments,
                intent, result, detail, hash, signer, signature)
            VALUES (\(entry.number), \(entry.kind.rawValue), \(entry.at), \(entry.node), \(entry.process), \(entry.uid),
                \(entry.user), \(entry.pid), \(entry.way), \(entry.call), \(entry.arguments), \(entry.intent),
                \(entry.result?.rawValue), \(entry.detail), \(entry.hash), \(entry.signer), \(entry.signature))
            """)
    }

    private static let auditColumns: SQL =
        """
        SELECT number, kind, at, node, process, uid, user_name, peer_pid, way, call, arguments, intent, result, detail,
            hash, signer, signature FROM \(control: "audit")
        """

    private func auditRecord(_ row: SQLRow) throws -> AuditRecord {
        let number = try row.integer(0)
        let result = try row.optional(12, SQLRow.text)
        guard let kind = AuditRecord.Kind(rawValue: try row.text(1)),
            result == nil || result.flatMap(AuditRecord.Result.init(rawValue:)) != nil
        else {
            throw ControlStoreError(
                .storeRecordDamaged, "cannot read entry \(number) of the audit log",
                hint: "Something other than Keyturn has written to it.")
        }
        var entry = AuditRecord(
            kind: kind, at: try row.text(2), node: try row.text(3), process: try row.text(4),
            uid: try row.optional(5, SQLRow.integer), user: try row.text(6), pid: try row.optional(7, SQLRow.integer),
            way: try row.text(8), call: try row.text(9), arguments: try row.text(10),
            intent: try row.optional(11, SQLRow.integer), result: result.flatMap(AuditRecord.Result.init(rawValue:)),
            detail: try row.optional(13, SQLRow.text), signer: try row.text(15))
        entry.number = number
        entry.hash = try row.text(14)
        entry.signature = try row.text(16)
        return entry
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
    }
}
