package import ControlStore

/// What a run's progress is at an instant, for whoever watches.
package struct RunSnapshot: Sendable {
    /// The run.
    package let run: Int64
    /// Where it stands.
    package let phase: RunPhase
    /// How it is doing.
    package let state: RunState
    /// Why it stands, where it does.
    package let message: String?
    /// The column in hand; nil between columns.
    package let column: String?
    /// Rows dealt with in this phase, over all columns.
    package let rowsDone: Int64
    /// About how many there are.
    package let rowsExpected: Int64
    /// What was counted in this phase so far.
    package let counts: RowCounts
}
