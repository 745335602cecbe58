import KR1
import KeyModel
import PluginKit
import Testing

@testable import Rotation

/// Sealed values in columns of JSON documents.
struct DocumentCoreTests {
    private func core() throws -> (any EncryptionCore, KeyID) {
        let id = try #require(KeyID(hex: "0000002a"))
        let key = KeyMaterial(id: id, secret: SecretBytes(copying: [UInt8](repeating: 7, count: 32)))
        return (DocumentCore(try KR1(options: [:], keys: [key])), id)
    }

    @Test(arguments: ["{\"a\" : 1}", "\"text\"", "null", "[]", "12.50", "\"a\\u0000b\""])
    func aDocumentComesBackAsItWasWritten(text: String) throws {
        let (core, id) = try core()
        #expect(core.inspect(.text(Bytes(text.utf8))) == .plaintext)
        let item = PlainItem(Bytes(text.utf8), context: .none, form: .text)
        let value = try #require(try core.seal([item], with: id).first?.get())
        let stored = String(decoding: value.bytes ?? [], as: UTF8.self)
        #expect(stored.hasPrefix("\"kr1.") && stored.hasSuffix("\""))
        #expect(core.inspect(value) == .mine(.exact(id)))
        for spelt in [
            stored, " \n\(stored)\t", stored.replacing("kr1", with: "\\u006br1"), String(stored.dropFirst().dropLast()),
        ] {
            let opened = try core.open([SealedItem(.text(Bytes(spelt.utf8)), context: .none)]).first?.get()
            #expect(opened.map { String(decoding: $0.plaintext, as: UTF8.self) } == text, "\(spelt)")
        }
    }

    @Test(arguments: ["", "\"", "\"\"\"", " ", "\"a\" \"b\"", "\"\\\"", "{\"kr1.\":1}", "\"kr1.x\"x"])
    func whatIsNoStringIsLeftAsItIs(text: String) {
        let value = StoredValue.text(Bytes(text.utf8))
        #expect(value.documentContent == value)
    }

    @Test func whatLooksSealedIsNeverAPlaintext() throws {
        let (core, _) = try core()
        for text in ["\"kr1.\"", "\"gAAAAABm\"", "\"kr1.0000002a.AAAA\""] {
            #expect(core.inspect(.text(Bytes(text.utf8))) != .plaintext, "\(text)")
        }
        #expect(core.inspect(.text(Bytes("\"\"".utf8))) == .empty)
        #expect(core.inspect(.null) == .null)
    }
}
