internal import KeyModel
internal import LibCrypto
internal import PluginKit

/// How the 32 bytes of a Fernet key come from what an application keeps.
enum FernetDerivation: Equatable {
    /// The application keeps the key itself, 44 characters of base64url (Airflow, Langflow, …).
    case none
    /// HKDF-SHA256 of a secret (django-fernet-fields).
    case djangoFernetFields
    /// PBKDF2 of SECRET_KEY with SALT_KEY (django-fernet-encrypted-fields).
    case djangoFernetEncryptedFields(salt: Bytes)
    /// SHA-256 of a secret (SQLAlchemy-Utils, Redash).
    case sqlalchemyUtils

    static let keyCount = 32
    static let names = ["none", "django-fernet-fields", "django-fernet-encrypted-fields", "sqlalchemy-utils"]
    private static let rounds: Int32 = 100_000

    /// Reads the options `derivation` and `salt`.
    init(_ options: CoreOptions) throws(CoreError) {
        if let name = options.keys.filter({ $0 != "derivation" && $0 != "salt" }).min() {
            throw CoreError(
                .callerOptionUnknown, "fernet has no option \(quoted(name))",
                hint: "It has \"derivation\" and \"salt\".")
        }
        let name = options["derivation"] ?? "none"
        switch name {
        case "none": self = .none
        case "django-fernet-fields": self = .djangoFernetFields
        case "django-fernet-encrypted-fields":
            guard let salt = options["salt"], !salt.isEmpty else {
                throw CoreError(
                    .callerOptionUnknown, "fernet's derivation \"\(name)\" needs the option \"salt\"",
                    hint: "Give the application's SALT_KEY.")
            }
            self = .djangoFernetEncryptedFields(salt: Bytes(salt.utf8))
        case "sqlalchemy-utils": self = .sqlalchemyUtils
        default:
            throw CoreError(
                .callerOptionUnknown, "fernet has no derivation \(quoted(name))",
                hint: "Use one of \(Self.names.joined(separator: ", ")).")
        }
        if options["salt"] != nil, name != "django-fernet-encrypted-fields" {
            throw CoreError(
                .callerOptionUnknown, "fernet's derivation \"\(name)\" takes no salt", hint: "Remove \"salt\".")
        }
    }

    /// Whether the application keeps the key itself.
    var isDirect: Bool { self == .none }

    /// Derives the key: the first half signs, the second encrypts.
    func key(from material: UnsafeRawBufferPointer) throws(CoreError) -> SecretBytes {
        try SecretBytes(count: Self.keyCount) { key throws(CoreError) in
            guard let base = key.baseAddress else { return }
            switch self {
            case .none:
                guard FernetKeyText.decode(material, into: key) else { throw Self.malformed(material.count) }
            case .djangoFernetFields:
                try Self.deriveByHKDF(material, into: base)
            case .djangoFernetEncryptedFields(let salt):
                guard KeyDerivation.pbkdf2SHA256(secret: material, salt: salt, rounds: Self.rounds, into: key) else {
                    throw CoreError(.internalCipherFailed, "cannot derive a fernet key: libcrypto refused PBKDF2")
                }
            case .sqlalchemyUtils:
                KeyDerivation.hash(.sha256, material, into: base)
            }
        }
    }

    static func malformed(_ count: Int) -> CoreError {
        CoreError(
            .callerKeyMalformed, "cannot use a fernet key: \(count) bytes that do not stand for a 32-byte key",
            hint: "Give the 44 characters of base64url that the application keeps, or name its derivation."
        )
    }

    private static func deriveByHKDF(
        _ secret: UnsafeRawBufferPointer, into key: UnsafeMutableRawPointer
    ) throws(CoreError) {
        let root = SecretBytes(count: Digest.sha256.size) { memory in
            guard let base = memory.baseAddress else { return }
            KeyDerivation.extract(
                .sha256, salt: Bytes("django-fernet-fields-hkdf-salt".utf8), material: secret, into: base)
        }
        root.withExposedBytes {
            KeyDerivation.expand(.sha256, key: $0, info: Bytes("django-fernet-fields".utf8), into: key)
        }
    }
}

/// The text of a Fernet key: base64url of 32 bytes.
enum FernetKeyText {
    /// Reads a key as Python's library does: either alphabet, spare bits ignored; the padding may
    /// be missing.
    ///
    /// Raw keys of 32 bytes are read as well.
    static func decode(_ text: UnsafeRawBufferPointer, into key: UnsafeMutableRawBufferPointer) -> Bool {
        if text.count == key.count {
            key.copyMemory(from: text)
            return true
        }
        guard text.count == 43 || (text.count == 44 && text[43] == UInt8(ascii: "=")) else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 96, alignment: 16) { memory in
            defer { erase(memory) }
            let canonical = UnsafeMutableRawBufferPointer(rebasing: memory[..<43])
            let decoded = UnsafeMutableRawBufferPointer(rebasing: memory[48...])
            for index in 0..<43 { canonical[index] = urlDigit(text[index]) }
            canonical[42] = withoutSpareBits(canonical[42])
            let count = Base64.decode(
                UnsafeRawBufferPointer(canonical), alphabet: .url, padding: .unpadded, into: decoded)
            guard count == key.count else { return false }
            key.copyMemory(from: UnsafeRawBufferPointer(rebasing: decoded[..<key.count]))
            return true
        }
    }

    private static func urlDigit(_ digit: UInt8) -> UInt8 {
        switch digit {
        case UInt8(ascii: "+"): UInt8(ascii: "-")
        case UInt8(ascii: "/"): UInt8(ascii: "_")
        default: digit
        }
    }

    /// The last of 43 digits has two bits to spare; people who type keys by hand set them.
    private static func withoutSpareBits(_ digit: UInt8) -> UInt8 {
        let digits = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        guard let value = digits.firstIndex(of: digit) else { return digit }
        return digits[value & ~3]
    }
}
