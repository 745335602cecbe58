/// The looks of well-known sealed formats, by which a core tells another core's value from
/// plaintext.
///
/// A shape is a resemblance, not a proof: what has one is never treated as plaintext, and nothing
/// more follows from it. Broken values keep their shape, so that a truncated token is not sealed a
/// second time as if it were plaintext.
public enum SealedShape: String, CaseIterable, Sendable {
    /// KR1, either form.
    case kr1
    /// A Fernet token, with or without Sentry's prefix.
    case fernet
    /// Vault's or OpenBao's transit engine.
    case vaultTransit
    /// ASP.NET Core Data Protection.
    case dataProtection
    /// Laravel's Crypt.
    case laravel
    /// Rails Active Record Encryption.
    case rails
    /// OpenPGP, as pgcrypto writes it, binary or armoured.
    case pgp
    /// age, binary or armoured.
    case age
    /// SOPS.
    case sops
    /// JWE in its compact form.
    case jwe

    /// Tells which shape a value has; nil where it resembles none of them.
    ///
    /// Reads the beginning of the value, and all of it only where that could be a Fernet token, a
    /// JWE or Rails' JSON.
    public static func recognised(in value: StoredValue) -> SealedShape? {
        guard let bytes = value.bytes else { return nil }
        return allCases.first { $0.matches(bytes) }
    }

    private func matches(_ bytes: Bytes) -> Bool {
        switch self {
        case .kr1: bytes.first == 0xF9 || Self.isNativeText(bytes)
        case .fernet: Self.isFernet(bytes)
        case .vaultTransit: Self.begins(bytes, "vault:v") && bytes.count > 7 && Self.isDecimal(bytes[7])
        case .dataProtection: Self.begins(bytes, "CfDJ8") || bytes.starts(with: [0x09, 0xF0, 0xC9, 0xF0])
        case .laravel: Self.begins(bytes, "eyJpdiI6")
        case .rails: Self.begins(bytes, "{\"p\":\"") && Self.contains(bytes, "\"h\":{")
        case .pgp: Self.begins(bytes, "-----BEGIN PGP MESSAGE-----") || Self.isSymmetricPGP(bytes)
        case .age:
            Self.begins(bytes, "age-encryption.org/v") || Self.begins(bytes, "-----BEGIN AGE ENCRYPTED FILE-----")
        case .sops: Self.begins(bytes, "ENC[AES256_GCM,")
        case .jwe: Self.isCompactJWE(bytes)
        }
    }

    /// `kr1.` of any remainder, and `kr2.` and so on where a key id follows: suites to come.
    private static func isNativeText(_ bytes: Bytes) -> Bool {
        guard bytes.count >= 4, begins(bytes, "kr"), isDecimal(bytes[2]), bytes[3] == UInt8(ascii: ".") else {
            return false
        }
        guard bytes[2] != UInt8(ascii: "1") else { return true }
        return bytes.count >= 13 && bytes[12] == UInt8(ascii: ".") && bytes[4..<12].allSatisfy(isLowerHex)
    }

    private static func isFernet(_ bytes: Bytes) -> Bool {
        if begins(bytes, "enc:fernet:") { return true }
        guard begins(bytes, "gAAAAA") else { return false }
        guard let last = bytes.lastIndex(where: { !isSpace($0) }) else { return false }
        return bytes[...last].allSatisfy { isURLDigit($0) || $0 == UInt8(ascii: "=") }
    }

    /// A packet of tag 3 (RFC 4880 §5.3), version 4, which is where pgcrypto begins.
    private static func isSymmetricPGP(_ bytes: Bytes) -> Bool {
        bytes.count > 16 && bytes[0] == 0xC3 && bytes[1] < 0xC0 && bytes[2] == 4
    }

    /// Five parts with dots between; a signed token (JWS) has three and is no secret store.
    private static func isCompactJWE(_ bytes: Bytes) -> Bool {
        guard begins(bytes, "eyJ") else { return false }
        var dots = 0
        for byte in bytes {
            if byte == UInt8(ascii: ".") { dots += 1 } else if !isURLDigit(byte), !isSpace(byte) { return false }
        }
        return dots == 4
    }

    private static func begins(_ bytes: Bytes, _ text: StaticString) -> Bool {
        text.withUTF8Buffer { bytes.starts(with: $0) }
    }

    private static func contains(_ bytes: Bytes, _ text: String) -> Bool {
        let wanted = Bytes(text.utf8)
        guard bytes.count >= wanted.count else { return false }
        return (0...bytes.count - wanted.count).contains { bytes[$0...].starts(with: wanted) }
    }

    private static func isDecimal(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isLowerHex(_ byte: UInt8) -> Bool { isDecimal(byte) || (0x61...0x66).contains(byte) }
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    private static func isURLDigit(_ byte: UInt8) -> Bool {
        isDecimal(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x2D || byte == 0x5F
    }
}
