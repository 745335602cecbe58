/// A place in the write-ahead log of PostgreSQL, as `16/B374D848` or as the number that this stands for.
struct LogPosition: Comparable, CustomStringConvertible {
    private let number: UInt64

    /// Reads a position; nil for what is none.
    init?(_ text: String) {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2 else {
            guard let number = UInt64(text) else { return nil }
            self.number = number
            return
        }
        guard let high = UInt32(halves[0], radix: 16), let low = UInt32(halves[1], radix: 16) else { return nil }
        number = UInt64(high) << 32 | UInt64(low)
    }

    var description: String {
        String(number >> 32, radix: 16, uppercase: true) + "/"
            + String(number & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }

    static func < (left: LogPosition, right: LogPosition) -> Bool { left.number < right.number }
}
