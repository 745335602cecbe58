internal import KeyModel
internal import PluginKit
internal import PluginWire
internal import Synchronization
internal import Testing

@testable import ProviderHost

/// A provider that answers as it is told, and counts.
final class ScriptedProvider: KeyProvider {
    private let state = Mutex((failure: ProviderError?.none, calls: 0))
    private let unwrapping = Mutex<@Sendable () async -> Void>({})

    /// Has something done while a key is unwrapped.
    func whileUnwrapping(_ action: @escaping @Sendable () async -> Void) { unwrapping.withLock { $0 = action } }

    /// How many calls reached it.
    var calls: Int { state.withLock { $0.calls } }

    /// Makes it fail from now on, or answer again.
    func fail(_ code: ProviderError.Code?) {
        state.withLock { $0.failure = code.map { ProviderError($0, "scripted") } }
    }

    private func answer() throws(ProviderError) {
        let failure = state.withLock { state in
            state.calls += 1
            return state.failure
        }
        if let failure { throw failure }
    }

    func info() async throws(ProviderError) -> ProviderInfo { ProviderInfo(kind: "scripted", version: "1") }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] { [] }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        try answer()
        return WrappedKey(ciphertext: material.withExposedBytes { Bytes($0.map { ~$0 }) }, providerKeyID: "k")
    }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        try answer()
        await unwrapping.withLock { $0 }()
        return SecretBytes(copying: wrapped.ciphertext.map { ~$0 })
    }

    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try answer()
        return ProviderKey(id: "k", isUsable: true, summary: "")
    }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey { try await describeKey(call) }
}

/// A clock that tests move.
final class HandClock: Sendable {
    private let time = Mutex(Duration.zero)

    var now: Duration { time.withLock { $0 } }

    func advance(by step: Duration) { time.withLock { $0 += step } }
}

/// What stands between the engine and a provider.
struct GuardTests {
    private let scripted = ScriptedProvider()
    private let clock = HandClock()
    private let cache: CachingProvider

    init() {
        cache = CachingProvider(scripted, lifetime: .seconds(600), freshness: .seconds(60)) { [clock] in clock.now }
    }

    private func unwraps(_ wrapped: WrappedKey) async throws -> Bool {
        let back = try await cache.unwrap(wrapped, binding: try Sample.binding, Sample.call)
        return back.isEqual(to: Sample.material())
    }

    private func wrapped() async throws -> WrappedKey {
        try await cache.wrap(Sample.material(), binding: try Sample.binding, Sample.call)
    }

