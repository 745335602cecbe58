internal import KeyModel
internal import PluginConformance
internal import PluginKit
internal import Providers
internal import Synchronization
internal import Testing

/// A provider that keeps its promises but for one.
final class FaultyProvider: KeyProvider {
    enum Fault: String, CaseIterable {
        case hasNoKind, describesUnusable, failsItsTest, unwrapsOther, wrapsAnything, ignoresBinding, ignoresChanges
        case takesLong, hidesUnknownKeys, flipFlops, wrapsUnderAnotherName, repeatsCiphertext, refusesRepetition
        case mixesCalls, refusesLongNames, ignoresAnnotations
        case answersWhatItLeavesOut, listsInDisorder, turnsNothing, forgetsOldKeys, turnsTwice, reusesNames
        case listsOnlyTheNewest, keepsWrappingWithTheOld, unwrapsUnderAnyName
    }

    private struct State {
        var calls = 0
        var seen: Set<String> = []
        var wraps: [WrappedKey] = []
        var fixed: WrappedKey?
        var turns = 0
        var held: Bytes = []
    }

    private let inner: LocalProvider
    private let fault: Fault
    private let state = Mutex(State())

    init(_ inner: LocalProvider, _ fault: Fault) {
        self.inner = inner
        self.fault = fault
    }

    /// The provider says that it can list and turn keys, but for the fault that has it leave them out.
    func info() async throws(ProviderError) -> ProviderInfo {
        ProviderInfo(
            kind: fault == .hasNoKind ? "" : "faulty", version: "1",
            abilities: fault == .answersWhatItLeavesOut ? [] : [.rotate, .versions])
    }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        guard fault != .failsItsTest else { return [ProviderCheck(name: "key", outcome: .fail)] }
        return try await inner.test(call)
    }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        let count = state.withLock { state in
            state.calls += 1
            return state.calls
        }
        if fault == .refusesRepetition, !state.withLock({ $0.seen.insert(call.idempotencyKey).inserted }) {
            throw ProviderError(.providerDenied, "that was asked before")
        }
        if fault == .refusesLongNames, binding.instance.utf8.count > 100 {
            throw ProviderError(.providerDenied, "the name is too long")
        }
        if fault == .wrapsAnything, !(1...256).contains(material.count) {
            return WrappedKey(ciphertext: [1], providerKeyID: inner.newest.providerKeyID)
        }
        if fault == .mixesCalls { return try await mixed(material, binding, call) }
        let wrapped = try await inner.wrap(material, binding: bound(binding), call)
        state.withLock { $0.wraps.append(wrapped) }
        switch fault {
        case .repeatsCiphertext:
            return state.withLock { state in
                state.fixed = state.fixed ?? wrapped
                return state.fixed ?? wrapped
            }
        case .flipFlops where count % 2 == 0: return renamed(wrapped, "local:other")
        case .wrapsUnderAnotherName: return renamed(wrapped, "local:other")
        case .ignoresAnnotations:
            return WrappedKey(
                ciphertext: wrapped.ciphertext, providerKeyID: wrapped.providerKeyID, annotations: ["note.example": [1]]
            )
        case .reusesNames, .turnsNothing: return renamed(wrapped, name)
        default: return wrapped
        }
    }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        if fault == .unwrapsOther { return SecretBytes(copying: Bytes(repeating: 9, count: 32)) }
        if fault == .forgetsOldKeys, wrapped.providerKeyID != inner.newest.providerKeyID {
            throw ProviderError(.providerKeyUnknown, "that key is gone")
        }
        do throws(ProviderError) {
            return try await inner.unwrap(restored(wrapped), binding: bound(binding), call)
        } catch {
            if fault == .hidesUnknownKeys, error.code == .providerKeyUnknown {
                throw ProviderError(.dataNotAuthentic, error.message)
            }
            guard fault == .takesLong, wrapped.ciphertext.count > 1000 else { throw error }
            return SecretBytes(copying: Bytes(repeating: 9, count: 32))
        }
    }

    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        let key = try await inner.describeKey(call)
        return ProviderKey(
            id: [.reusesNames, .turnsNothing].contains(fault) ? name : key.id, isUsable: fault != .describesUnusable,
            summary: key.summary)
    }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        state.withLock { $0.turns += 1 }
        switch fault {
        case .turnsNothing: return try await describeKey(call)
        case .turnsTwice:
            return try await inner.rotateKey(ProviderCall(deadline: call.deadline, idempotencyKey: ""))
        case .reusesNames:
            _ = try await inner.rotateKey(call)
            return try await describeKey(call)
        case .keepsWrappingWithTheOld:
            return ProviderKey(id: "local:next", isUsable: true, summary: "")
        default: return try await inner.rotateKey(call)
        }
    }

    func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        let keys = try await inner.listVersions(call)
        return switch fault {
        case .listsInDisorder:
            [ProviderKey(id: "local:0", isUsable: true, summary: "")] + keys.reversed() + keys.prefix(1)
        case .listsOnlyTheNewest: Array(keys.suffix(1))
        default: keys
        }
    }

    /// Two names, one after the other and round again.
    private var name: String {
        fault == .turnsNothing ? "local:a" : state.withLock { ["local:a", "local:b"][$0.turns % 2] }
    }

    private func renamed(_ wrapped: WrappedKey, _ name: String) -> WrappedKey {
        WrappedKey(ciphertext: wrapped.ciphertext, providerKeyID: name, annotations: wrapped.annotations)
    }

    private func bound(_ binding: WrapBinding) -> WrapBinding {
        guard fault == .ignoresBinding, let key = KeyID(1) else { return binding }
        return WrapBinding(instance: "", keyring: binding.keyring, key: key)
    }

    /// What the inner provider needs of a wrap that was changed or renamed, where the fault is to take no notice.
    private func restored(_ wrapped: WrappedKey) -> WrappedKey {
        let wraps = state.withLock { $0.wraps }
        switch fault {
        case .ignoresChanges:
            return wraps.last { $0.ciphertext.prefix(8) == wrapped.ciphertext.prefix(8) } ?? wraps.last ?? wrapped
        case .flipFlops, .wrapsUnderAnotherName, .reusesNames, .turnsNothing, .unwrapsUnderAnyName, .ignoresAnnotations:
            return wraps.last { $0.ciphertext == wrapped.ciphertext } ?? wrapped
        default: return wrapped
        }
    }

    /// Wraps what another call was given.
    private func mixed(
        _ material: borrowing SecretBytes, _ binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        guard call.idempotencyKey.contains("at-once") else {
            return try await inner.wrap(material, binding: binding, call)
        }
        let own = material.withExposedBytes { Bytes($0) }
        let other = state.withLock { state in
            defer { state.held = own }
            return state.held.isEmpty ? own : state.held
        }
        return try await inner.wrap(SecretBytes(copying: other), binding: binding, call)
    }
}

