package import AWSNames
package import ProviderHTTP
internal import Synchronization

/// Holds one set of credentials and renews it before it ends; however many ask, one renewal is under way.
///
/// Fifteen minutes before the end (a third of the life of short sessions) a renewal is tried, and its failure does no harm;
/// ten minutes before it (a fifth) it must succeed.
package final class CredentialCache: Sendable {
    private let source: @Sendable (Deadline) async -> Result<AWSCredentials, AWSError>
    private let now: @Sendable () -> Double
    private let gate = SerialGate()
    private let state = Mutex(State())

    private struct State {
        var held: AWSCredentials?
        var begun = 0.0
        var triedAgain = 0.0
        var generation = 0
    }

    private enum Need { case none, wish, must }

    private static let pause = 30.0

    /// Makes an empty cache.
    ///
    /// - Parameters:
    ///   - now: This machine's time in seconds since 1970.
    ///   - source: Gets new credentials.
    package init(
        now: @escaping @Sendable () -> Double,
        source: @escaping @Sendable (Deadline) async -> Result<AWSCredentials, AWSError>
    ) {
        self.now = now
        self.source = source
    }

    /// Credentials that are good for a call now, with a number to give to ``renew(after:_:)`` where they are not accepted.
    package func current(_ deadline: Deadline) async throws(AWSError) -> (credentials: AWSCredentials, number: Int) {
        let (held, need, number) = look()
        if let held, need == .none { return (held, number) }
        return try await renewed(after: number, keeping: need == .wish ? held : nil, deadline)
    }

    /// When those end that are held, in seconds since 1970; nil where none are, or where they do not.
    package var expiration: Double? { state.withLock { $0.held?.expiration } }

    /// Forgets credentials that were not accepted, if nobody else has renewed them since, and gets others.
    package func renew(after number: Int, _ deadline: Deadline) async throws(AWSError) {
        _ = try await renewed(after: number, keeping: nil, deadline)
    }

    private func look() -> (AWSCredentials?, Need, Int) {
        state.withLock { state in
            guard let held = state.held, let end = held.expiration else {
                return (state.held, state.held == nil ? .must : .none, state.generation)
            }
            let life = max(end - state.begun, 1)
            let left = end - now()
            if left <= min(600, life / 5) { return (held, .must, state.generation) }
            let isEarly = left > min(900, life / 3) || now() - state.triedAgain < Self.pause
            return (held, isEarly ? .none : .wish, state.generation)
        }
    }

    private func renewed(
        after number: Int, keeping old: AWSCredentials?, _ deadline: Deadline
    ) async throws(AWSError) -> (credentials: AWSCredentials, number: Int) {
        let outcome = await gate.alone { () -> Result<(credentials: AWSCredentials, number: Int), AWSError> in
            if let (held, number) = self.held(newerThan: number) { return .success((held, number)) }
            switch await source(deadline) {
            case .success(let found): return .success((found, keep(found)))
            case .failure(let error):
                state.withLock { $0.triedAgain = now() }
                return old.map { .success(($0, number)) } ?? .failure(error)
            }
        }
        guard let outcome else {
            throw AWSError(.providerUnavailable, "credentials did not come in time")
        }
        return try outcome.get()
    }

    private func held(newerThan number: Int) -> (AWSCredentials, Int)? {
        state.withLock { state in
            state.generation > number ? state.held.map { ($0, state.generation) } : nil
        }
    }

    private func keep(_ found: AWSCredentials) -> Int {
        state.withLock { state in
            state.held = found
            state.begun = now()
            state.generation += 1
            return state.generation
        }
    }
}
