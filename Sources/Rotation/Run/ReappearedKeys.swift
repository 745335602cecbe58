package import KeyModel
internal import Synchronization

/// The retired keys under which a run meets values again, so that their time counts anew.
package final class ReappearedKeys: Sendable {
    private struct State {
        var unrecorded: Set<KeyID> = []
        var recorded: Set<KeyID> = []
    }

    private let retired: Set<KeyID>
    private let state = Mutex(State())

    /// Watches for values under the retired versions of some keyrings.
    package init(_ keyrings: [Keyring]) {
        let versions = keyrings.flatMap(\.versions)
        retired = Set(versions.filter { $0.retiredAt != nil && $0.state != .destroyed }.map(\.id))
    }

    /// Takes note of the key that has opened a value.
    func meet(_ key: KeyID) {
        guard !retired.isEmpty, retired.contains(key) else { return }
        state.withLock { state in
            if !state.recorded.contains(key) { state.unrecorded.insert(key) }
        }
    }

    /// The keys that were met and are not recorded yet.
    var unrecorded: Set<KeyID> { state.withLock { $0.unrecorded } }

    /// Takes keys for recorded.
    func settle(_ keys: Set<KeyID>) {
        state.withLock { state in
            state.recorded.formUnion(keys)
            state.unrecorded.subtract(keys)
        }
    }
}
