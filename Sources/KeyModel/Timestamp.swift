/// A point in time as milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Stored and shown as ISO 8601 in UTC with three decimals, so that texts sort as times do.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Milliseconds since the epoch; years 0000 to 9999.
    public let milliseconds: Int64

    /// The first and the last time that the text form can show.
    private static let range: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999

    /// Makes a time, held to the years 0000 to 9999.
    public init(milliseconds: Int64) {
        self.milliseconds = min(max(milliseconds, Self.range.lowerBound), Self.range.upperBound)
    }

    /// Parses `YYYY-MM-DDTHH:MM:SS[.mmm]Z`, the only form that is written.
    ///
    /// - Throws: ``KeyModelError`` with `callerTimeMalformed`.
    public init(_ text: String) throws(KeyModelError) {
        guard let milliseconds = Self.parse(Array(text.utf8)) else {
            throw KeyModelError(
                .callerTimeMalformed, "\(quoted(text)) is no time", hint: "Write it as 2026-03-01T03:00:00Z, in UTC."
            )
        }
        self.milliseconds = milliseconds
    }

    /// The time as ISO 8601 in UTC, `2026-03-01T03:00:00.000Z`.
    public var description: String {
        let days = milliseconds.floorDivided(by: 86_400_000)
        let inDay = milliseconds - days * 86_400_000
        let date = CalendarDate(daysSinceEpoch: Int(days))
        let time = [inDay / 3_600_000, inDay / 60_000 % 60, inDay / 1000 % 60].map { padded($0, 2) }.joined(
            separator: ":")
        return
            "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T\(time).\(padded(inDay % 1000, 3))Z"
    }

    /// How long after `earlier` this time is; negative when it is before.
    public func since(_ earlier: Timestamp) -> Duration { .milliseconds(milliseconds - earlier.milliseconds) }

    /// The time this much later, held to the range.
    public func advanced(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        let step = seconds.multipliedReportingOverflow(by: 1000)
        guard !step.overflow else { return Timestamp(milliseconds: seconds < 0 ? .min : .max) }
        let sum = milliseconds.addingReportingOverflow(step.partialValue + attoseconds / 1_000_000_000_000_000)
        return Timestamp(milliseconds: sum.overflow ? (seconds < 0 ? .min : .max) : sum.partialValue)
    }

    /// Orders by the raw value, the text or the time.
    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.milliseconds < right.milliseconds }

    private static func parse(_ bytes: [UInt8]) -> Int64? {
        guard bytes.count == 20 || bytes.count == 24, bytes.last == UInt8(ascii: "Z") else { return nil }
        let marks: [(Int, Character)] = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")]
        guard marks.allSatisfy({ bytes[$0.0] == $0.1.asciiValue }) else { return nil }
        guard bytes.count == 20 || bytes[19] == UInt8(ascii: ".") else { return nil }
        let fields = [(0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2)].map { digits(bytes[$0.0..<$0.0 + $0.1]) }
        let fraction = bytes.count == 24 ? digits(bytes[20..<23]) : 0
        guard case let numbers = fields.compactMap({ $0 }), numbers.count == 6, let fraction else { return nil }
        guard numbers[3] < 24, numbers[4] < 60, numbers[5] < 60 else { return nil }
        let date = CalendarDate(year: Int(numbers[0]), month: Int(numbers[1]), day: Int(numbers[2]))
        guard let days = date?.daysSinceEpoch else { return nil }
        return Int64(days) * 86_400_000 + numbers[3] * 3_600_000 + numbers[4] * 60_000 + numbers[5] * 1000 + fraction
    }

    private static func digits(_ bytes: ArraySlice<UInt8>) -> Int64? {
        guard bytes.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return bytes.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }
}

private func padded(_ number: some BinaryInteger, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}
