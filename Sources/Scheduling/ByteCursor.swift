/// Reads a short ASCII text from left to right; whatever does not fit is answered with nil or false, never a trap.
struct ByteCursor {
    private let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    var isAtEnd: Bool { position == bytes.count }
    var next: UInt8? { isAtEnd ? nil : bytes[position] }

    /// Passes over one character if it is this one.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let next, UInt32(next) == character.value else { return false }
        position += 1
        return true
    }

    /// Takes bytes as long as they satisfy a condition.
    mutating func take(while condition: (UInt8) -> Bool) -> ArraySlice<UInt8> {
        let start = position
        while let next, condition(next) { position += 1 }
        return bytes[start..<position]
    }

    /// Takes a number of so many digits.
    mutating func number(digits: ClosedRange<Int>) -> Int? {
        let start = position
        var value = 0
        while let next, (0x30...0x39).contains(next), position - start < digits.upperBound {
            value = value * 10 + Int(next - 0x30)
            position += 1
        }
        return digits.contains(position - start) ? value : nil
    }

    /// Takes a number of exactly so many digits that lies in a range.
    mutating func number(digits: Int, in range: ClosedRange<Int>) -> Int? {
        guard let value = number(digits: digits...digits), range.contains(value) else { return nil }
        return value
    }
}