/// Every claim of the kit is one that a wrong provider fails.
struct ConformanceTests {
    private let scratch: Scratch
    private let binding: WrapBinding

    init() throws {
        scratch = try Scratch()
        binding = WrapBinding(instance: "i-1", keyring: try Name("main"), key: try #require(KeyID(7)))
    }

    /// What a fault breaks first of all.
    private static let claims: [FaultyProvider.Fault: String] = [
        .hasNoKind: "it says what it is", .describesUnusable: "it describes a key that can wrap",
        .failsItsTest: "its own test passes", .unwrapsOther: "keys of 1, 32 and 256 bytes come back",
        .wrapsAnything: "material of 0 and of 257 bytes is refused",
        .ignoresBinding: "a wrap does not unwrap for another binding",
        .ignoresChanges: "no wrap with a flipped byte unwraps", .takesLong: "a wrap of 100 KiB does not unwrap",
        .hidesUnknownKeys: "a wrap by an unknown key is refused as such",
        .flipFlops: "it names the same key each time",
        .wrapsUnderAnotherName: "it describes a key that can wrap",
        .repeatsCiphertext: "two wraps of one key differ, and neither shows it",
        .refusesRepetition: "a repeated call is answered", .mixesCalls: "32 calls at once do not mix",
        .refusesLongNames: "names of 255 bytes and of other alphabets can be bound to",
        .ignoresAnnotations: "a wrap without its annotations does not unwrap",
        .answersWhatItLeavesOut: "a call that it leaves out is refused as such",
        .listsInDisorder: "it lists its keys, the one that wraps last",
        .turnsNothing: "a new key wraps, and what older ones wrapped unwraps",
        .forgetsOldKeys: "a new key wraps, and what older ones wrapped unwraps",
        .keepsWrappingWithTheOld: "a new key wraps, and what older ones wrapped unwraps",
        .unwrapsUnderAnyName: "a new key wraps, and what older ones wrapped unwraps",
        .turnsTwice: "a repeated request for a new key makes no second one",
        .reusesNames: "no new key has the name of an older one",
        .listsOnlyTheNewest: "a new key is listed after the older ones",
    ]

    @Test(arguments: FaultyProvider.Fault.allCases)
    func aWrongProviderFails(fault: FaultyProvider.Fault) async throws {
        let claim = try #require(Self.claims[fault])
        let provider = FaultyProvider(try LocalProvider.create(at: scratch.root, time: someTime), fault)
        let results = await ProviderConformance(provider, binding: binding).run()
        let broken = results.filter { !$0.isPass }
        #expect(broken.contains { $0.name == claim }, "\(broken.map(\.description))")
        #expect(broken.count < 12, "\(broken.map(\.description))")
    }

    @Test
    func everyClaimIsBrokenByAFault() async throws {
        let provider = FaultyProvider(try LocalProvider.create(at: scratch.root, time: someTime), .hasNoKind)
        let names = Set(await ProviderConformance(provider, binding: binding).run().map(\.name))
        // Truncated wraps are tried by what ignores changes, which fails it as well.
        let untried = names.subtracting(Self.claims.values).subtracting(["no truncated or empty wrap unwraps"])
        #expect(untried == [])
        #expect(names.count == 21)
    }

    @Test
    func aProviderIsNotAskedForNewKeysWhereThatIsNotWanted() async throws {
        let provider = try LocalProvider.create(at: scratch.root, time: someTime)
        let results = await ProviderConformance(provider, binding: binding, turnsKeys: false).run()
        #expect(results.filter { !$0.isPass } == [] && provider.generations.count == 1)
        #expect(await ProviderConformance(provider, binding: binding).run().count == results.count + 4)
        #expect(provider.generations.count > 1)
    }
}
