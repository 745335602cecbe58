import PluginKit
import Testing

struct Base64Tests {
    // RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func rfc4648ComesOut(bytes: String, text: String) {
        let encoded = Base64.encode(Bytes(bytes.utf8), alphabet: .standard, padding: .padded)
        #expect(encoded == Bytes(text.utf8))
        #expect(Base64.decode(encoded, alphabet: .standard, padding: .padded) == Bytes(bytes.utf8))
        let bare = Base64.encode(Bytes(bytes.utf8), alphabet: .url, padding: .unpadded)
        #expect(bare == Bytes(text.replacing("=", with: "").utf8))
        #expect(Base64.decode(bare, alphabet: .url, padding: .unpadded) == Bytes(bytes.utf8))
    }

    @Test
    func everyByteComesBackInEveryPlace() {
        for byte in 0...255 as ClosedRange<UInt8> {
            for bytes in [[byte], [0xAA, byte], [0x55, 0xFF, byte], [byte, byte, byte, byte]] {
                for alphabet in [Base64.Alphabet.standard, .url] {
                    for padding in [Base64.Padding.padded, .unpadded] {
                        let text = Base64.encode(bytes, alphabet: alphabet, padding: padding)
                        #expect(text.count == Base64.encodedCount(bytes.count, padding: padding))
                        #expect(Base64.decode(text, alphabet: alphabet, padding: padding) == bytes)
                    }
                }
            }
        }
    }

    @Test(arguments: [
        "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "=", "Zg==Zg==", "Zm9v\n", "Zm 9v", "Zm9-", "Zm9_", "Z\u{FC}9v",
    ])
    func oneTextOnlyIsRead(text: String) {
        #expect(Base64.decode(Bytes(text.utf8), alphabet: .standard, padding: .padded) == nil)
    }

    @Test(arguments: ["Z", "Zh", "Zm9", "Zg==", "Zm9+", "Zm9/"])
    func oneTextOnlyIsReadWithoutPadding(text: String) {
        #expect(Base64.decode(Bytes(text.utf8), alphabet: .url, padding: .unpadded) == nil)
    }
}
