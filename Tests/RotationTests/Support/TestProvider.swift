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
    }

    private struct State {
        var fault = Fault.nothing
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

    /// Turns to another key by itself, as a key-management service does.
    func turn(at time: Timestamp) throws { try inner.appendGeneration(at: time) }

    func info() async throws(ProviderError) -> ProviderInfo { try await inner.info() }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] { try await inner.test(call) }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        try refuse(when: [.down])
        return try await inner.wrap(material, binding: binding, call)
    }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        try refuse(when: [.down, .unwrapsNothing])
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
        try refuse(when: [.down])
        let key = try await inner.describeKey(call)
        return ProviderKey(id: key.id, isUsable: fault != .unusable, summary: key.summary)
    }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey { try await inner.rotateKey(call) }

    private func refuse(when faults: [Fault]) throws(ProviderError) {
        guard faults.contains(fault) else { return }
        throw ProviderError(.providerUnavailable, "the provider is switched off")
    }
}
