internal import CZlib
import KR1
import KeyModel
import LibCrypto
import PluginKit
import Testing

struct KR1Tests {
    private static let key = "ObBwSzT1Ql52svsHcTt6kOUJmRrl9Q+hTwZvt7YmRQU="
    private static let row = ValueContext.row(namespace: "app", name: "users.email", key: [Bytes("42".utf8)])

    private func core() throws -> KR1 { try KR1(options: [:], keys: [material(7, base64(Self.key))]) }

    @Test
    func theSelfTestPasses() throws {
        try KR1.selfTest()
    }

    @Test(arguments: [ValueForm.blob, .text])
    func noEnvelopeOpensWithAnyByteChanged(form: ValueForm) throws {
        let core = try core()
        let value = try core.sealOne(
            PlainItem(Bytes("eighteen bytes sealed".utf8), context: Self.row, form: form), with: keyID(7))
        let bytes = try #require(value.bytes)
        for index in bytes.indices {
            for mask in 1...255 as ClosedRange<UInt8> {
                var changed = bytes
                changed[index] ^= mask
                let failure = core.failureOfOpening(StoredValue(changed, as: form), context: Self.row)
                #expect(failure != nil, "byte \(index) xor \(mask)")
            }
        }
    }

    @Test
    func eachPartFailsInItsOwnWay() throws {
        let core = try core()
        let bytes = try #require(
            core.sealOne(PlainItem([1, 2, 3], context: Self.row, form: .blob), with: keyID(7)).bytes)
        let expected: [(ClosedRange<Int>, OpenFailure)] = [
            (0...1, .malformed), (4...7, .unknownKey), (8...55, .contextMismatch), (56...74, .authenticationFailed),
        ]
        for (range, failure) in expected {
            for index in range {
                var changed = bytes
                changed[index] ^= 0x40
                #expect(core.failureOfOpening(.blob(changed), context: Self.row) == failure, "byte \(index)")
            }
        }
    }

    // Values of an independent implementation of the layout, which writes what this one only reads.
    @Test(arguments: [
        (
            "+QEBAAAAAAcAAQIDBAUGBwgJCgsMDQ4PKBqWEO7sQtxi4w91zb/QjKsc4Twz3bx"
                + "N9uPr8rmQbAKEJJcoULS7BUBqJbrTzmBxklmJPSMURwz0zbbIUg==",
            false
        ),
        (
            "+QEDAAAAAAdL+Ec/pd6a7Mqqf8dgQ1WPb+Ltf0E9Hnj8vjrtM28szsyI/vC3wxu"
                + "bJFoottEO84814ZhOx5iIQBcvoofBXZPBUx2tKNXUcnzXCF1HHQ==",
            true
        ),
    ])
    func deflatedValuesAreInflated(value: String, isDeterministic: Bool) throws {
        let opened = try core().openOne(.blob(base64(value)))
        #expect(opened.plaintext == Bytes(String(repeating: "deflate ", count: 20).utf8))
        #expect(opened.isDeterministic == isDeterministic)
    }

    @Test(arguments: [
        (
            "garbage",
            "+QEBAAAAAAcAAQIDBAUGBwgJCgsMDQ4PKBqWEO7sQtxi4w91zb/QjKsc4Twz3bx"
                + "N9uPr8rmQbAIwkiVYiWiwm3/XK3cQ0n8ifEWy"
        ),
        (
            "followed",
            "+QEBAAAAAAcAAQIDBAUGBwgJCgsMDQ4PKBqWEO7sQtxi4w91zb/QjKsc4Twz3bx"
                + "N9uPr8rmQbAKEJJcoULS7BUBqJbrTSotPNeB+U2UtGvYucRv7e8k="
        ),
        (
            "cut",
            "+QEBAAAAAAcAAQIDBAUGBwgJCgsMDQ4PKBqWEO7sQtxi4w91zb/QjKsc4Twz3bx"
                + "N9uPr8rmQbAKEJJcoULS7BUBq2Q8C48Jch/h0fogVy6OdDA=="
        ),
    ])
    func brokenDeflateIsMalformed(what: String, value: String) throws {
        #expect(try core().failureOfOpening(.blob(base64(value))) == .malformed, "\(what)")
    }

    @Test
    func aSaltThatIsNotTheSyntheticOneIsRefused() throws {
        let value =
            "+QECAAAAAAcAAAAAAAAAAAAAAAAAAAAABWsSs5/vPtgbrXlpC2FteEJUIUymIWC"
            + "u2kQQ7+dmGrBj9QEaMrSNkSQuCRTkWoIXwu2Wirs="
        #expect(try core().failureOfOpening(.blob(base64(value))) == .authenticationFailed)
    }

    @Test(arguments: [(64 << 20, nil), (64 << 20 + 1, OpenFailure.tooLarge)] as [(Int, OpenFailure?)])
    func inflationStopsAtTheCap(count: Int, failure: OpenFailure?) throws {
        let value = try EnvelopeWriter(key: base64(Self.key), id: 7).seal(deflated(zeros: count), flags: 1)
        #expect(try core().failureOfOpening(.blob(value)) == failure)
    }

    @Test
    func sizesBeyondTheCapAreRefused() throws {
        let core = try core()
        let large = Bytes(repeating: 0, count: 64 << 20 + 1)
        #expect(core.seal([PlainItem(large, context: .none, form: .blob)], with: try keyID(7)) == [.failure(.tooLarge)])
        #expect(core.failureOfOpening(.blob(Bytes(repeating: 0xF9, count: 64 << 20 + 73))) == .tooLarge)
        #expect(core.failureOfOpening(.text(Bytes(repeating: 0x41, count: 96 << 20))) == .tooLarge)
    }

    @Test
    func theTextFormIsReadInOneSpellingOnly() throws {
        let core = try core()
        let value = try core.sealOne(PlainItem([1, 2], context: .none, form: .text), with: keyID(7))
        let text = String(decoding: try #require(value.bytes), as: UTF8.self)
        #expect(text.hasPrefix("kr1.00000007.AQAA"))
        // 69 bytes in base64 end without spare bits, 70 with four.
        let longer = try #require(
            core.sealOne(PlainItem([1, 2, 3], context: .none, form: .text), with: keyID(7)).bytes)
        var spare = longer
        spare[spare.count - 1] = try #require(oneBitHigher(spare[spare.count - 1]))
        let others = [
            text.replacing("kr1.", with: "KR1."), text.replacing("00000007", with: "0000007"), text + "=", text + "\n",
            " " + text, text.replacing("00000007", with: "00000000"), text + "A",
        ]
        for other in others + [String(decoding: spare, as: UTF8.self)] {
            #expect(core.failureOfOpening(.text(Bytes(other.utf8))) == .malformed, "\(other)")
        }
        // Cut by a character it may be the one spelling of a shorter value, which then is not authentic.
        #expect(core.failureOfOpening(.text(Bytes(text.utf8.dropLast()))) != nil)
    }

    @Test
    func upperCaseHexIsNoKeyID() throws {
        let core = try KR1(options: [:], keys: [material(0xABCD_EF01, base64(Self.key))])
        let value = try core.sealOne(PlainItem([1], context: .none, form: .text), with: keyID(0xABCD_EF01))
        let text = String(decoding: try #require(value.bytes), as: UTF8.self)
        let upper = StoredValue.text(Bytes(text.replacing("abcdef01", with: "ABCDEF01").utf8))
        #expect(core.failureOfOpening(upper) == .malformed)
        #expect(core.inspect(upper) == .foreign)
    }

    @Test
    func whatLooksSealedIsNeverPlaintext() throws {
        let core = try core()
        let looks: [StoredValue] = [
            .blob([0xF9]), .blob([0xF9, 1]), .blob([0xF9, 2] + Bytes(repeating: 0, count: 80)),
            .text(Bytes("kr1.".utf8)),
            .blob([0xF9, 1, 8, 0, 0, 0, 0, 7] + Bytes(repeating: 0, count: 80)),
            .blob([0xF9, 1, 0, 4, 0, 0, 0, 7] + Bytes(repeating: 0, count: 80)),
            .blob([0xF9, 1, 0, 0, 0, 0, 0, 0] + Bytes(repeating: 0, count: 80)),
            .text(Bytes("kr1.00000007.AQAA".utf8)), .text(Bytes("vault:v1:abc".utf8)), .text(Bytes("CfDJ8abc".utf8)),
            .text(
                Bytes(
                    "gAAAAABrAgK5x8WKxk6JQ_ngUE089sHv4F9V9xhGNyGUN2rLzdwKGRG_XCBiZZbsZ7k6s5MqXTt-YfHITZirxUmwSlIPhLudmQ=="
                        .utf8)),
            .text(Bytes("gAAAAABrAgK5".utf8)), .blob(Bytes("kr1.00000007.AQAA".utf8)),
        ]
        for value in looks { #expect(core.inspect(value) == .foreign, "\(value)") }
    }

    @Test
    func theMarkIsWhereSQLLooksForIt() throws {
        let core = try core()
        let id = try keyID(0x2A)
        #expect(core.mark(of: id, form: .text) == Bytes("kr1.0000002a.".utf8))
        #expect(core.mark(of: id, form: .blob) == [0xF9, 1, nil, nil, 0, 0, 0, 0x2A])
    }

    @Test
    func attributesThatTheFormatCannotKeepAreRefused() throws {
        for attributes in [ValueAttributes(timestamp: 1), ValueAttributes(others: ["x": [1]])] {
            let item = PlainItem([1], context: .none, attributes: attributes, form: .blob)
            #expect(try core().seal([item], with: keyID(7)) == [.failure(.notExpressible)])
        }
    }

    @Test(arguments: [
        key, key.replacing("=", with: ""), key.replacing("+", with: "-"), " \(key)\r\n",
        "39b0704b34f5425e76b2fb07713b7a90e509991ae5f50fa14f066fb7b6264505",
        "39B0704B34F5425E76B2FB07713B7A90E509991AE5F50FA14F066FB7B6264505",
    ])
    func aKeyIsReadInEveryUsualSpelling(text: String) throws {
        let secret = try KR1.importMaterial(SecretBytes(copying: Bytes(text.utf8)), options: [:])
        let isSame = holds(secret, try base64(Self.key))
        #expect(isSame)
    }

    @Test(arguments: ["", "abc", "zz" + String(repeating: "0", count: 62), key + "A", String(key.dropLast(4))])
    func anythingElseIsNoKey(text: String) {
        #expect(throws: CoreError.self) {
            _ = try KR1.importMaterial(SecretBytes(copying: Bytes(text.utf8)), options: [:]).count
        }
    }

    @Test
    func aKeyGivenTwiceIsRefused() throws {
        let keys = [try freshMaterial(7, of: KR1.self), try freshMaterial(7, of: KR1.self)]
        #expect(throws: CoreError.self) { _ = try KR1(options: [:], keys: keys) }
    }

    private func oneBitHigher(_ digit: UInt8) -> UInt8? {
        let digits = Bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        return digits.firstIndex(of: digit).map { digits[$0 | 1] }
    }

    private func deflated(zeros count: Int) throws -> Bytes {
        var stream = z_stream()
        let size = Int32(MemoryLayout<z_stream>.size)
        try #require(
            deflateInit2_(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, size) == Z_OK)
        defer { deflateEnd(&stream) }
        var input = Bytes(repeating: 0, count: count)
        var output = Bytes(repeating: 0, count: 1 << 18)
        let status = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                return deflate(&stream, Z_FINISH)
            }
        }
        try #require(status == Z_STREAM_END)
        return Bytes(output[..<Int(stream.total_out)])
    }
}

