import Testing

@testable import Frames

struct FrameReaderTests {
    @Test(arguments: [1, 2, 3, 5, 7, 100])
    func framesComeOutWhateverThePieces(size: Int) throws {
        let values: [FrameValue] = [1, "two", ["three": [4, 5]], .null, .string(String(repeating: "x", count: 300))]
        let stream = try values.flatMap { value in try FrameEncoder().frame(value) }
        var reader = FrameReader()
        var read: [FrameValue] = []
        for start in stride(from: 0, to: stream.count, by: size) {
            reader.append(stream[start..<min(start + size, stream.count)])
            while let value = try reader.next() { read.append(value) }
        }
        #expect(read == values)
        try reader.finish()
    }

    @Test func aLengthAboveTheLimitIsRefusedBeforeItsBytesCome() {
        var reader = FrameReader(limits: FrameLimits(frameBytes: 1000))
        reader.append([0xFF, 0xFF, 0xFF, 0xFF])
        #expect(throws: FrameError.self) { try reader.next() }
        reader.append([0xC0])
        #expect(throws: FrameError.self, "a stream out of step stays refused") { try reader.next() }
    }

    @Test func anEndInsideAFrameIsAnError() throws {
        var reader = FrameReader()
        reader.append([0, 0, 0, 2, 0xCC])
        #expect(try reader.next() == nil)
        #expect(throws: FrameError.self) { try reader.finish() }
        reader.append([200])
        #expect(try reader.next() == 200)
        try reader.finish()
    }

    @Test func anEmptyFrameIsNoValue() {
        var reader = FrameReader()
        reader.append([0, 0, 0, 0])
        #expect(throws: FrameError.self) { try reader.next() }
    }
}
