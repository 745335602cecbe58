package import KeyModel
internal import LibCrypto
package import PluginKit

/// The generations of the built-in root key, oldest first; never empty.
package struct RootKey: Sendable {
    /// One key that wraps or has wrapped; its number never changes and is never used again.
    package struct Generation: Sendable {
        /// Counted from 1 up.
        package let number: UInt32
        /// When it was drawn.
        package let createdAt: Timestamp
        /// The key, 32 bytes, under its number as key id.
        package let material: KeyMaterial
        /// Sixteen bytes that tell it from every other key and say nothing of it, as 32 hexadecimal digits.
        package let fingerprint: String

        /// How many bytes the key has.
        static let size = 32

        /// The name that wrapped keys carry, `local:<number>:<fingerprint>`.
        package var providerKeyID: String { "local:\(number):\(fingerprint)" }
    }

    /// The generations, by number.
    package let generations: [Generation]
    /// The one that wraps.
    package let newest: Generation

    /// The highest number is left unused, so that the next one always exists.
    static let numbers: ClosedRange<UInt32> = 1...(.max - 1)

    /// Makes a root key of generations whose numbers rise; nil without any.
    init?(_ generations: [Generation]) {
        guard let last = generations.last else { return nil }
        self.generations = generations
        newest = last
    }

    /// The generation with this number, if it is held.
    package subscript(number: UInt32) -> Generation? { generations.first { $0.number == number } }

    /// This root key with one more generation, drawn now.
    ///
    /// - Throws: `ProviderError` with `providerUnavailable` where the system gives no random bytes.
    func appendingGeneration(at time: Timestamp) throws(ProviderError) -> RootKey {
        guard newest.number < Self.numbers.upperBound else {
            throw ProviderError(.providerMisconfigured, "cannot add a generation to the root key: all numbers are used")
        }
        let next = try Generation(drawing: newest.number + 1, at: time)
        return RootKey(generations: generations + [next], newest: next)
    }

    /// This root key without some of its generations; the newest always stays.
    func dropping(_ numbers: Set<UInt32>) -> RootKey {
        let kept = generations.filter { $0.number == newest.number || !numbers.contains($0.number) }
        return RootKey(generations: kept, newest: newest)
    }

    /// A root key of one generation, drawn now.
    ///
    /// - Throws: `ProviderError` with `providerUnavailable` where the system gives no random bytes.
    static func drawn(at time: Timestamp) throws(ProviderError) -> RootKey {
        let first = try Generation(drawing: numbers.lowerBound, at: time)
        return RootKey(generations: [first], newest: first)
    }

    private init(generations: [Generation], newest: Generation) {
        self.generations = generations
        self.newest = newest
    }
}

extension RootKey.Generation {
    /// Takes over a key that was read; nil for number 0.
    init?(number: UInt32, createdAt: Timestamp, secret: consuming SecretBytes) {
        guard let id = KeyID(number) else { return nil }
        self.number = number
        self.createdAt = createdAt
        material = KeyMaterial(id: id, secret: secret)
        fingerprint = hexadecimal(material.derived(label: "keyturn root key fingerprint 1").prefix(16))
    }

    fileprivate init(drawing number: UInt32, at time: Timestamp) throws(ProviderError) {
        let secret = try SecretBytes(count: Self.size) { buffer throws(ProviderError) in
            guard fillWithRandomBytes(buffer) else {
                throw ProviderError(.providerUnavailable, "cannot draw a root key: the system gives no random bytes")
            }
        }
        guard let generation = Self(number: number, createdAt: time, secret: secret) else {
            throw ProviderError(.providerMisconfigured, "cannot draw generation 0 of a root key")
        }
        self = generation
    }

    /// What stands at the end of the generation's line: any change to the line, its key among it, changes this.
    var checksum: String {
        let label = "keyturn root key line 1\u{0}\(number) \(createdAt)"
        return hexadecimal(material.derived(label: label).prefix(8))
    }
}

extension KeyMaterial {
    /// HKDF-Expand (RFC 5869 §2.3) under the key: 32 bytes that belong to this label alone and lead back to nothing.
    fileprivate func derived(label: String) -> Bytes {
        withExposedBytes { key in
            Bytes(unsafeUninitializedCapacity: Digest.sha256.size) { output, count in
                guard let base = output.baseAddress else { return }
                KeyDerivation.expand(.sha256, key: key, info: Bytes(label.utf8), into: base)
                count = Digest.sha256.size
            }
        }
    }
}

private func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}
