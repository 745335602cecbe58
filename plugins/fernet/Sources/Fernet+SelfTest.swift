internal import KeyModel
internal import LibCrypto
public import PluginKit

extension Fernet {
    /// Opens tokens that Python's `cryptography` sealed, in each way of deriving a key but the slow
    /// one, whose function is checked with few rounds; makes the token of the specification's
    /// example; and refuses damaged ones.
    public static func selfTest() throws(CoreError) {
        for answer in KnownAnswer.all { try answer.check() }
        try checkSealing()
        try checkPBKDF2()
    }

    /// The example "generate" of the specification.
    private static func checkSealing() throws(CoreError) {
        let answer = KnownAnswer.specification
        let key = try answer.material()
        let core = try Fernet(options: [:], keys: [key])
        let item = PlainItem(
            Bytes(answer.plaintext.utf8), context: .none, attributes: ValueAttributes(timestamp: answer.timestamp),
            form: .text)
        let sealed = core.pool.withWorkspace {
            core.seal(item, vector: ArraySlice(0..<16), now: 0, key: core.keys[0], $0)
        }
        guard sealed == .success(.text(Bytes(answer.token.utf8))) else {
            throw answer.failure("is sealed to the wrong token")
        }
    }

    private static func checkPBKDF2() throws(CoreError) {
        var output = Bytes(repeating: 0, count: 8)
        let isDone = output.withUnsafeMutableBytes { output in
            Bytes("password".utf8).withUnsafeBytes {
                KeyDerivation.pbkdf2SHA256(secret: $0, salt: Bytes("salt".utf8), rounds: 2, into: output)
            }
        }
        guard isDone, output == [0xAE, 0x4D, 0x0C, 0x95, 0xAF, 0x6B, 0x46, 0xD3] else {
            throw CoreError(.internalSelfTestFailed, "fernet failed its known answer \"pbkdf2\"")
        }
    }
}

/// A token sealed by Python's library.
private struct KnownAnswer {
    let name: String
    var options: CoreOptions = [:]
    let kept: String
    let token: String
    let plaintext: String
    var timestamp: UInt64 = 1_795_293_881

    static let specification = KnownAnswer(
        name: "specification", kept: "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=",
        token: "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
        plaintext: "hello", timestamp: 499_162_800
    )
    static let all = [
        specification,
        KnownAnswer(
            name: "direct", kept: "w30fQTKk7bTI1bYN8fEVI8HR7ouV3dBVjbT9g34oEe8=",
            token:
                "gAAAAABrAgK5x8WKxk6JQ_ngUE089sHv4F9V9xhGNyGUN2rLzdwKGRG_XCBiZZbsZ7k6s5MqXTt-YfHITZirxUmwSlIPhLudmQ==",
            plaintext: "078-05-1120"
        ),
        KnownAnswer(
            name: "django-fernet-fields", options: ["derivation": "django-fernet-fields"],
            kept: "django-insecure-2-2d67af6656c2b0a6769d1b27",
            token:
                "gAAAAABrAgK5vmIsvV2ELYkx2jeZJXExw4Ohv1qqk7kd91WBu7RYagzoIvlpdburCJ3r0LJLq1B3iRXpoM0CIS00bU4Snkafmg==",
            plaintext: ""
        ),
        KnownAnswer(
            name: "sqlalchemy-utils", options: ["derivation": "sqlalchemy-utils"], kept: "redash-cookie-secret-0",
            token:
                "gAAAAABrAgK5lRnjHBek7r6CuIn_tsG4eZua9Qc6MSbKfZ6bOXePtprtmLhWfCOkuzAaPDlCVGzQ-crl-tYc02qivW7DFvkrLQ==",
            plaintext: "hello world"
        ),
    ]

    func material() throws(CoreError) -> KeyMaterial {
        guard let id = KeyID(1) else { throw failure("has no key") }
        let text = SecretBytes(copying: Bytes(kept.utf8))
        return KeyMaterial(id: id, secret: try Fernet.importMaterial(text, options: options))
    }

    func check() throws(CoreError) {
        let key = try material()
        let core = try Fernet(options: options, keys: [key])
        let bytes = Bytes(token.utf8)
        let expected = OpenedValue(
            plaintext: Bytes(plaintext.utf8), key: key.id, attributes: ValueAttributes(timestamp: timestamp))
        guard core.open([SealedItem(.text(bytes), context: .none)]) == [.success(expected)] else {
            throw failure("does not open")
        }
        var damaged = bytes
        damaged[40] ^= 1
        guard case .failure = core.open([SealedItem(.text(damaged), context: .none)])[0] else {
            throw failure("opens though it was changed")
        }
    }

    func failure(_ what: String) -> CoreError {
        CoreError(
            .internalSelfTestFailed, "fernet failed its known answer \"\(name)\": it \(what)",
            hint: "Do not use this build; libcrypto or the machine may be at fault."
        )
    }
}
