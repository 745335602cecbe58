extension Duration {
    /// Parses a duration as it is written in configuration: `90d`, `1d12h`, `1s500ms`, or ISO 8601 as `P90D`, `PT1H30M`, `P2W`.
    ///
    /// Units are `w d h m s ms`, each at most once and in descending order, with whole numbers and no blanks. A day has
    /// 24 hours; years and months are refused, since their lengths vary. At most 100 years (36 525 days).
    ///
    /// - Throws: ``KeyModelError`` with `callerDurationMalformed`.
    public init(parsing text: String) throws(KeyModelError) {
        let bytes = text.utf8
        let total = bytes.first == UInt8(ascii: "P") ? Self.parseISO(bytes.dropFirst()) : Self.parsePlain(bytes[...])
        guard let total, total <= Self.longest else {
            throw KeyModelError(
                .callerDurationMalformed, "\(quoted(text)) is no duration",
                hint: "Write it as 90d, 1d12h or PT36H, with whole numbers of w, d, h, m, s and ms, at most 36525d."
            )
        }
        self = .milliseconds(total)
    }

    /// The duration in the shortest form that ``init(parsing:)`` reads, such as `90d` or `1d12h`.
    ///
    /// Whole milliseconds, anything finer is cut off; weeks are written as days; a negative one, which has no form of
    /// its own, as its opposite behind a `-`.
    public var durationText: String {
        let (seconds, attoseconds) = components
        var parts: [String] = []
        var rest = seconds.magnitude
        for (name, size) in [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)] as [(String, UInt64)] {
            let (count, remainder) = rest.quotientAndRemainder(dividingBy: size)
            if count > 0 { parts.append("\(count)\(name)") }
            rest = remainder
        }
        let milliseconds = attoseconds.magnitude / 1_000_000_000_000_000
        if milliseconds > 0 { parts.append("\(milliseconds)ms") }
        guard !parts.isEmpty else { return "0s" }
        return (self < .zero ? "-" : "") + parts.joined()
    }

    /// 36 525 days in milliseconds.
    private static let longest: Int64 = 36_525 * 86_400_000

    /// Thirteen digits hold every duration that is allowed.
    private static let mostDigits = 13

    private static let plainUnits: [(name: String, milliseconds: Int64)] = [
        ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]
    private static let isoTimeUnits: [(name: String, milliseconds: Int64)] = [
        ("H", 3_600_000), ("M", 60_000), ("S", 1000),
    ]

    private static func parsePlain(_ text: Substring.UTF8View) -> Int64? { sum(text, units: plainUnits[...]) }

    /// `P…W` stands alone; otherwise days, and behind a `T` hours, minutes and seconds.
    private static func parseISO(_ text: Substring.UTF8View) -> Int64? {
        if text.last == UInt8(ascii: "W") { return sum(text, units: [("W", 604_800_000)]) }
        let parts = text.split(separator: UInt8(ascii: "T"), maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return sum(text, units: [("D", 86_400_000)]) }
        let days = parts[0].isEmpty ? 0 : sum(parts[0], units: [("D", 86_400_000)])
        guard let days, let time = sum(parts[1], units: isoTimeUnits[...]) else { return nil }
        return add(days, time)
    }

    /// Adds up `number unit` pairs whose units appear in the order of `units`, each at most once; nil for anything else.
    private static func sum(
        _ text: Substring.UTF8View, units: ArraySlice<(name: String, milliseconds: Int64)>
    ) -> Int64? {
        guard !text.isEmpty else { return nil }
        var text = text
        var units = units
        var total: Int64 = 0
        while !text.isEmpty {
            let digits = text.prefix { (0x30...0x39).contains($0) }
            text = text.dropFirst(digits.count)
            let name = text.prefix { !(0x30...0x39).contains($0) }
            text = text.dropFirst(name.count)
            guard (1...mostDigits).contains(digits.count), let number = Int64(Substring(digits)),
                let place = units.firstIndex(where: { $0.name.utf8.elementsEqual(name) })
            else { return nil }
            let (product, overflow) = number.multipliedReportingOverflow(by: units[place].milliseconds)
            guard !overflow, let sum = add(total, product) else { return nil }
            total = sum
            units = units[(place + 1)...]
        }
        return total
    }

    private static func add(_ left: Int64, _ right: Int64) -> Int64? {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? nil : sum
    }
}
