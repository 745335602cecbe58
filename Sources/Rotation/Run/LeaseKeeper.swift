package import ControlStore
internal import KeyModel

/// Holds the lease for as long as a run is driven, and prolongs it in time.
package actor LeaseKeeper {
    private let context: RotationContext
    private var lease: Lease

    /// How long a lease lasts without being renewed.
    package static let length = Duration.seconds(15)

    /// Takes the lease and tells the node's journal of the new epoch.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`.
    package init(taking context: RotationContext) async throws {
        self.context = context
        let node = await context.memory.entry.node
        let now = context.now()
        lease = try await context.control.write { session in
            try session.takeLease(holder: context.holder, node: node, until: now.advanced(by: Self.length), now: now)
        }
        try await context.memory.remember(epoch: lease.epoch)
    }

    /// The lease, renewed if a third of it has passed.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseLost`.
    package func current() async throws -> Lease {
        let now = context.now()
        lease.leastEpoch = max(lease.epoch, await context.memory.entry.epoch)
        guard lease.expiresAt.since(now) < Self.length / 3 * 2 else { return lease }
        let held = lease
        lease = try await context.control.write { try $0.renew(held, until: now.advanced(by: Self.length)) }
        return lease
    }

    /// Gives the lease back.
    ///
    /// - Throws: ``StorageError``.
    package func release() async throws {
        let held = lease
        let now = context.now()
        try await context.control.write { try $0.release(held, now: now) }
    }
}
