public import KeyModel
internal import LibCrypto
public import PluginKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// Fernet tokens, the format of Python's `cryptography`: AES-128-CBC and HMAC-SHA256, with the ways
/// applications derive keys.
///
/// The layout is in `docs/formats/fernet.md`. A token names no key, so the versions are tried in
/// order. A token keeps its timestamp when it is sealed anew, as `MultiFernet.rotate` does; its age
/// is never looked at.
public final class Fernet: EncryptionCore {
    let keys: [FernetKey]
    let pool: WorkspacePool<FernetWorkspace>
    let clock: @Sendable () -> UInt64

    /// What the core is and promises.
    ///
    /// Not committing: two keys made on purpose with the same signing half open the same token. The
    /// seal limit is 2⁴⁰ values: at up to 2⁸ blocks (4 KiB) each, two of their 2⁴⁸ CBC blocks are
    /// equal with probability 2⁻³³.
    public static let descriptor = CoreDescriptor(
        name: "fernet", summary: "Fernet tokens of Python's cryptography: Airflow, Redash, Django fields",
        isAuthenticated: true, isCommitting: false, keyID: .none, bindings: [.none], determinism: .never,
        sealLimit: 1 << 40, materialSizes: 1...256, materialSize: 44, attributes: [.timestamp],
        options: ["derivation", "salt"]
    )

    /// Derives the working keys; a derivation by PBKDF2 takes some 30 ms a key.
    ///
    /// - Throws: ``CoreError`` with `callerOptionUnknown`, `callerKeyMalformed` or `internalCipherFailed`.
    public convenience init(options: CoreOptions, keys: [KeyMaterial]) throws(CoreError) {
        try self.init(options: options, keys: keys) { UInt64(clamping: time(nil)) }
    }

    /// Derives the working keys, and takes the time of new tokens from a clock that counts seconds
    /// since 1970.
    package init(
        options: CoreOptions, keys: [KeyMaterial], clock: @escaping @Sendable () -> UInt64
    ) throws(CoreError) {
        let derivation = try FernetDerivation(options)
        var derived: [FernetKey] = []
        for material in keys {
            guard !derived.contains(where: { $0.id == material.id }) else {
                throw CoreError(.callerKeyMalformed, "cannot use key \(material.id): it was given twice")
            }
            derived.append(try FernetKey(material, derivation: derivation))
        }
        guard let pool = WorkspacePool(FernetWorkspace.init) else {
            throw CoreError(.internalCipherFailed, "cannot set up fernet: libcrypto offers no AES-128-CBC")
        }
        self.keys = derived
        self.pool = pool
        self.clock = clock
    }

    /// Tells what a value looks like; what begins like a token but is broken is foreign, never
    /// plaintext.
    public func inspect(_ value: StoredValue) -> Inspection {
        switch value {
        case .null: return .null
        case .other: return .plaintext
        case .text(let bytes), .blob(let bytes):
            if bytes.isEmpty { return .empty }
            if FernetToken.bytes(of: bytes) != nil { return .mine(.none) }
            return SealedShape.recognised(in: value) == nil ? .plaintext : .foreign
        }
    }

    /// The length of a token: base64url of 57 bytes and the plaintext padded to the next block of
    /// 16.
    public func maximumStoredLength(plaintextBytes: Int, form: ValueForm) -> Int {
        FernetToken.textCount(ofPlaintext: plaintextBytes)
    }

    /// Nil: a token does not name its key.
    public func mark(of key: KeyID, form: ValueForm) -> [UInt8?]? { nil }
}
