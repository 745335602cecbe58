internal import KeyModel
public import PluginKit

/// Checks that a key provider keeps what ``KeyProvider`` promises.
///
/// The provider must be set up with a key that can wrap. Every check makes its own material; what a
/// provider stores of its own accord stays there, as do the new keys that it is asked to make.
public struct ProviderConformance: Sendable {
    /// A claim, and what tries it.
    typealias Check = (name: String, body: () async throws -> Void)

    let provider: any KeyProvider
    let binding: WrapBinding
    let turnsKeys: Bool

    private let deadline: Duration
    private let tellsUnknownKeys: Bool
    /// Tells this run's requests from those of another.
    private let marker = String(UInt64.random(in: 0...UInt64.max), radix: 16)

    /// Makes a suite.
    ///
    /// - Parameters:
    ///   - provider: The provider to check.
    ///   - binding: What the keys of the suite are bound to.
    ///   - deadline: The time that each call is allowed.
    ///   - tellsUnknownKeys: Whether a wrap by an unknown key must be refused with `providerKeyUnknown`; false where the
    ///     provider's own wire cannot tell, as with KMS v2, and any refusal will do.
    ///   - turnsKeys: Whether a provider that can is asked for new keys, which stay where its keys are held.
    public init(
        _ provider: any KeyProvider, binding: WrapBinding, deadline: Duration = .seconds(30),
        tellsUnknownKeys: Bool = true, turnsKeys: Bool = true
    ) {
        self.provider = provider
        self.binding = binding
        self.deadline = deadline
        self.tellsUnknownKeys = tellsUnknownKeys
        self.turnsKeys = turnsKeys
    }

    /// Runs every check, whatever the others give, in a fixed order.
    public func run() async -> [ConformanceResult] {
        var results: [ConformanceResult] = []
        for (name, body) in checks + keyChecks(await abilities()) { results.append(await check(name, body)) }
        return results
    }

    private var checks: [Check] {
        [
            ("it says what it is", saysWhatItIs),
            ("it describes a key that can wrap", describesKey),
            ("its own test passes", ownTestPasses),
            ("keys of 1, 32 and 256 bytes come back", roundTrips),
            ("material of 0 and of 257 bytes is refused", wrongSizes),
            ("a wrap does not unwrap for another binding", bindings),
            ("no wrap with a flipped byte unwraps", flippedBytes),
            ("no truncated or empty wrap unwraps", truncations),
            ("a wrap of 100 KiB does not unwrap", longWraps),
            ("a wrap by an unknown key is refused as such", unknownKey),
            ("it names the same key each time", stableKey),
            ("two wraps of one key differ, and neither shows it", wrapsDiffer),
            ("a repeated call is answered", repetition),
            ("32 calls at once do not mix", concurrency),
            ("names of 255 bytes and of other alphabets can be bound to", longBindings),
            ("a wrap without its annotations does not unwrap", annotations),
        ]
    }

    private func saysWhatItIs() async throws {
        let info = try await provider.info()
        try require(!info.kind.isEmpty && !info.version.isEmpty, "kind or version is empty")
    }

    private func describesKey() async throws {
        let key = try await provider.describeKey(call("describe"))
        try require(key.isUsable, "the key cannot wrap: \(key.summary)")
        try require(!key.id.isEmpty, "the key has no name")
        let wrapped = try await wrap(32, "describe-wrap")
        try require(wrapped.providerKeyID == key.id, "another key wraps than the one described")
    }

    private func ownTestPasses() async throws {
        let lines = try await provider.test(call("test"))
        try require(!lines.isEmpty, "it tried nothing")
        for line in lines { try require(line.outcome != .fail, "\(line.name): \(line.remark)") }
    }

    private func roundTrips() async throws {
        for count in [1, 32, 256] {
            let wrapped = try await wrap(count, "round-\(count)")
            try require(wrapped.ciphertext.count <= 65_536, "a wrap has more than 64 KiB")
            let back = try await provider.unwrap(wrapped, binding: binding, call("round-\(count)-back"))
            try require(back.isEqual(to: Self.material(count)), "\(count) bytes come back as others")
        }
    }

    private func wrongSizes() async throws {
        for count in [0, 257] {
            try await refused("\(count) bytes") { _ = try await wrap(count, "size-\(count)") }
        }
    }

    private func bindings() async throws {
        let wrapped = try await wrap(32, "binding")
        let key = KeyID(binding.key.rawValue ^ 1) ?? KeyID(binding.key.rawValue ^ 2) ?? binding.key
        let others = [
            WrapBinding(instance: binding.instance + "x", keyring: binding.keyring, key: binding.key),
            WrapBinding(instance: binding.instance, keyring: try Name(otherName), key: binding.key),
            WrapBinding(instance: binding.instance, keyring: binding.keyring, key: key),
        ]
        for (index, other) in others.enumerated() {
            try await refused("binding \(index)", as: .dataNotAuthentic) {
                _ = try await provider.unwrap(wrapped, binding: other, call("binding-\(index)"))
            }
        }
    }

    private func flippedBytes() async throws {
        let wrapped = try await wrap(32, "flip")
        for index in wrapped.ciphertext.indices {
            var changed = wrapped.ciphertext
            changed[index] ^= 0x80
            try await refuse(changed, of: wrapped, "byte \(index) flipped: it")
        }
    }

    private func truncations() async throws {
        let wrapped = try await wrap(32, "cut")
        for count in wrapped.ciphertext.indices {
            try await refuse(Bytes(wrapped.ciphertext[..<count]), of: wrapped, "cut to \(count) bytes: it")
        }
        try await refuse(wrapped.ciphertext + [0], of: wrapped, "lengthened: it")
    }

