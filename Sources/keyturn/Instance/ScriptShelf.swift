internal import Scripting
internal import Synchronization

/// The texts of configurations as they were loaded, so that the functions of the one that holds can be called whatever becomes of
/// its files.
final class ScriptShelf: Sendable {
    fileprivate struct State {
        var scripts: [(hash: String, script: ConfigurationScript)] = []
        var held: String?
    }

    private let state = Mutex(State())

    /// How many are kept beside the one that holds.
    private static let most = 4

    /// Keeps the texts of a configuration, the newest few.
    func put(_ script: ConfigurationScript, for hash: String) {
        state.withLock { state in
            // Those that are there have workers at hand.
            guard !state.scripts.contains(where: { $0.hash == hash }) else { return }
            state.scripts.append((hash, script))
            state.dropSpare(beyond: Self.most)
        }
    }

    /// Keeps the texts of a configuration until another one holds.
    func keep(_ hash: String) { state.withLock { $0.held = hash } }

    /// The texts of a configuration.
    func script(of hash: String) -> ConfigurationScript? {
        state.withLock { state in state.scripts.first { $0.hash == hash }?.script }
    }
}

extension ScriptShelf.State {
    fileprivate mutating func dropSpare(beyond most: Int) {
        while scripts.count(where: { $0.hash != held }) > most,
            let oldest = scripts.firstIndex(where: { $0.hash != held })
        {
            scripts.remove(at: oldest)
        }
    }
}
