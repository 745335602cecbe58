internal import KeyModel
public import PluginKit

/// Checks that a key provider keeps what ``KeyProvider`` promises.
///
/// The provider must be set up with a key that can wrap. Every check makes its own material; what a
/// provider stores of its own accord stays there.
public struct ProviderConformance: Sendable {
    private let provider: any KeyProvider
    private let deadline: Duration
    private let binding: WrapBinding

    /// Makes a suite.
    ///
    /// - Parameters:
    ///   - provider: The provider to check.
    ///   - binding: What the keys of the suite are bound to.
    ///   - deadline: The time that each call is allowed.
    public init(_ provider: any KeyProvider, binding: WrapBinding, deadline: Duration = .seconds(30)) {
        self.provider = provider
        self.binding = binding
        self.deadline = deadline
    }

    /// Runs every check, whatever the others give, in a fixed order.
    public func run() async -> [ConformanceResult] {
        [
            await check("it says what it is", saysWhatItIs),
            await check("it describes a key that can wrap", describesKey),
            await check("its own test passes", ownTestPasses),
            await check("keys of 1, 32 and 256 bytes come back", roundTrips),
            await check("material of 0 and of 257 bytes is refused", wrongSizes),
            await check("a wrap does not unwrap for another binding", bindings),
            await check("no wrap with a flipped byte unwraps", flippedBytes),
            await check("no truncated or empty wrap unwraps", truncations),
            await check("a wrap by an unknown key is refused as such", unknownKey),
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

    private func unknownKey() async throws {
        let wrapped = try await wrap(32, "unknown")
        let foreign = WrappedKey(
            ciphertext: wrapped.ciphertext, providerKeyID: "no-such-key", annotations: wrapped.annotations)
        try await refused("it", as: .providerKeyUnknown) {
            _ = try await provider.unwrap(foreign, binding: binding, call("unknown-back"))
        }
    }
}

extension ProviderConformance {
    private var otherName: String { binding.keyring.description == "other" ? "another" : "other" }

    private func call(_ what: String) -> ProviderCall {
        ProviderCall(deadline: deadline, idempotencyKey: "conformance-\(what)")
    }

    private static func material(_ count: Int) -> SecretBytes {
        SecretBytes(copying: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) })
    }

    private func wrap(_ count: Int, _ what: String) async throws -> WrappedKey {
        let material = Self.material(count)
        return try await provider.wrap(material, binding: binding, call(what))
    }

    private func refuse(_ ciphertext: Bytes, of wrapped: WrappedKey, _ what: String) async throws {
        let changed = WrappedKey(
            ciphertext: ciphertext, providerKeyID: wrapped.providerKeyID, annotations: wrapped.annotations)
        try await refused(what) { _ = try await provider.unwrap(changed, binding: binding, call("refuse")) }
    }

    private func refused(_ what: String, as code: ProviderError.Code? = nil, _ body: () async throws -> Void)
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
