internal import KeyModel
internal import Testing
internal import ToolTesting

struct KeyIDTests {
    /// Hands out a fixed row of numbers, so that a collision can be forced.
    private struct Scripted: RandomNumberGenerator {
        var numbers: [UInt64]
        mutating func next() -> UInt64 { numbers.isEmpty ? UInt64.max / 3 : numbers.removeFirst() }
    }

    @Test func zeroIsNoKey() {
        #expect(KeyID(0) == nil)
        #expect(KeyID(hex: "00000000") == nil)
    }

    @Test(arguments: [(UInt32(1), "00000001"), (0xDEAD_BEEF, "deadbeef"), (.max, "ffffffff"), (0x0A0B, "00000a0b")])
    func writesEightLowerCaseDigitsAndReadsThem(number: UInt32, text: String) throws {
        #expect(KeyID(number)?.description == text)
        #expect(KeyID(hex: text)?.rawValue == number)
    }

    @Test(arguments: [
        "DEADBEEF", "1", "0000000g", "+0000001", "-0000001", "0x000001", "deadbeef0", "", "０0000001", " 0000001",
    ])
    func refusesEveryOtherSpelling(text: String) {
        #expect(KeyID(hex: text) == nil)
    }

    @Test func drawsAgainWhereTheNumberIsTaken() throws {
        var first = Scripted(numbers: [0x1234_5678_9ABC_DEF0])
        let taken = KeyID.random(avoiding: [], using: &first)
        var second = Scripted(numbers: [0x1234_5678_9ABC_DEF0, 0x1234_5678_9ABC_DEF0, 0xFEDC_BA98_7654_3210])
        let drawn = KeyID.random(avoiding: [taken], using: &second)
        #expect(drawn != taken && second.numbers.count < 2)
    }

    @Test func everyDrawnIDIsReadBack() {
        var generator = SeededGenerator()
        var taken: Set<KeyID> = []
        for _ in 0..<2000 {
            let id = KeyID.random(avoiding: taken, using: &generator)
            #expect(taken.insert(id).inserted && KeyID(hex: id.description) == id, "seed \(generator.seed)")
        }
    }
}
