internal import KeyModel
package import PluginKit
internal import Synchronization

/// Keeps what a provider has unwrapped, in locked memory and for a bounded time, so that opening survives an outage.
package final class CachingProvider: BoundedKeyCache, ObservedProvider {
    /// How often a key that is in use is proven again.
    package static let freshness = Duration.seconds(60)

    private let inner: any KeyProvider
    private let keys: Mutex<UnwrappedKeys>
    private let now: @Sendable () -> Duration

    /// Keeps keys for `lifetime` after the provider last unwrapped them.
    ///
    /// - Parameters:
    ///   - inner: The provider.
    ///   - lifetime: The `cache_ttl`; zero keeps nothing.
    ///   - freshness: After this long a key is proven again where the provider can be reached.
    ///   - now: The time since some fixed instant; never set back.
    package init(
        _ inner: any KeyProvider, lifetime: Duration, freshness: Duration = freshness,
        now: @escaping @Sendable () -> Duration = CachingProvider.uptime()
    ) {
        self.inner = inner
        self.now = now
        keys = Mutex(UnwrappedKeys(lifetime: lifetime, freshness: freshness))
    }

    /// A clock that the time of day does not move.
    package static func uptime() -> @Sendable () -> Duration {
        let begin = ContinuousClock.now
        return { begin.duration(to: .now) }
    }

    /// How many keys are held unwrapped.
    package var heldKeys: Int { keys.withLock { $0.count } }

    /// What is counted of the provider behind it.
    package var figures: [String: CallFigures] { (inner as? any ObservedProvider)?.figures ?? [:] }

    /// Whether the last calls reached the provider behind it.
    package var isReachable: Bool? { (inner as? any ObservedProvider)?.isReachable }

    /// Forgets every key at once.
    package func forgetKeys() { keys.withLock { $0.drop() } }

    /// Asks the provider.
    package func info() async throws(ProviderError) -> ProviderInfo { try await inner.info() }

    /// Asks the provider.
    package func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        try await watching { () async throws(ProviderError) in try await inner.test(call) }
    }

    /// Asks the provider.
    package func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        do throws(ProviderError) {
            return try await inner.wrap(material, binding: binding, call)
        } catch {
            forgetKeys(because: error)
            throw error
        }
    }

    /// Serves the key where it was proven a short while ago; else asks the provider, and serves the key that is held where
    /// that cannot be reached.
    package func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        let origin = UnwrappedKeys.Origin(wrapped: wrapped, binding: binding)
        let time = now()
        let (finding, generation) = keys.withLock { ($0.find(origin, at: time), $0.generation) }
        if case .fresh(let material) = finding { return Self.copy(of: material) }
        do throws(ProviderError) {
            let secret = try await inner.unwrap(wrapped, binding: binding, call)
            let material = KeyMaterial(id: binding.key, secret: secret)
            keys.withLock { $0.keep(material, of: origin, at: time, since: generation) }
            return Self.copy(of: material)
        } catch {
            if error.code == .providerKeyUnknown { keys.withLock { $0.drop(origin) } }
            forgetKeys(because: error)
            guard error.code == .providerUnavailable else { throw error }
            // What was forgotten meanwhile is not there any more.
            switch keys.withLock({ $0.find(origin, at: now()) }) {
            case .fresh(let material), .stale(let material): return Self.copy(of: material)
            case .absent: throw error
            }
        }
    }

    /// Asks the provider.
    package func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        let key = try await watching { () async throws(ProviderError) in try await inner.describeKey(call) }
        if !key.isUsable { forgetKeys() }
        return key
    }

    /// Asks the provider; whoever may not have its key turned may use it all the same, so that no key is forgotten.
    package func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try await inner.rotateKey(call)
    }

    /// Asks the provider.
    package func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        try await watching { () async throws(ProviderError) in try await inner.listVersions(call) }
    }

    private func watching<Answer>(
        _ body: () async throws(ProviderError) -> Answer
    ) async throws(ProviderError) -> Answer {
        do throws(ProviderError) {
            return try await body()
        } catch {
            forgetKeys(because: error)
            throw error
        }
    }

    /// Someone has shut the provider's key: what it unwrapped before must not outlive that.
    private func forgetKeys(because error: ProviderError) {
        if error.code == .providerDenied { forgetKeys() }
    }

    private static func copy(of material: KeyMaterial) -> SecretBytes {
        material.withExposedBytes { SecretBytes(copying: $0) }
    }
}
