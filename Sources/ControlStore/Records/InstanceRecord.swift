package import KeyModel

/// The one row that says which instance a database belongs to.
package struct InstanceRecord: Hashable, Sendable {
    /// A random UUID, lower case.
    package let id: String
    /// The first component of every value's context; fixed for ever.
    package let namespace: String
    /// Random; changed by `keyturn recover`, so that a database that was set back is told from the one it replaced.
    package var nonce: String
    /// Grows with every lease taken and every phase of a run; a node refuses a database whose epoch is behind what it saw.
    package var epoch: Int64
    /// When `keyturn init` made it.
    package let createdAt: Timestamp
    /// What the built-in provider called its newest root key when the instance was made.
    package let rootKeyID: String
    /// When the root key was last exported for safe-keeping; nil for never.
    package var escrowedAt: Timestamp?

    /// Makes a record.
    package init(
        id: String, namespace: String, nonce: String, epoch: Int64, createdAt: Timestamp, rootKeyID: String,
        escrowedAt: Timestamp? = nil
    ) {
        self.id = id
        self.namespace = namespace
        self.nonce = nonce
        self.epoch = epoch
        self.createdAt = createdAt
        self.rootKeyID = rootKeyID
        self.escrowedAt = escrowedAt
    }
}
