import PluginKit
import Testing

struct SealedShapeTests {
    @Test(arguments: [
        ("kr1.", SealedShape.kr1), ("kr2.00000007.xyz", .kr1), ("gAAAAABrAgK5", .fernet), ("enc:fernet:k:x", .fernet),
        ("vault:v12:abc", .vaultTransit), ("CfDJ8", .dataProtection), ("eyJpdiI6ImFi", .laravel),
        ("{\"p\":\"x\",\"h\":{\"iv\":\"y\"}}", .rails), ("-----BEGIN PGP MESSAGE-----", .pgp),
        ("age-encryption.org/v1", .age), ("ENC[AES256_GCM,data:x]", .sops), ("eyJhbGciOiJkaXIifQ..a.b.c", .jwe),
    ])
    func wellKnownFormatsAreRecognised(text: String, shape: SealedShape) {
        #expect(SealedShape.recognised(in: .text(Bytes(text.utf8))) == shape)
    }

    @Test(arguments: [
        "", "k", "kr", "kr2.txt", "krb5.conf", "gAAAAA is how it starts", "vault:version", "{\"p\":\"x\"}", "eyJ.a.b",
        "eyJhIjoxfQ",
        "plain", "F9",
    ])
    func ordinaryTextIsNot(text: String) {
        #expect(SealedShape.recognised(in: .text(Bytes(text.utf8))) == nil)
    }

    @Test
    func binaryShapesAreRecognised() {
        #expect(SealedShape.recognised(in: .blob([0xF9])) == .kr1)
        #expect(SealedShape.recognised(in: .blob([0xC3, 0x0D, 0x04] + Bytes(repeating: 9, count: 20))) == .pgp)
        #expect(SealedShape.recognised(in: .blob([0x09, 0xF0, 0xC9, 0xF0])) == .dataProtection)
        #expect(SealedShape.recognised(in: .blob([0, 1, 2])) == nil)
        #expect(SealedShape.recognised(in: .null) == nil)
        #expect(SealedShape.recognised(in: .other("7")) == nil)
    }
}
