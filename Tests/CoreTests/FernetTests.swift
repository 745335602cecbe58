import Fernet
import KeyModel
import PluginKit
import Testing

struct FernetTests {
    private static let key = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
    private static let token =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="

    private func core(_ text: String = key) throws -> Fernet {
        try Fernet(options: [:], keys: [material(1, Bytes(text.utf8))]) { 1_700_000_000 }
    }

    @Test
    func theSelfTestPasses() throws {
        try Fernet.selfTest()
    }

    @Test
    func aTokenKeepsItsTimestamp() throws {
        let core = try core()
        let opened = try core.openOne(.text(Bytes(Self.token.utf8)))
        #expect(opened.attributes.timestamp == 499_162_800)
        let item = PlainItem(opened.plaintext, context: .none, attributes: opened.attributes, form: .text)
        let sealed = try core.sealOne(item, with: keyID(1))
        #expect(sealed != .text(Bytes(Self.token.utf8)))
        #expect(try core.openOne(sealed) == opened)
    }

    @Test
    func aTokenWithoutOneGetsTheTime() throws {
        let core = try core()
        let sealed = try core.sealOne(PlainItem([1], context: .none, form: .text), with: keyID(1))
        #expect(try core.openOne(sealed).attributes.timestamp == 1_700_000_000)
    }

    @Test(arguments: [" \(token)", "\(token)  ", "\(token)\r\n", "\t\(token)\u{0B}"])
    func whiteSpaceAroundATokenIsLeftOut(text: String) throws {
        #expect(try core().openOne(.text(Bytes(text.utf8))).plaintext == Bytes("hello".utf8))
    }

    @Test(arguments: [
        "", " ", "=", "====", "gAAAAA", token.replacing("=", with: ""), token + "=", "+" + token.dropFirst(),
        token.replacing("_", with: "/"), token.replacing("021c", with: "02 1c"), "A" + token, token + token,
        token.replacing("DA==", with: "DB=="), String(repeating: "A", count: 100), "\u{FF}\(token)",
    ])
    func whatIsNotExactlyATokenIsMalformed(text: String) throws {
        #expect(try core().failureOfOpening(.text(Bytes(text.utf8))) == .malformed)
    }

    @Test(arguments: [ValueForm.text, .blob])
    func noTokenOpensWithAnyByteChanged(form: ValueForm) throws {
        let core = try core()
        let bytes = Bytes(Self.token.utf8)
        for index in bytes.indices {
            for mask in 1...255 as ClosedRange<UInt8> {
                var changed = bytes
                changed[index] ^= mask
                #expect(core.failureOfOpening(StoredValue(changed, as: form)) != nil, "byte \(index) xor \(mask)")
            }
        }
    }

    @Test
    func versionsAreTriedInOrder() throws {
        let keys = try (1...4 as ClosedRange<UInt32>).map { try freshMaterial($0, of: Fernet.self) }
        let core = try Fernet(options: [:], keys: keys)
        for key in keys {
            let sealed = try core.sealOne(PlainItem([7], context: .none, form: .text), with: key.id)
            #expect(try core.openOne(sealed).key == key.id)
        }
    }

    @Test
    func aPlaceIsRefusedSinceATokenHasNone() throws {
        let context = ValueContext.column(namespace: "app", name: "users.email")
        #expect(try core().failureOfOpening(.text(Bytes(Self.token.utf8)), context: context) == .contextMismatch)
        let item = PlainItem([1], context: context, form: .text)
        #expect(try core().seal([item], with: keyID(1)) == [.failure(.notExpressible)])
    }

    @Test
    func whatLooksSealedIsNeverPlaintext() throws {
        for text in [
            "gAAAAA", "gAAAAABrAgK5", "kr1.00000007.AQAA", "enc:fernet:k1:gAAA", String(Self.token.dropLast(4)),
        ] {
            #expect(try core().inspect(.text(Bytes(text.utf8))) == .foreign, "\(text)")
        }
        #expect(try core().inspect(.blob([0xF9, 1])) == .foreign)
        #expect(try core().inspect(.text(Bytes("gAAAAA, said the machine".utf8))) == .plaintext)
    }

    // Python's library reads all of these as the same key.
    @Test(arguments: [
        key, "\(key)\n", key.replacing("=", with: ""), key.replacing("_", with: "/").replacing("-", with: "+"),
        key.replacing("4e4=", with: "4e5="),
    ])
    func aKeyIsReadAsLenientlyAsPythonReadsIt(text: String) throws {
        let secret = try Fernet.importMaterial(SecretBytes(copying: Bytes(text.utf8)), options: [:])
        let core = try Fernet(options: [:], keys: [KeyMaterial(id: try keyID(1), secret: secret)])
        #expect(try core.openOne(.text(Bytes(Self.token.utf8))).plaintext == Bytes("hello".utf8))
    }

    @Test
    func aRawKeyBecomesItsText() throws {
        let raw = try #require(Base64.decode(Bytes(Self.key.utf8), alphabet: .url, padding: .padded))
        let secret = try Fernet.importMaterial(SecretBytes(copying: raw), options: [:])
        let isSame = holds(secret, Bytes(Self.key.utf8))
        #expect(isSame)
    }

    @Test(arguments: ["", "short", String(key.dropLast(4)), key + "AAAA", String(repeating: "*", count: 44)])
    func anythingElseIsNoKey(text: String) {
        #expect(throws: CoreError.self) {
            _ = try Fernet.importMaterial(SecretBytes(copying: Bytes(text.utf8)), options: [:]).count
        }
    }

    @Test
    func aSecretComesBackByteForByte() throws {
        let options = ["derivation": "sqlalchemy-utils"]
        let text = Bytes(" spaces stay, ż as well ".utf8)
        let secret = try Fernet.importMaterial(SecretBytes(copying: text + [0x0D, 0x0A]), options: options)
        let exported = try Fernet.exportMaterial(secret, options: options)
        let isSame = holds(exported, text)
        #expect(isSame)
    }

    @Test(arguments: [
        ["derivation": "md5"], ["salt": "x"], ["derivation": "sqlalchemy-utils", "salt": "x"],
        ["derivation": "django-fernet-encrypted-fields"], ["derivation": "django-fernet-encrypted-fields", "salt": ""],
    ])
    func optionsThatMakeNoSenseAreRefused(options: CoreOptions) {
        #expect { _ = try Fernet(options: options, keys: []) } throws: { error in
            (error as? CoreError)?.code == .callerOptionUnknown
        }
    }
}
