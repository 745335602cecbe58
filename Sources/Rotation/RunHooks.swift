package import ControlStore

/// Performs the hooks that a configuration declares, wherever their functions live.
package protocol RunHooks: Sendable {
    /// The hooks, in the order in which they are to be performed.
    var hooks: [HookDeclaration] { get }

    /// Performs one to its end, within a time limit of its own.
    ///
    /// Cancelling ends it soon.
    ///
    /// - Throws: Whatever stands in its way; a hook that throws has failed.
    func perform(_ hook: HookDeclaration, on occasion: HookOccasion) async throws
}

/// What a hook is told, and where its output goes.
package struct HookOccasion: Sendable {
    /// The number of this attempt, never used again.
    package let attempt: String
    /// The run as it stands.
    package let run: RunRecord
    /// How the run ended, or is about to; `open` before its end.
    package let outcome: RunState
    /// Why the run stands where it stands.
    package let message: String?
    /// Takes what the hook prints.
    package let output: @Sendable (String) -> Void
}
