public import KeyModel
internal import LibCrypto
public import PluginKit

/// Keyturn's own format: AES-256-GCM under a key derived for each message, bound to its place and
/// committing to its key.
///
/// The layout is in `docs/formats/kr1.md`. A value costs one HMAC-SHA512 and one AES-256-GCM pass
/// each way.
public final class KR1: EncryptionCore {
    let keys: [KeyID: KR1Key]
    let pool: WorkspacePool<KR1Workspace>

    /// What the core is and promises.
    ///
    /// The seal limit is where random 128-bit salts repeat with probability 2⁻³³ under one key and
    /// one context, which is the bound that SP 800-38D sets for nonces; with row context the count
    /// is per row and never reached.
    public static let descriptor = CoreDescriptor(
        name: "kr1", summary: "Keyturn's own format: AES-256-GCM, bound to its place, committing to its key",
        isAuthenticated: true, isCommitting: true, keyID: .exact, bindings: Set(ValueContext.Scheme.allCases),
        determinism: .optional, sealLimit: 1 << 48, materialSizes: 32...32, materialSize: 32,
        attributes: [.text]
    )

    /// Derives what each version needs; there are no options.
    ///
    /// - Throws: ``CoreError`` with `callerOptionUnknown`, `callerKeyMalformed` or `internalCipherFailed`.
    public init(options: CoreOptions, keys: [KeyMaterial]) throws(CoreError) {
        try Self.refuse(options)
        var derived: [KeyID: KR1Key] = [:]
        for material in keys {
            guard material.count == KR1Key.materialCount else {
                throw CoreError(
                    .callerKeyMalformed, "cannot use key \(material.id): it has \(material.count) bytes, not 32")
            }
            guard derived.updateValue(KR1Key(material), forKey: material.id) == nil else {
                throw CoreError(.callerKeyMalformed, "cannot use key \(material.id): it was given twice")
            }
        }
        guard let pool = WorkspacePool(KR1Workspace.init) else {
            throw CoreError(.internalCipherFailed, "cannot set up kr1: libcrypto offers no AES-256-GCM")
        }
        self.keys = derived
        self.pool = pool
    }

    /// Tells what a value looks like; what begins like KR1 but is broken is foreign, never
    /// plaintext.
    public func inspect(_ value: StoredValue) -> Inspection {
        switch value {
        case .null: return .null
        case .other: return .plaintext
        case .text(let bytes), .blob(let bytes):
            if bytes.isEmpty { return .empty }
            if let key = inspectedKey(of: value) { return .mine(.exact(key)) }
            return SealedShape.recognised(in: value) == nil ? .plaintext : .foreign
        }
    }

    /// The longest stored form: 72 bytes more than the plaintext, or 13 characters and the
    /// base64url of 67 more.
    public func maximumStoredLength(plaintextBytes: Int, form: ValueForm) -> Int {
        let count = plaintextBytes + KR1Layout.overhead
        return form == .blob ? count : KR1TextForm.count(ofValue: count)
    }

    /// The eight bytes that a binary value begins with, of which flags and scheme may differ, or
    /// `kr1.`, the id and a dot.
    public func mark(of key: KeyID, form: ValueForm) -> [UInt8?]? {
        switch form {
        case .text: KR1TextForm.head(of: key)
        case .blob:
            [KR1Layout.magic, KR1Layout.suite, nil, nil] + withUnsafeBytes(of: key.rawValue.bigEndian) { Bytes($0) }
        }
    }

    /// Refuses every option.
    static func refuse(_ options: CoreOptions) throws(CoreError) {
        guard let name = options.keys.min() else { return }
        throw CoreError(
            .callerOptionUnknown, "kr1 has no option \(quoted(name))", hint: "Remove it; kr1 takes no options.")
    }

    private func inspectedKey(of value: StoredValue) -> KeyID? {
        switch value {
        case .blob(let bytes): bytes.withUnsafeBytes { KR1Head($0)?.key }
        case .text(let bytes): KR1TextForm.inspectedKey(of: bytes)
        case .null, .other: nil
        }
    }
}
