package import KeyModel
package import PluginKit
internal import Synchronization

/// Stands between the engine and a provider: deadlines, the circuit breaker, checks of answers, counts and latencies.
///
/// An outage is what ``ProviderError`` calls `providerUnavailable`; refusals are answers and do not open the breaker.
package final class GuardedProvider: ObservedProvider {
    /// The name in keyturn.lua.
    package let name: Name
    /// The provider itself.
    package let inner: any KeyProvider

    private let deadline: Duration
    private let state = Mutex(State())
    private let begin = ContinuousClock.now

    private struct State {
        var breaker = CircuitBreaker()
        var statistics = CallStatistics()
        var names = KeyNames()
        var untaken: [String: Int64] = [:]
    }

    /// Changing a provider's keys, and trying them from end to end, may take this long.
    private static let patientDeadline = Duration.seconds(60)

    /// Guards a provider.
    ///
    /// - Parameters:
    ///   - inner: The provider.
    ///   - name: Its name.
    ///   - deadline: The most time for one call; callers that ask for less get less.
    package init(_ inner: any KeyProvider, name: Name, deadline: Duration = .seconds(3)) {
        self.inner = inner
        self.name = name
        self.deadline = deadline
    }

    /// Counts and latencies up to now.
    package var figures: [String: CallFigures] { state.withLock { $0.statistics.entries } }

    /// How often each call was made since this was last asked.
    package func takeCalls() -> [String: Int64] {
        state.withLock { state in
            defer { state.untaken = [:] }
            return state.untaken
        }
    }

    /// Whether the last calls reached it; nil where none was made.
    package var isReachable: Bool? { state.withLock { $0.statistics.calls == 0 ? nil : !$0.breaker.isOpen } }

    /// None: keys are held by whoever stands before it.
    package var heldKeys: Int { 0 }

    /// Whether calls are kept back because the provider could not be reached.
    package var isKeptBack: Bool { state.withLock { $0.breaker.isOpen } }

    /// Asks for kind and version.
    package func info() async throws(ProviderError) -> ProviderInfo {
        try await guarding("info") { () async throws(ProviderError) in try await inner.info() }
    }

    /// Has the provider try its key; not kept back by the breaker, since it is a person who asks.
    package func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        try await measuring("test") { () async throws(ProviderError) in
            try await inner.test(patient(call))
        }
    }

    /// Wraps, and refuses an answer that makes no sense.
    package func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        guard KeyMaterial.sizes.contains(material.count) else {
            throw ProviderError(
                .providerDenied, "cannot wrap key \(binding.key): it has \(material.count) bytes, not 1 to 256")
        }
        let isTrial = try admit()
        let start = ContinuousClock.now
        let result: Result<WrappedKey, ProviderError>
        do throws(ProviderError) {
            let wrapped = try await inner.wrap(material, binding: binding, bounded(call))
            try AnswerCheck.check(wrapped, of: material, from: name)
            try note(wrapped.providerKeyID, from: start)
            result = .success(wrapped)
        } catch {
            result = .failure(error)
        }
        record("wrap", start, result.failure, inTrial: isTrial)
        return try result.get()
    }

    /// Unwraps.
    package func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        let isTrial = try admit()
        let start = ContinuousClock.now
        do throws(ProviderError) {
            let material = try await inner.unwrap(wrapped, binding: binding, bounded(call))
            record("unwrap", start, nil, inTrial: isTrial)
            return material
        } catch {
            record("unwrap", start, error, inTrial: isTrial)
            throw error
        }
    }

    /// Asks which key would wrap now, and refuses a name that makes no sense.
    package func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try await guarding("describe") { () async throws(ProviderError) in
            let start = ContinuousClock.now
            let key = try await inner.describeKey(bounded(call))
            try AnswerCheck.check(keyID: key.id, from: name)
            try note(key.id, from: start)
            return key
        }
    }

    /// Has the provider make a new key.
    package func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try await guarding("rotate") { () async throws(ProviderError) in
            let start = ContinuousClock.now
            let key = try await inner.rotateKey(patient(call))
            try AnswerCheck.check(keyID: key.id, from: name)
            try note(key.id, from: start)
            return key
        }
    }

    /// Asks which keys still unwrap, and refuses names that make no sense.
    package func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        try await guarding("versions") { () async throws(ProviderError) in
            let keys = try await inner.listVersions(bounded(call))
            for key in keys { try AnswerCheck.check(keyID: key.id, from: name) }
            return keys
        }
    }

    /// Refuses a name that the provider had left before the call that it answers had begun.
    private func note(_ key: String, from start: ContinuousClock.Instant) throws(ProviderError) {
        let now = ContinuousClock.now
        let isRight = state.withLock {
            $0.names.take(key, asked: begin.duration(to: start), at: begin.duration(to: now))
        }
        guard isRight else {
            throw ProviderError(
                .providerAnswerInvalid, "provider \"\(name)\" went back to its key \(quoted(key)), which it had left",
                hint: "What it wrapped is kept. If its older key was put back on purpose, start Keyturn anew.")
        }
    }

    private func bounded(_ call: ProviderCall) -> ProviderCall {
        ProviderCall(deadline: min(call.deadline, deadline), idempotencyKey: call.idempotencyKey)
    }

    private func patient(_ call: ProviderCall) -> ProviderCall {
        ProviderCall(deadline: max(deadline, Self.patientDeadline), idempotencyKey: call.idempotencyKey)
    }

    private func guarding<Answer>(
        _ call: String, _ body: () async throws(ProviderError) -> Answer
    ) async throws(ProviderError) -> Answer {
        let isTrial = try admit()
        return try await measuring(call, inTrial: isTrial, body)
    }

    private func measuring<Answer>(
        _ call: String, inTrial: Bool = false, _ body: () async throws(ProviderError) -> Answer
    ) async throws(ProviderError) -> Answer {
        let start = ContinuousClock.now
        do throws(ProviderError) {
            let answer = try await body()
            record(call, start, nil, inTrial: inTrial)
            return answer
        } catch {
            record(call, start, error, inTrial: inTrial)
            throw error
        }
    }

    /// Lets a call through, or says that the provider is given time; true for one that finds out whether it is back.
    private func admit() throws(ProviderError) -> Bool {
        let now = begin.duration(to: .now)
        let permit = state.withLock { $0.breaker.request(at: now) }
        guard case .wait(let pause) = permit else { return permit == .trial }
        throw ProviderError(
            .providerUnavailable,
            "provider \"\(name)\" could not be reached several times and is tried again in \(pause.components.seconds + 1) s"
        )
    }

    private func record(
        _ call: String, _ start: ContinuousClock.Instant, _ error: ProviderError?, inTrial: Bool
    ) {
        let now = ContinuousClock.now
        CallTally.current?.count(call, of: name.description)
        state.withLock { state in
            state.statistics.record(call, took: now - start, failed: error != nil)
            state.untaken[call, default: 0] += 1
            if error?.code == .providerUnavailable {
                state.breaker.failed(at: begin.duration(to: now), inTrial: inTrial)
            } else {
                state.breaker.succeeded()
            }
        }
    }
}

extension Result {
    /// The failure; nil where there is none.
    fileprivate var failure: Failure? {
        guard case .failure(let error) = self else { return nil }
        return error
    }
}
