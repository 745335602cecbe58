import Storage
import Testing
import ToolTesting

struct RowKeyTests {
    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func keysSurviveTheirEncodedForm(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<1_000 {
            let key = RowKey((0..<Int.random(in: 1...4, using: &random)).map { _ in component(&random) })
            #expect(RowKey(encoded: key.encoded) == key, "seed \(seed): \(key)")
        }
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func anyBytesAreAKeyOrNone(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            var bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            // Most random bytes fail at the first tag, so a good beginning is given to every other try.
            if Bool.random(using: &random) {
                bytes = mutated(RowKey([component(&random), component(&random)]), &random)
            }
            guard let key = RowKey(encoded: bytes) else { continue }
            #expect(RowKey(encoded: key.encoded) == key, "seed \(seed): \(bytes)")
        }
    }

    @Test
    func encodedKeysHaveTagLengthAndBytes() {
        let key = RowKey([.integer(-12), .text([0x61]), .blob([])])
        #expect(key.encoded == [0x69, 0, 0, 0, 3, 0x2D, 0x31, 0x32, 0x74, 0, 0, 0, 1, 0x61, 0x62, 0, 0, 0, 0])
    }

    @Test(
        arguments: [
            [], [0x69], [0x69, 0, 0, 0], [0x69, 0, 0, 0, 0], [0x69, 0, 0, 0, 1, 0x78], [0x74, 0, 0, 0, 2, 0x61],
            [0x74, 0xFF, 0xFF, 0xFF, 0xFF], [0x7A, 0, 0, 0, 0], [0x74, 0, 0, 0, 1, 0x61, 0x74],
        ] as [[UInt8]])
    func bytesThatAreNoKeyAreNil(bytes: [UInt8]) {
        #expect(RowKey(encoded: bytes) == nil)
    }

    @Test
    func canonicalBytesIgnoreWidthAndCase() {
        #expect(KeyComponent.integer(42).canonical == [0x34, 0x32])
        #expect(KeyComponent.uuid("AB-C").canonical == Array("ab-c".utf8))
    }

    @Test
    func keysAreShownWithoutControlCharacters() {
        let key = RowKey([.integer(7), .text(Array("a\"\n".utf8)), .blob([0xAB]), .uuid("0-1")])
        #expect(key.description == #"7,"a\"\n",x'ab',0-1"#)
    }

    private func component(_ random: inout SeededGenerator) -> KeyComponent {
        let bytes = (0..<Int.random(in: 0...12, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        return switch Int.random(in: 0...3, using: &random) {
        case 0: .integer(Int64.random(in: .min ... .max, using: &random))
        case 1: .text(bytes)
        case 2: .uuid(String(UInt64.random(in: 0 ... .max, using: &random), radix: 16))
        default: .blob(bytes)
        }
    }

    private func mutated(_ key: RowKey, _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = key.encoded
        let position = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0...2, using: &random) {
        case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: position)
        default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: position)
        }
        return bytes
    }
}
