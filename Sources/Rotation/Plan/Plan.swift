internal import ControlStore
internal import KeyModel

/// What a run would do, what it would cost, and what stands against it.
package struct Plan: Hashable, Codable, Sendable {
    /// `rotate` or `adopt`.
    package let kind: String
    /// `routine` or `emergency`.
    package let urgency: String
    /// The keyring.
    package let keyring: String
    /// Its core.
    package let core: String
    /// The key that seals now; nil where there is none yet.
    package let activeKey: String?
    /// The provider that wraps its keys afterwards; nil in plans that were made before it was recorded.
    package let provider: String?
    /// Whether a new key will be made.
    package let makesNewKey: Bool
    /// The columns.
    package let columns: [ColumnPlan]
    /// About how long the rewriting and the verification take, from the timed sample.
    package let estimatedSeconds: Double
    /// The extra room on disk that is needed meanwhile, in bytes.
    package let diskBytesNeeded: Int64
    /// The room that is free, in bytes; nil where the server does not tell.
    package let diskBytesFree: Int64?
    /// The bytes that go through a write-ahead log besides, and on to replicas and the archive; nil where the database's
    /// engine keeps none beside the tables, and in plans that were made before it was reckoned.
    package let logBytes: Int64?
    /// The room that is free where that log lies, in bytes; nil where the server does not tell.
    package let logBytesFree: Int64?
    /// The applications that hold the keyring's keys; the run waits for their acknowledgement.
    package let consumers: [String]
    /// `required` or `optional`.
    package let backup: String
    /// For `convert`: where the values are now.
    package let conversion: Conversion?
    /// For `rewrap`: what wraps now.
    package let rewrap: RewrapPlan?
    /// What to know before it is started.
    package let warnings: [String]
    /// What stands against it; it cannot be started while there is any.
    package let refusals: [String]
    /// The configuration it was made under.
    package let configurationHash: String
    /// SHA-256 over structure, key versions and policy, not over counts: the same as long as the plan holds.
    package let hash: String
}

/// What a run would do to one column.
package struct ColumnPlan: Hashable, Codable, Sendable {
    /// A value that would not open.
    package struct Unopenable: Hashable, Codable, Sendable {
        /// The row's key.
        package let row: String
        /// Why: a stable code.
        package let reason: String
    }

    /// The column.
    package let column: String
    /// About how many rows the table has.
    package let tableRows: Int64
    /// About how many bytes the table and its indexes take.
    package let tableBytes: Int64
    /// About how many rows the run reads: those with a value that the column's `where` picks; nil in plans that were made
    /// before it was reckoned.
    package let rowsToRead: Int64?
    /// Rows looked at for this plan.
    package let sampledRows: Int64
    /// Whether those were all rows.
    package let sampledAll: Bool
    /// How long the sample took to read, open, seal and open again, in seconds.
    package let sampleSeconds: Double
    /// Among those looked at: values to rewrite.
    package let toRewrite: Int64
    /// The bytes of those values now.
    package let bytesBefore: Int64
    /// The bytes of those values afterwards.
    package let bytesAfter: Int64
    /// Among those looked at: values that need nothing.
    package let unchanged: Int64
    /// Among those looked at: values that would be quarantined.
    package let wouldQuarantine: Int64
    /// The first of the values that would be quarantined.
    package let quarantined: [Unopenable]
    /// Triggers that the rewriting fires.
    package let triggers: [String]
    /// Whether a fence refuses stale writers meanwhile.
    package let isFenced: Bool
}
