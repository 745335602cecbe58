/// The instants after which something has become durable; tests kill the process at each of them.
package enum DurablePoint: String, CaseIterable, Sendable {
    /// The intent of a call that changes something is in the audit log; nothing of it has been done.
    case intentRecorded
    /// The run is recorded.
    case runRecorded
    /// A fence stands.
    case fenceInstalled
    /// The provider has made a new key-encryption key.
    case rootKeyMade
    /// A version's copy under the new key-encryption key is committed.
    case keyRewrapped
    /// The new version and its wrapped copy are committed.
    case keyCommitted
    /// The run has moved to another phase.
    case phaseRecorded
    /// The new version is active.
    case keyActivated
    /// A batch of rows is committed with its mark.
    case batchCommitted
    /// A window is finished and the column's cursor stands behind it.
    case windowFinished
    /// Rows that someone else wrote first were tried again.
    case missesCommitted
    /// A column is rewritten to its end.
    case columnFinished
    /// A sweep over a column is finished.
    case sweepFinished
    /// A window of rows is verified.
    case windowVerified
    /// The proof is kept.
    case proofKept
    /// The old versions are retired.
    case keysRetired
    /// The run is finished.
    case runFinished
}
