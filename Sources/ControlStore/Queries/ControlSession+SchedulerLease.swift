package import KeyModel
internal import Storage

extension ControlSession {
    /// The database's own clock, read now.
    ///
    /// - Throws: ``StorageError``.
    package func currentTime() throws -> Timestamp { try storage.currentTime() }

    /// The scheduler's lease; nil where nobody ever took it.
    ///
    /// - Throws: ``StorageError``.
    package func schedulerLease() throws -> Lease? { try schedulerLease(locking: "") }

    /// Takes the scheduler's lease if it is free, has ended by the database's clock, or was this node's own.
    ///
    /// - Returns: The lease, with an epoch above every earlier one; nil while another node holds it.
    /// - Throws: ``StorageError``.
    package func takeSchedulerLease(holder: String, node: String, for length: Duration) throws -> Lease? {
        try storage.limitIdleTime(Self.mostIdleTime)
        try storage.execute(
            """
            INSERT INTO \(control: "leases") (name, holder, node, epoch, expires_at)
            VALUES ('scheduler', '', '', 0, '1970-01-01T00:00:00.000Z') ON CONFLICT (name) DO NOTHING
            """
        )
        let present = try schedulerLease(locking: storage.exclusiveRowLock)
        // Read after the row was locked, since waiting for it takes time.
        let now = try storage.currentTime()
        if let present, present.node != node, present.expiresAt > now { return nil }
        let lease = Lease(
            holder: holder, node: node, epoch: try raiseEpoch(), expiresAt: now.advanced(by: length))
        try storage.execute(
            """
            UPDATE \(control: "leases") SET holder = \(holder), node = \(node), epoch = \(lease.epoch),
                expires_at = \(lease.expiresAt) WHERE name = 'scheduler'
            """
        )
        return lease
    }

    /// Prolongs the scheduler's lease by the database's clock, if it is still ours.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseLost`.
    package func renewSchedulerLease(_ lease: Lease, for length: Duration) throws -> Lease {
        try storage.limitIdleTime(Self.mostIdleTime)
        let expiry = try storage.currentTime().advanced(by: length)
        let changed = try storage.execute(
            "UPDATE \(control: "leases") SET expires_at = \(expiry) WHERE name = 'scheduler' AND epoch = \(lease.epoch)"
        )
        guard changed == 1 else { throw schedulerLeaseLost }
        return Lease(holder: lease.holder, node: lease.node, epoch: lease.epoch, expiresAt: expiry)
    }

    /// Makes sure, inside a writing transaction, that the scheduler's lease still has an epoch.
    ///
    /// Nobody can take or renew it before the transaction ends, so transactions of the holder come one after the other; one
    /// that stands still for seconds is ended by the server.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseLost`.
    package func checkSchedulerLease(epoch: Int64) throws {
        try storage.limitIdleTime(Self.mostIdleTime)
        guard try schedulerLease(locking: storage.exclusiveRowLock)?.epoch == epoch else { throw schedulerLeaseLost }
    }

    /// Gives the scheduler's lease back if it is still ours.
    ///
    /// - Throws: ``StorageError``.
    package func releaseSchedulerLease(_ lease: Lease) throws {
        let now = try storage.currentTime()
        try storage.execute(
            "UPDATE \(control: "leases") SET expires_at = \(now) WHERE name = 'scheduler' AND epoch = \(lease.epoch)"
        )
    }

    /// A transaction of ours takes milliseconds; one that stands longer belongs to a process that was stopped.
    private static let mostIdleTime = Duration.seconds(3)

    private func schedulerLease(locking lock: SQL) throws -> Lease? {
        let rows = try storage.query(
            """
            SELECT holder, node, epoch, expires_at FROM \(control: "leases") WHERE name = 'scheduler' \(lock)
            """
        )
        return try rows.first.map { row in
            Lease(
                holder: try row.text(0), node: try row.text(1), epoch: try row.integer(2),
                expiresAt: try row.timestamp(3))
        }
    }

    private var schedulerLeaseLost: ControlStoreError {
        ControlStoreError(
            .storeLeaseLost, "cannot go on: another process has taken over the schedules of this database",
            hint: "Look at \"keyturn status\" there; nothing was written here after the take-over."
        )
    }
}
