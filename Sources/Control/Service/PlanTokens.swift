internal import Synchronization

/// Remembers which plans were handed out and which were applied, so that one plan is applied once.
final class PlanTokens: Sendable {
    private struct State {
        var issued: [String] = []
        var used: Set<String> = []
    }

    private let state = Mutex(State())
    private static let most = 1000

    /// A new token.
    func issue() -> String {
        var random = SystemRandomNumberGenerator()
        let token = String(random.next(), radix: 36) + String(random.next(), radix: 36)
        state.withLock { state in
            state.issued.append(token)
            if state.issued.count > Self.most { state.used.remove(state.issued.removeFirst()) }
        }
        return token
    }

    /// Uses a token up.
    ///
    /// - Returns: False where it was used before; one that is not known any more counts as new, since the plan's hash is
    ///   checked in any case.
    func use(_ token: String) -> Bool {
        state.withLock { state in !state.issued.contains(token) || state.used.insert(token).inserted }
    }
}
