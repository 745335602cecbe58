package import KeyModel

/// The right to run the engine on a database, held by one process at a time.
package struct Lease: Hashable, Sendable {
    /// Who holds it, for people: host and process id.
    package let holder: String
    /// The node's id; a node may take its own lease over at once, since its instance lock proves the holder dead.
    package let node: String
    /// Grows with every holder; every write checks it.
    package let epoch: Int64
    /// When it ends unless it is renewed.
    package let expiresAt: Timestamp
    /// The lowest epoch that the database can stand at, by all that it has told this node.
    package var leastEpoch: Int64

    /// Makes a lease.
    package init(holder: String, node: String, epoch: Int64, expiresAt: Timestamp) {
        self.holder = holder
        self.node = node
        self.epoch = epoch
        self.expiresAt = expiresAt
        leastEpoch = epoch
    }
}
