package import KeyModel

/// One attempt to perform a hook in a run.
package struct HookAttempt: Hashable, Sendable {
    /// How an attempt stands.
    package enum State: String, Hashable, Sendable {
        /// It was begun.
        case begun
        /// It ran to its end.
        case done
        /// It ended with an error.
        case failed
        /// The process ended while it ran; what it did is not known.
        case unknown
    }

    /// Its number, which the hook is told: random, never used again.
    package let id: String
    /// The run.
    package let run: Int64
    /// The hook.
    package let hook: HookDeclaration
    /// How it stands.
    package var state: State
    /// When it began.
    package let startedAt: Timestamp
    /// When it ended.
    package var finishedAt: Timestamp?
    /// What it printed, as far as that is kept.
    package var output: String
    /// Why it failed.
    package var message: String?

    /// Makes an attempt that begins.
    package init(id: String, run: Int64, hook: HookDeclaration, startedAt: Timestamp) {
        self.init(
            id: id, run: run, hook: hook, state: .begun, startedAt: startedAt, finishedAt: nil, output: "", message: nil
        )
    }

    init(
        id: String, run: Int64, hook: HookDeclaration, state: State, startedAt: Timestamp, finishedAt: Timestamp?,
        output: String, message: String?
    ) {
        self.id = id
        self.run = run
        self.hook = hook
        self.state = state
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.output = output
        self.message = message
    }
}
