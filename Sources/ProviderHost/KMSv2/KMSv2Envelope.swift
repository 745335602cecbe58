internal import KR1
internal import KeyModel
internal import LibCrypto
internal import PluginKit

/// The form of a key that is wrapped through KMS v2, which itself knows no context: a seed is wrapped by the plugin, and the
/// key is sealed under the seed, bound to its place and to the plugin's key.
///
/// | bytes | what |
/// |---|---|
/// | 1 | 01 |
/// | 2 | n, big-endian, 1…1024 |
/// | n | the seed as the plugin wrapped it, byte for byte |
/// | rest | the key as a KR1 value under the seed |
struct KMSv2Envelope {
    /// The seed's size in bytes.
    static let seedSize = 32
    /// The most bytes that KMS v2 allows for a wrapped seed.
    static let maximumWrappedSeed = 1024

    private static let form: UInt8 = 1

    /// The seed as the plugin wrapped it.
    let wrappedSeed: Bytes
    /// The key under the seed.
    let sealedKey: Bytes

    /// The bytes.
    var bytes: Bytes {
        [Self.form, UInt8(wrappedSeed.count >> 8), UInt8(wrappedSeed.count & 0xFF)] + wrappedSeed + sealedKey
    }

    /// Reads an envelope.
    init?(_ bytes: Bytes) {
        guard bytes.count > 3, bytes[0] == Self.form else { return nil }
        let count = Int(bytes[1]) << 8 | Int(bytes[2])
        guard (1...Self.maximumWrappedSeed).contains(count), bytes.count > 3 + count else { return nil }
        wrappedSeed = Bytes(bytes[3..<(3 + count)])
        sealedKey = Bytes(bytes[(3 + count)...])
    }

    /// Seals a key under a seed.
    init?(
        sealing material: borrowing SecretBytes, under seed: KeyMaterial, wrappedSeed: Bytes, context: ValueContext
    ) {
        guard let core = try? KR1(options: [:], keys: [seed]) else { return nil }
        var plaintext = material.withExposedBytes { Bytes($0) }
        defer { plaintext.withUnsafeMutableBytes { LibCrypto.erase($0) } }
        let results = core.seal([PlainItem(plaintext, context: context, form: .blob)], with: seed.id)
        guard case .success(.blob(let sealed)) = results.first else { return nil }
        self.wrappedSeed = wrappedSeed
        sealedKey = sealed
    }

    /// Opens the key; nil where it was changed, moved, or sealed under another seed.
    func open(with seed: KeyMaterial, context: ValueContext) -> SecretBytes? {
        guard let core = try? KR1(options: [:], keys: [seed]) else { return nil }
        var plaintext = Self.plaintext(core.open([SealedItem(.blob(sealedKey), context: context)]))
        defer { plaintext.withUnsafeMutableBytes { LibCrypto.erase($0) } }
        guard KeyMaterial.sizes.contains(plaintext.count) else { return nil }
        return SecretBytes(copying: plaintext)
    }

    /// What a key is bound to.
    static func context(of binding: WrapBinding, provider: Name, keyID: String) -> ValueContext {
        let parts = [
            "keyturn kms-v2 wrap", provider.description, keyID, binding.instance, binding.keyring.description,
            binding.key.description,
        ]
        return .caller(parts.map { Bytes($0.utf8) })
    }

    /// The one plaintext, or nothing; the results are given up here so that the caller holds the only copy.
    private static func plaintext(_ results: consuming [Result<OpenedValue, OpenFailure>]) -> Bytes {
        guard case .success(let opened) = results.first else { return [] }
        return opened.plaintext
    }
}
