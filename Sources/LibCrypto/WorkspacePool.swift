internal import Synchronization

/// Lends workspaces, which are not thread safe, to one batch at a time.
///
/// As many are made as batches run at once; they are kept for the next ones.
package final class WorkspacePool<Workspace: AnyObject>: Sendable {
    // Safety: a workspace is out of the list while it is lent, so that one thread at a time can reach it.
    private struct Handle: @unchecked Sendable {
        let workspace: Workspace
    }

    private let idle: Mutex<[Handle]>
    private let make: @Sendable () -> Workspace?

    /// Makes a pool with its first workspace.
    ///
    /// - Returns: Nil where not even one can be made.
    package init?(_ make: @escaping @Sendable () -> Workspace?) {
        guard let first = make() else { return nil }
        self.make = make
        idle = Mutex([Handle(workspace: first)])
    }

    /// Lends a workspace for the length of the call.
    package func withWorkspace<Result>(_ body: (Workspace) -> Result) -> Result {
        let handle = idle.withLock { $0.popLast() } ?? makeAnother()
        defer { idle.withLock { $0.append(handle) } }
        return body(handle.workspace)
    }

    private func makeAnother() -> Handle {
        guard let workspace = make() else { preconditionFailure("no memory for another cipher context") }
        return Handle(workspace: workspace)
    }
}