/// Writes envelopes that the core does not, with the format's derivation written out a second time.
private struct EnvelopeWriter {
    let key: Bytes
    let id: UInt8

    func seal(_ body: Bytes, flags: UInt8) throws -> Bytes {
        let start: Bytes = [0xF9, 1, flags, 0, 0, 0, 0, id] + Bytes(repeating: 9, count: 16)
        let root = hmac(Bytes("KR1".utf8), key)
        let derived = hmac(root, Bytes("KR1 aes-256-gcm\0".utf8) + start + [0, 0, 0, 0, 1])
        let header = start + derived[32...]
        var output = Bytes(repeating: 0, count: body.count)
        var tag = Bytes(repeating: 0, count: 16)
        let cipher = try #require(CipherContext(.aes256GCM))
        let isSealed = output.withUnsafeMutableBytes { output in
            tag.withUnsafeMutableBytes { tag in
                body.withUnsafeBytes { body in
                    header.withUnsafeBytes { header in
                        guard let output = output.baseAddress, let tag = tag.baseAddress else { return false }
                        return cipher.seal(
                            body, key: derived, nonce: Bytes(repeating: 0, count: 12), authenticating: header,
                            into: output, tag: tag)
                    }
                }
            }
        }
        try #require(isSealed)
        return header + output + tag
    }

    private func hmac(_ key: Bytes, _ message: Bytes) -> Bytes {
        HMACTests.code(.sha512, key: key, message: message)
    }
}
