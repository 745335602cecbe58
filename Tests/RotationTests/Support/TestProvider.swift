internal import KeyModel
internal import PluginKit
internal import Providers
internal import Synchronization

/// The built-in provider with faults that a test switches on.
final class TestProvider: KeyProvider {
    /// What goes wrong.
    enum Fault: CaseIterable, Sendable {
        case nothing
        /// Neither wraps nor unwraps nor answers.
        case down
        /// Describes a key that cannot wrap.
        case unusable
        /// Wraps, and unwraps nothing.
        case unwrapsNothing
        /// Unwraps to other material than was wrapped.
        case unwrapsOther
        /// Unwraps right while a key is wrapped, and to other material from then on.
        case unwrapsOtherLater
        /// Refuses everything, as where somebody took the access away.
        case denied
    }

    /// What becomes of a wish for a new key.
    enum Turning: Sendable {
        /// It is made.
        case turns
        /// It is not made, and nothing says so.
        case stays
        /// It is made, and the answer is lost.
        case turnsUnheard
    }

    private struct State {
        var fault = Fault.nothing
        var turning = Turning.turns
        var unwraps = 0
    }

    private let inner: LocalProvider
    private let state = Mutex(State())

    init(_ inner: LocalProvider) { self.inner = inner }

    var fault: Fault {
        get { state.withLock { $0.fault } }
        set {
            state.withLock {
                $0.fault = newValue
                $0.unwraps = 0
            }
        }
    }

    var turning: Turning {
        get { state.withLock { $0.turning } }
        set { state.withLock { $0.turning = newValue } }
    }

    /// Turns to another key by itself, as a key-management service does.
    func turn(at time: Timestamp) throws { try inner.appendGeneration(at: time) }

    func info() async throws(ProviderError) -> ProviderInfo { try await inner.info() }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] { try await inner.test(call) }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        try refuse(when: [.down, .denied])
        return try await inner.wrap(material, binding: binding, call)
    }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        try refuse(when: [.down, .denied, .unwrapsNothing])
        let (fault, count) = state.withLock { state in
            state.unwraps += 1
            return (state.fault, state.unwraps)
        }
        guard fault == .unwrapsOther || fault == .unwrapsOtherLater && count > 1 else {
            return try await inner.unwrap(wrapped, binding: binding, call)
        }
        let right = try await inner.unwrap(wrapped, binding: binding, call)
        let size = right.count
        // Printable, so that it is material of either core.
        return SecretBytes(count: size) { room in
            for index in 0..<size { room[index] = size == 44 && index == 43 ? UInt8(ascii: "=") : UInt8(ascii: "A") }
        }
    }

    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try refuse(when: [.down, .denied])
        let key = try await inner.describeKey(call)
        return ProviderKey(id: key.id, isUsable: fault != .unusable, summary: key.summary)
    }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        switch turning {
        case .turns: return try await inner.rotateKey(call)
        case .stays: return try await inner.describeKey(call)
        case .turnsUnheard:
            _ = try await inner.rotateKey(call)
            throw ProviderError(.providerUnavailable, "the connection was lost")
        }
    }

    private func refuse(when faults: [Fault]) throws(ProviderError) {
        let fault = fault
        guard faults.contains(fault) else { return }
        guard fault != .denied else { throw ProviderError(.providerDenied, "the provider refuses") }
        throw ProviderError(.providerUnavailable, "the provider is switched off")
    }
}

/// A provider before which unwrapped keys are kept, for as long as nobody has them forgotten.
final class KeepingProvider: BoundedKeyCache {
    let inner: TestProvider
    private let keys = Mutex<[WrappedKey: KeyMaterial]>([:])

    init(_ inner: TestProvider) { self.inner = inner }

    func forgetKeys() { keys.withLock { $0 = [:] } }

    func info() async throws(ProviderError) -> ProviderInfo { try await inner.info() }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] { try await inner.test(call) }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey { try await inner.wrap(material, binding: binding, call) }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        if let held = keys.withLock({ $0[wrapped] }) { return held.withExposedBytes { SecretBytes(copying: $0) } }
        let secret = try await inner.unwrap(wrapped, binding: binding, call)
        let material = KeyMaterial(id: binding.key, secret: secret)
        keys.withLock { $0[wrapped] = material }
        return material.withExposedBytes { SecretBytes(copying: $0) }
    }

    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try await inner.describeKey(call)
    }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey { try await inner.rotateKey(call) }
}
