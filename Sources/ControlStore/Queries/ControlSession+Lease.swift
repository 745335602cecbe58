package import KeyModel
internal import Storage

extension ControlSession {
    /// The lease on the engine; nil where nobody ever took it.
    ///
    /// - Throws: ``StorageError``.
    package func lease() throws -> Lease? {
        let rows = try storage.query(
            "SELECT holder, node, epoch, expires_at FROM \(control: "leases") WHERE name = 'engine'")
        return try rows.first.map { row in
            Lease(
                holder: try row.text(0), node: try row.text(1), epoch: try row.integer(2),
                expiresAt: try row.timestamp(3))
        }
    }

    /// Takes the lease, with an epoch above every earlier one.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld` while another node holds it.
    package func takeLease(holder: String, node: String, until expiry: Timestamp, now: Timestamp) throws -> Lease {
        try refuseLease(ofOthersThan: node, now: now)
        // Whoever held it may have been stopped in the midst of a batch, whose locks would keep everybody waiting.
        try storage.endAbandonedTransactions(idleFor: Self.abandonedAfter)
        let lease = Lease(holder: holder, node: node, epoch: try raiseEpoch(), expiresAt: expiry)
        try storage.execute(
            """
            INSERT INTO \(control: "leases") (name, holder, node, epoch, expires_at)
            VALUES ('engine', \(holder), \(node), \(lease.epoch), \(expiry))
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, node = excluded.node,
                epoch = excluded.epoch, expires_at = excluded.expires_at
            """
        )
        return lease
    }

    /// A transaction of ours that still works never stands idle so long.
    private static let abandonedAfter = Duration.seconds(5)

    /// Refuses to go on while another node holds the lease.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`.
    package func refuseLease(ofOthersThan node: String, now: Timestamp) throws {
        guard let present = try lease(), present.node != node, present.expiresAt > now else { return }
        throw ControlStoreError(
            .storeLeaseHeld, "cannot start: \(present.holder) works on this database, until \(present.expiresAt)",
            hint: "Wait for it, or stop it there; its lease ends by itself when it dies."
        )
    }

    /// Ends every lease, whoever holds it; his writes are refused from then on.
    ///
    /// - Throws: ``StorageError``.
    package func endLeases() throws { try storage.execute("DELETE FROM \(control: "leases")") }

    /// Makes sure, inside a writing transaction, that the lease is still ours.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseLost`, or `storeSetBack` where the database is older than what it
    ///   has told before: the server failed over to one that had not heard everything.
    package func checkLease(_ lease: Lease) throws {
        let rows = try storage.query(
            """
            SELECT epoch, (SELECT epoch FROM \(control: "instance")) FROM \(control: "leases") WHERE name = 'engine'
            \(storage.sharedRowLock)
            """
        )
        if let row = rows.first { try refuse(try row.integer(1), olderThan: lease) }
        guard try rows.first?.integer(0) == lease.epoch else { throw leaseLost }
    }

    /// The same, and what somebody wants of a run, in one way to the server and back.
    ///
    /// - Throws: As ``checkLease(_:)`` does.
    package func request(of run: Int64, under lease: Lease) throws -> RunRequest {
        let rows = try storage.query(
            """
            SELECT epoch, (SELECT epoch FROM \(control: "instance")),
                (SELECT request FROM \(control: "runs") WHERE id = \(run))
            FROM \(control: "leases") WHERE name = 'engine' \(storage.sharedRowLock)
            """
        )
        if let row = rows.first { try refuse(try row.integer(1), olderThan: lease) }
        guard let row = rows.first, try row.integer(0) == lease.epoch else { throw leaseLost }
        return try row.optional(2, SQLRow.text).flatMap(RunRequest.init) ?? .none
    }

    /// Prolongs the lease if it is still ours.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseLost`.
    package func renew(_ lease: Lease, until expiry: Timestamp) throws -> Lease {
        let changed = try storage.execute(
            "UPDATE \(control: "leases") SET expires_at = \(expiry) WHERE name = 'engine' AND epoch = \(lease.epoch)"
        )
        guard changed == 1 else {
            if let present = try instance() { try refuse(present.epoch, olderThan: lease) }
            throw leaseLost
        }
        return Lease(holder: lease.holder, node: lease.node, epoch: lease.epoch, expiresAt: expiry)
    }

    /// Gives the lease back if it is still ours.
    ///
    /// - Throws: ``StorageError``.
    package func release(_ lease: Lease, now: Timestamp) throws {
        try storage.execute(
            "UPDATE \(control: "leases") SET expires_at = \(now) WHERE name = 'engine' AND epoch = \(lease.epoch)"
        )
    }

    private func refuse(_ epoch: Int64, olderThan lease: Lease) throws {
        guard epoch < lease.leastEpoch else { return }
        throw ControlStoreError(
            .storeSetBack,
            "cannot go on: the database stands at epoch \(epoch), this node has seen \(lease.leastEpoch)",
            hint:
                "If it was restored or failed over on purpose, run \"keyturn recover\"; until then only opening works."
        )
    }

    private var leaseLost: ControlStoreError {
        ControlStoreError(
            .storeLeaseLost, "cannot go on: another process has taken over the work on this database",
            hint: "Look at \"keyturn status\" there; nothing was written here after the take-over."
        )
    }
}