    @Test
    func freshKeysCostNoCalls() async throws {
        let wrapped = try await wrapped()
        for _ in 0..<1000 { #expect(try await unwraps(wrapped)) }
        #expect(scripted.calls == 2)
        clock.advance(by: .seconds(61))
        for _ in 0..<1000 { #expect(try await unwraps(wrapped)) }
        #expect(scripted.calls == 3)
    }

    @Test
    func anOutageIsOutlivedForTheirLifetimeAndNoLonger() async throws {
        let wrapped = try await wrapped()
        #expect(try await unwraps(wrapped))
        scripted.fail(.providerUnavailable)
        clock.advance(by: .seconds(599))
        #expect(try await unwraps(wrapped))
        clock.advance(by: .seconds(2))
        let error = try await Sample.failure { _ = try await unwraps(wrapped) }
        #expect(error.code == .providerUnavailable && cache.heldKeys == 0)
    }

    @Test
    func aRefusalDropsEverythingAtOnce() async throws {
        let wrapped = try await wrapped()
        #expect(try await unwraps(wrapped))
        scripted.fail(.providerDenied)
        _ = try await Sample.failure { _ = try await cache.describeKey(Sample.call) }
        #expect(cache.heldKeys == 0)
        let error = try await Sample.failure { _ = try await unwraps(wrapped) }
        #expect(error.code == .providerDenied)
    }

    @Test
    func whoMayNotTurnTheKeyMayUseItAllTheSame() async throws {
        let wrapped = try await wrapped()
        #expect(try await unwraps(wrapped))
        scripted.fail(.providerDenied)
        _ = try await Sample.failure { _ = try await cache.rotateKey(Sample.call) }
        #expect(try await unwraps(wrapped) && cache.heldKeys == 1)
    }

    @Test
    func aKeyThatIsOnItsWayIsNotKeptAfterARefusal() async throws {
        let wrapped = try await wrapped()
        scripted.whileUnwrapping { [scripted, cache] in
            scripted.fail(.providerDenied)
            _ = try? await cache.describeKey(Sample.call)
        }
        #expect(try await unwraps(wrapped), "the provider had let it go before")
        #expect(cache.heldKeys == 0)
        scripted.fail(.providerUnavailable)
        _ = try await Sample.failure { _ = try await unwraps(wrapped) }
    }

    @Test
    func aKeyIsAsOldAsTheQuestionForIt() async throws {
        let wrapped = try await wrapped()
        scripted.whileUnwrapping { [clock] in clock.advance(by: .seconds(50)) }
        #expect(try await unwraps(wrapped))
        clock.advance(by: .seconds(11))
        #expect(try await unwraps(wrapped))
        #expect(scripted.calls == 3, "it was asked for 61 s ago")
    }

    @Test
    func aKeyThatTheProviderDoesNotKnowIsForgottenAlone() async throws {
        let first = try await wrapped()
        let second = WrappedKey(ciphertext: first.ciphertext, providerKeyID: "k2")
        for wrapped in [first, second] { #expect(try await unwraps(wrapped)) }
        clock.advance(by: .seconds(61))
        scripted.fail(.providerKeyUnknown)
        _ = try await Sample.failure { _ = try await unwraps(first) }
        #expect(cache.heldKeys == 1)
        scripted.fail(.providerUnavailable)
        _ = try await Sample.failure { _ = try await unwraps(first) }
        #expect(try await unwraps(second))
    }

    @Test
    func anotherBindingIsAnotherKey() async throws {
        let wrapped = try await wrapped()
        #expect(try await unwraps(wrapped))
        let binding = try Sample.binding
        let other = WrapBinding(instance: "other", keyring: binding.keyring, key: binding.key)
        _ = try await cache.unwrap(wrapped, binding: other, Sample.call)
        #expect(scripted.calls == 3)
    }

    @Test
    func aNameThatWasLeftIsRefusedUnlessTheCallIsOlder() {
        var names = KeyNames()
        // In the fourth answer the old name comes late, from a call that is older than the turn.
        let answers: [(name: String, asked: Int, at: Int)] = [
            ("a", 0, 1), ("a", 1, 2), ("b", 3, 4), ("a", 3, 5), ("a", 5, 6), ("b", 6, 7),
        ]
        let taken = answers.map { names.take($0.name, asked: .seconds($0.asked), at: .seconds($0.at)) }
        #expect(taken == [true, true, true, true, false, true])
        let many = (0..<5000).map { names.take("\($0)", asked: .seconds(8), at: .seconds(9)) }
        #expect(many.allSatisfy { $0 })
    }

    @Test
    func theBreakerLetsFewCallsThrough() {
        var breaker = CircuitBreaker()
        var calls = 0
        var time = Duration.zero
        while time < .seconds(600) {
            let permit = breaker.request(at: time)
            if permit == .go || permit == .trial {
                calls += 1
                breaker.failed(at: time, inTrial: permit == .trial)
            }
            time += .milliseconds(100)
        }
        // Five to open it, then after 1, 2, 4, 8 and 16 s, then each 30 s.
        #expect(calls <= 30 && calls >= 20, "\(calls)")
        breaker.succeeded()
        let permit = breaker.request(at: time)
        #expect(permit == .go && !breaker.isOpen)
    }

    @Test
    func onlyATrialThatFailsLengthensThePause() {
        var breaker = CircuitBreaker()
        // Twenty calls were let through while it was closed; all of them fail late.
        for number in 0..<20 { breaker.failed(at: .milliseconds(number)) }
        #expect(breaker.request(at: .milliseconds(5)) == .wait(.milliseconds(999)))
        #expect(breaker.request(at: .seconds(2)) == .trial)
        breaker.failed(at: .seconds(2))
        #expect(breaker.request(at: .seconds(2)) == .wait(.seconds(1)), "the trial is still under way")
        breaker.failed(at: .seconds(3), inTrial: true)
        #expect(breaker.request(at: .seconds(3)) == .wait(.seconds(2)))
    }

    @Test
    func slownessDoesNotOpenTheBreaker() async throws {
        let guarded = GuardedProvider(scripted, name: try Sample.name)
        for _ in 0..<20 { _ = try await guarded.describeKey(Sample.call) }
        scripted.fail(.providerKeyUnknown)
        for _ in 0..<20 { _ = try await Sample.failure { _ = try await guarded.describeKey(Sample.call) } }
        #expect(!guarded.isKeptBack && guarded.figures["describe"]?.calls == 40)
        #expect(guarded.figures["describe"]?.failures == 20)
        scripted.fail(.providerUnavailable)
        for _ in 0..<20 { _ = try await Sample.failure { _ = try await guarded.describeKey(Sample.call) } }
        #expect(guarded.isKeptBack && scripted.calls == 45)
    }

    /// Whatever is served from memory was asked of nobody, and one task's calls are not another's.
    @Test
    func callsAreCountedBelowTheCacheAndForTheirTask() async throws {
        let guarded = GuardedProvider(scripted, name: try Sample.name)
        let cached = CachingProvider(guarded, lifetime: .seconds(600))
        let wrapped = try await cached.wrap(Sample.material(), binding: Sample.binding, Sample.call)
        let tally = CallTally()
        try await CallTally.$current.withValue(tally) {
            for _ in 0..<5 { _ = try await cached.unwrap(wrapped, binding: Sample.binding, Sample.call) }
            _ = try await cached.describeKey(Sample.call)
        }
        _ = try await cached.describeKey(Sample.call)
        #expect(tally.counts == [try Sample.name.description: ["unwrap": 1, "describe": 1]])
        #expect(guarded.takeCalls() == ["wrap": 1, "unwrap": 1, "describe": 2])
        #expect(guarded.takeCalls().isEmpty)
        #expect(guarded.figures["describe"]?.calls == 2, "what was taken is still shown")
    }

    @Test
    func aKeysTimesCrossTheWire() {
        let (end, renewal) = (Timestamp(milliseconds: 1_800_000_000_000), Timestamp(milliseconds: 1_790_000_000_000))
        let key = ProviderKey(id: "k", isUsable: true, summary: "s", endsAt: end, credentialsEndAt: renewal)
        #expect(ProviderKey(Keyturn_Provider_V1_Key(key)) == key)
        let silent = ProviderKey(id: "k", isUsable: true, summary: "s")
        #expect(ProviderKey(Keyturn_Provider_V1_Key(silent)) == silent)
    }

    @Test
    func pausesBetweenStartsGrow() {
        var policy = RestartPolicy()
        #expect(policy.decision(at: .zero, jitter: 0) == .start)
        var waits: [Duration] = []
        for _ in 0..<4 {
            policy.ended(at: .zero)
            if case .wait(let pause) = policy.decision(at: .zero, jitter: 0) { waits.append(pause) }
        }
        #expect(waits == [.milliseconds(100), .milliseconds(200), .milliseconds(400), .milliseconds(800)])
        policy.ended(at: .zero)
        #expect(policy.decision(at: .seconds(1), jitter: 0) == .leave)
        #expect(policy.decision(at: .seconds(601), jitter: 0) == .start)
    }

    @Test
    func keysThatBeginWithASlashAreHiddenAndPathsAreNot() {
        let keys = [
            "/BkYzE3ZTc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "/9j4AAQSkZJRgABAQEASABIAADf/2wBDAAMCAgMCAgMDAwM",
            "/0123456789abcdef0123456789abcdef0123456789abcdef", "//Qk2Zx81LmNvPq/RsTuVw9Xy+ZaBcDeFgHiJkLmNoPqRs",
        ]
        for key in keys {
            #expect(WireText.harmless("no key \(key) here") == "no key (\(key.utf8.count) characters hidden) here")
        }
        for path in [
            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2", "/var/lib/keyturn/instances/production/vault/root",
            "/tmp/1b4e28ba-2fa1-11d2-883f-0016d3cca427/socket",
        ] {
            #expect(WireText.harmless("no \(path)") == "no \(path)")
        }
    }

    @Test
    func linesAreCutEscapedThinnedOutAndWithoutKeys() {
        var drain = LineDrain()
        let key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
        let text = "<3>bad\u{1B}[2J\nkey \(key) end\n" + String(repeating: "y", count: 20_000) + "\n"
        let lines = drain.take(Array(text.utf8), at: .zero)
        #expect(lines.map(\.urgency) == [3, 6, 6])
        #expect(lines[0].text == "bad\\u{1b}[2J")
        #expect(lines[1].text == "key (44 characters hidden) end")
        #expect(lines[2].text.count <= 1100)
        let long = String(repeating: "word ", count: 196) + key + "\n"
        var other = LineDrain()
        let cut = other.take(Array(long.utf8), at: .zero)
        #expect(cut.map(\.text).allSatisfy { !$0.contains(key.prefix(8)) }, "\(cut)")
        let flood = drain.take(Array(String(repeating: "x\n", count: 1000).utf8), at: .milliseconds(500))
        #expect(flood.count == 97 && drain.dropped == 903)
        let again = drain.take(Array("again\n".utf8), at: .seconds(1))
        #expect(again.count == 1)
    }
}
