import PluginKit
import Testing

/// One line of `formats/kr1.jsonl` or `formats/fernet.jsonl`.
struct VectorCase: Decodable {
    struct Key: Decodable {
        var kind: String?
        var id: UInt32?
        var key_b64: String?
        var key: String?
        var secret: String?
        var secret_key: String?
        var salt_key: String?
    }

    struct Parameters: Decodable {
        var context_b64: [String]?
        var scheme: UInt8?
        var flags: UInt8?
    }

    let id: String
    let variant: String
    let keys: [Key]
    var expect_key: Int?
    var plaintext_b64: String?
    let ciphertext: String
    let ciphertext_encoding: String
    var params: Parameters?
    var must_fail: Bool?
    var fail_reason: String?
    var deterministic: Bool?
    var quirk: Bool?

    /// The value as it stands in its column.
    func stored() throws -> StoredValue {
        guard ciphertext_encoding == "base64" else { return .text(Bytes(ciphertext.utf8)) }
        return .blob(try base64(ciphertext))
    }

    /// The plaintext of a case that opens.
    func plaintext() throws -> Bytes { try base64(try #require(plaintext_b64)) }

    /// The failures that are of the right class.
    ///
    /// A value changed on its way fails wherever the change stands, so that any class but a size
    /// will do.
    func allowedFailures() throws -> Set<OpenFailure> {
        switch fail_reason {
        case "malformed": [.malformed]
        case "wrong_aad": [.contextMismatch]
        case "wrong_key": [.unknownKey, .authenticationFailed, .contextMismatch]
        case "tampered", "truncated": [.malformed, .unknownKey, .authenticationFailed, .contextMismatch]
        default: throw FixtureError(reason: "\(id) has no known reason")
        }
    }
}