    private func longWraps() async throws {
        let wrapped = try await wrap(32, "long")
        let room = Bytes(repeating: 0, count: 100 << 10)
        try await refuse(wrapped.ciphertext + room, of: wrapped, "lengthened by 100 KiB: it")
        try await refuse(room, of: wrapped, "100 KiB of zeros: it")
    }

    private func unknownKey() async throws {
        let wrapped = try await wrap(32, "unknown")
        let foreign = WrappedKey(
            ciphertext: wrapped.ciphertext, providerKeyID: "no-such-key", annotations: wrapped.annotations)
        try await refused("it", as: tellsUnknownKeys ? .providerKeyUnknown : nil) {
            _ = try await provider.unwrap(foreign, binding: binding, call("unknown-back"))
        }
    }
}

/// Cases beyond a single wrapped key.
extension ProviderConformance {
    private func stableKey() async throws {
        var ids: Set<String> = []
        for index in 0..<5 {
            ids.insert(try await provider.describeKey(call("stable-\(index)")).id)
            ids.insert(try await wrap(32, "stable-wrap-\(index)").providerKeyID)
        }
        try require(ids.count == 1, "five looks and five wraps give \(ids.count) names")
    }

    private func wrapsDiffer() async throws {
        let (first, second) = (try await wrap(32, "differ-1"), try await wrap(32, "differ-2"))
        try require(first.ciphertext != second.ciphertext, "both are the same \(first.ciphertext.count) bytes")
        let secret = Self.material(32).withExposedBytes { Bytes($0) }
        for wrapped in [first, second] {
            let parts = [wrapped.ciphertext, Bytes(wrapped.providerKeyID.utf8)] + wrapped.annotations.values
            try require(!parts.contains { Self.holds($0, secret) }, "a wrap holds the key in clear")
        }
    }

    private func repetition() async throws {
        for _ in 0..<2 {
            let wrapped = try await wrap(32, "again")
            let back = try await provider.unwrap(wrapped, binding: binding, call("again-back"))
            try require(back.isEqual(to: Self.material(32)), "the repeated wrap holds another key")
        }
    }

    private func concurrency() async throws {
        let good = await withTaskGroup(of: Bool.self, returning: Int.self) { group in
            for index in 1...32 { group.addTask { await roundTrip(of: index * 7) } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        try require(good == 32, "\(32 - good) of 32 fail or come back as others")
    }

    private func roundTrip(of count: Int) async -> Bool {
        do {
            let wrapped = try await wrap(count, "at-once-\(count)")
            let back = try await provider.unwrap(wrapped, binding: binding, call("at-once-\(count)-back"))
            return back.isEqual(to: Self.material(count))
        } catch {
            return false
        }
    }

    private func longBindings() async throws {
        let names = [String(repeating: "x", count: 255), "ключ-鍵-🔑"]
        for instance in names {
            let far = WrapBinding(
                instance: instance, keyring: try Name("a" + String(repeating: "z", count: 62)), key: binding.key)
            let wrapped = try await provider.wrap(Self.material(32), binding: far, call("far"))
            let back = try await provider.unwrap(wrapped, binding: far, call("far-back"))
            try require(back.isEqual(to: Self.material(32)), "the key comes back as another")
        }
    }

    private func annotations() async throws {
        let wrapped = try await wrap(32, "annotations")
        guard !wrapped.annotations.isEmpty else { return }
        let bare = WrappedKey(ciphertext: wrapped.ciphertext, providerKeyID: wrapped.providerKeyID)
        try await refused("it") { _ = try await provider.unwrap(bare, binding: binding, call("annotations-back")) }
    }

    private static func holds(_ bytes: Bytes, _ secret: Bytes) -> Bool {
        guard bytes.count >= secret.count else { return false }
        return (0...(bytes.count - secret.count)).contains { bytes[$0..<($0 + secret.count)].elementsEqual(secret) }
    }
}

extension ProviderConformance {
    private var otherName: String { binding.keyring.description == "other" ? "another" : "other" }

    func call(_ what: String) -> ProviderCall {
        ProviderCall(deadline: deadline, idempotencyKey: "conformance-\(marker)-\(what)")
    }

    static func material(_ count: Int) -> SecretBytes {
        SecretBytes(copying: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) })
    }

    func wrap(_ count: Int, _ what: String) async throws -> WrappedKey {
        let material = Self.material(count)
        return try await provider.wrap(material, binding: binding, call(what))
    }

    private func refuse(_ ciphertext: Bytes, of wrapped: WrappedKey, _ what: String) async throws {
        let changed = WrappedKey(
            ciphertext: ciphertext, providerKeyID: wrapped.providerKeyID, annotations: wrapped.annotations)
        try await refused(what) { _ = try await provider.unwrap(changed, binding: binding, call("refuse")) }
    }

    func refused(_ what: String, as code: ProviderError.Code? = nil, _ body: () async throws -> Void)
        async throws
    {
        do {
            try await body()
        } catch let error as ProviderError {
            let isRight = code == nil || error.code == code
            return try require(isRight, "\(what) gives \(error.code.rawValue), not \(code?.rawValue ?? "")")
        }
        throw Broken("\(what) is not refused")
    }

    private func check(_ name: String, _ body: () async throws -> Void) async -> ConformanceResult {
        do {
            try await body()
            return ConformanceResult(name: name, failure: nil)
        } catch let broken as Broken {
            return ConformanceResult(name: name, failure: broken.reason)
        } catch let error as ProviderError {
            return ConformanceResult(name: name, failure: "\(error.code.rawValue): \(error.message)")
        } catch {
            return ConformanceResult(name: name, failure: "\(error)")
        }
    }
}
