import LibCrypto
import PluginKit
import Testing

struct HMACTests {
    // RFC 4231, cases 2 and 6 (a key longer than a block).
    @Test
    func rfc4231ComesOut() {
        let short = Self.code(.sha256, key: Bytes("Jefe".utf8), message: Bytes("what do ya want for nothing?".utf8))
        #expect(hex(short) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        let long = Self.code(
            .sha512, key: Bytes(repeating: 0xAA, count: 131),
            message: Bytes("Test Using Larger Than Block-Size Key - Hash Key First".utf8))
        #expect(hex(long).hasPrefix("80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"))
    }

    // RFC 5869, case 1, cut to one block.
    @Test
    func rfc5869ComesOut() {
        var key = Bytes(repeating: 0, count: 32)
        var output = key
        key.withUnsafeMutableBytes { key in
            Bytes(repeating: 0x0B, count: 22).withUnsafeBytes { material in
                guard let base = key.baseAddress else { return }
                KeyDerivation.extract(.sha256, salt: Bytes(0...12), material: material, into: base)
            }
        }
        output.withUnsafeMutableBytes { output in
            key.withUnsafeBytes { key in
                guard let base = output.baseAddress else { return }
                KeyDerivation.expand(.sha256, key: key, info: Bytes(0xF0...0xF9), into: base)
            }
        }
        #expect(hex(key) == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
        #expect(hex(output) == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf")
    }

    @Test
    func onePreparedKeyServesManyMessages() {
        let first = Self.code(.sha512, key: [1], message: [2])
        #expect(first == Self.code(.sha512, key: [1], message: [2]))
        #expect(first != Self.code(.sha512, key: [1], message: [3]))
        #expect(first != Self.code(.sha512, key: [2], message: [2]))
    }

    static func code(_ digest: Digest, key: Bytes, message: Bytes) -> Bytes {
        let prepared = SecretBytes(copying: key).withExposedBytes { PreparedHMAC(digest, key: $0) }
        var result = Bytes(repeating: 0, count: digest.size)
        withUnsafeTemporaryAllocation(byteCount: digest.stateSize, alignment: 16) { state in
            result.withUnsafeMutableBytes { result in
                guard let state = state.baseAddress, let result = result.baseAddress else { return }
                prepared.begin(state)
                message.withUnsafeBytes { prepared.absorb($0, into: state) }
                prepared.finish(state, into: result)
            }
        }
        return result
    }

    private func hex(_ bytes: Bytes) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
