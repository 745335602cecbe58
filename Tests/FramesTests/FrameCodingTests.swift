import Testing
import ToolTesting

@testable import Frames

/// The bytes of a frame, without its length.
private func payload(_ value: FrameValue) throws -> [UInt8] { Array(try FrameEncoder().frame(value).dropFirst(4)) }

struct FrameCodingTests {
    @Test(
        arguments: [
            (.null, [0xC0]), (.bool(false), [0xC2]), (.bool(true), [0xC3]), (0, [0x00]), (127, [0x7F]),
            (128, [0xCC, 0x80]),
            (256, [0xCD, 1, 0]), (65_536, [0xCE, 0, 1, 0, 0]), (4_294_967_296, [0xCF, 0, 0, 0, 1, 0, 0, 0, 0]),
            (-1, [0xFF]), (-32, [0xE0]), (-33, [0xD0, 0xDF]), (-129, [0xD1, 0xFF, 0x7F]),
            (-32_769, [0xD2, 0xFF, 0xFF, 0x7F, 0xFF]), (.integer(.min), [0xD3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            (.double(1.5), [0xCB, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0]), ("é", [0xA2, 0xC3, 0xA9]),
            (.binary([7]), [0xC4, 1, 7]),
            ([1, "a"], [0x92, 1, 0xA1, 0x61]), (["b": 1, "a": []], [0x82, 0xA1, 0x61, 0x90, 0xA1, 0x62, 1]),
        ] as [(FrameValue, [UInt8])])
    func theShortestFormIsWritten(value: FrameValue, bytes: [UInt8]) throws {
        #expect(try payload(value) == bytes)
        #expect(try FrameDecoder().value(bytes) == value)
    }

    @Test(
        arguments: [
            ([0xCC, 5], 5), ([0xCD, 0, 5], 5), ([0xD0, 5], 5), ([0xD3, 0, 0, 0, 0, 0, 0, 0, 5], 5),
            ([0xD1, 0xFF, 0xFF], -1), ([0xCA, 0x3F, 0xC0, 0, 0], .double(1.5)), ([0xD9, 1, 0x61], "a"),
            ([0xDB, 0, 0, 0, 1, 0x61], "a"), ([0xC6, 0, 0, 0, 1, 7], .binary([7])), ([0xDC, 0, 1, 0xC0], [.null]),
            ([0xDF, 0, 0, 0, 1, 0xDA, 0, 1, 0x61, 1], ["a": 1]),
        ] as [([UInt8], FrameValue)])
    func longerFormsAreRead(bytes: [UInt8], value: FrameValue) throws {
        #expect(try FrameDecoder().value(bytes) == value)
    }

    @Test(
        arguments: [
            ([], .dataTruncated), ([0xA2, 0x61], .dataTruncated), ([0xDD, 0xFF, 0xFF, 0xFF, 0xFF], .dataTruncated),
            ([0xDF, 0xFF, 0xFF, 0xFF, 0xFF], .dataTruncated), ([0xC6, 0xFF, 0xFF, 0xFF, 0xFF], .dataTruncated),
            ([0xC0, 0xC0], .dataMalformed), ([0xC1], .dataMalformed), ([0xC7, 0, 0], .dataMalformed),
            ([0xD4, 0, 0], .dataMalformed), ([0xA2, 0xC3, 0x28], .dataMalformed),
            ([0xA3, 0xED, 0xA0, 0x80], .dataMalformed),
            ([0x81, 1, 1], .dataMalformed), ([0x82, 0xA1, 0x61, 1, 0xA1, 0x61, 2], .dataMalformed),
            ([0xCF, 0x80, 0, 0, 0, 0, 0, 0, 0], .dataMalformed),
        ] as [([UInt8], FrameError.Code)])
    func whatIsNoValueIsRefused(bytes: [UInt8], code: FrameError.Code) {
        #expect(throws: FrameError.self) { try FrameDecoder().value(bytes) }
        do { _ = try FrameDecoder().value(bytes) } catch { #expect(error.code == code) }
    }

    @Test func depthAndCountAreBounded() throws {
        let deepest = (0..<32).reduce(FrameValue.null) { inner, _ in [inner] }
        let tooDeep: FrameValue = [deepest]
        #expect(try FrameDecoder().value(payload(deepest)) == deepest)
        #expect(throws: FrameError.self) { try FrameEncoder().frame(tooDeep) }
        #expect(throws: FrameError.self) { try FrameDecoder().value([UInt8](repeating: 0x91, count: 33) + [0xC0]) }
        let full = FrameValue.array(Array(repeating: .null, count: 99_999))
        #expect(try FrameDecoder().value(payload(full)) == full)
        let overfull: [UInt8] = [0xDD, 0, 1, 0x86, 0xA0] + [UInt8](repeating: 0xC0, count: 100_000)
        #expect(throws: FrameError.self) { try FrameDecoder().value(overfull) }
        #expect(throws: FrameError.self) { try FrameEncoder().frame(.array(Array(repeating: .null, count: 100_000))) }
        #expect(throws: FrameError.self) {
            try FrameEncoder(limits: FrameLimits(frameBytes: 3)).frame(.binary([1, 2]))
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func whatIsWrittenIsReadBack(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            let value = randomValue(depth: 0, &generator)
            let bytes = try payload(value)
            let read = try FrameDecoder().value(bytes)
            #expect(read == value, "seed \(seed)")
            #expect(try payload(read) == bytes, "seed \(seed)")
        }
    }

    @Test(arguments: [11, 12, 13] as [UInt64])
    func noBytesTrapTheDecoder(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var readable = 0
        for _ in 0..<8000 {
            var bytes = try payload(randomValue(depth: 0, &generator))
            for _ in 0..<Int.random(in: 0...3, using: &generator) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            if Bool.random(using: &generator) { bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator)) }
            if let value = try? FrameDecoder().value(bytes) {
                readable += 1
                #expect(try FrameDecoder().value(payload(value)) == value || value.holdsNaN, "seed \(seed)")
            }
        }
        #expect(readable > 500, "seed \(seed): the cases reach no further than the first byte")
    }
}

private func randomValue(depth: Int, _ generator: inout SeededGenerator) -> FrameValue {
    let count = Int.random(in: 0...(depth > 3 ? 0 : 5), using: &generator)
    switch Int.random(in: 0...7, using: &generator) {
    case 0: return .null
    case 1: return .bool(.random(using: &generator))
    case 2: return .integer(Int64(bitPattern: generator.next()) >> Int64.random(in: 0...63, using: &generator))
    case 3: return .double(Double(Int64(bitPattern: generator.next())) / 3)
    case 4: return .string(randomText(&generator))
    case 5: return .binary((0..<count * 60).map { _ in UInt8.random(in: 0...255, using: &generator) })
    case 6: return .array((0..<count * 4).map { _ in randomValue(depth: depth + 1, &generator) })
    default:
        let entries = (0..<count).map { _ in (randomText(&generator), randomValue(depth: depth + 1, &generator)) }
        return .map(Dictionary(entries) { first, _ in first })
    }
}

private func randomText(_ generator: inout SeededGenerator) -> String {
    let scalars: [Unicode.Scalar] = ["a", "Z", "\0", "é", "€", "🔑", "\u{202E}", "\n"]
    var text = ""
    for _ in 0..<Int.random(in: 0...40, using: &generator) {
        if let scalar = scalars.randomElement(using: &generator) { text.unicodeScalars.append(scalar) }
    }
    return text
}

extension FrameValue {
    fileprivate var holdsNaN: Bool {
        switch self {
        case .double(let number): number.isNaN
        case .array(let elements): elements.contains(where: \.holdsNaN)
        case .map(let entries): entries.values.contains(where: \.holdsNaN)
        default: false
        }
    }
}
