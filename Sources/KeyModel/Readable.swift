/// Writes quantities for people; what machines read is written plainly elsewhere.
package enum Readable {
    /// A number with its thousands set apart, `12,345`.
    package static func count(_ number: some BinaryInteger) -> String {
        let digits = Array(String(number.magnitude))
        let groups = stride(from: digits.count, to: 0, by: -3).map { String(digits[max(0, $0 - 3)..<$0]) }
        return (number < 0 ? "-" : "") + groups.reversed().joined(separator: ",")
    }

    /// A size in binary units, `512 B`, `1.2 MiB`, `340 GiB`.
    package static func bytes(_ size: some BinaryInteger) -> String {
        let sign = size < 0 ? "-" : ""
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var value = Double(size.magnitude)
        guard value >= 1024 else { return "\(size) B" }
        var unit = 0
        // A value that would be shown as 1,024 belongs to the next unit.
        while value >= 1023.5, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return sign + decimal(value) + " " + units[unit]
    }

    /// A length of time in its two largest units, `350 ms`, `3.2 s`, `3 min 10 s`, `2 d 4 h`.
    package static func duration(_ duration: Duration) -> String {
        if duration < .zero { return "-" + Self.duration(.zero - duration) }
        let (whole, attoseconds) = duration.components
        let exact = Double(whole) + Double(attoseconds) / 1e18
        if exact < 0.9995 {
            return exact < 0.00995 && exact > 0 ? "\(tenths(exact * 1000)) ms" : "\(rounded(exact * 1000)) ms"
        }
        if exact < 9.95 { return "\(tenths(exact)) s" }
        let seconds = rounded(exact)
        let units: [(name: String, seconds: Int64)] = [("d", 86400), ("h", 3600), ("min", 60), ("s", 1)]
        let place = units.firstIndex { seconds >= $0.seconds } ?? units.count - 1
        var text = "\(count(seconds / units[place].seconds)) \(units[place].name)"
        guard place + 1 < units.count else { return text }
        let rest = seconds % units[place].seconds / units[place + 1].seconds
        if rest > 0 { text += " \(rest) \(units[place + 1].name)" }
        return text
    }

    /// A rate per second, `12,300 rows/s`, with one decimal below ten.
    package static func rate(_ perSecond: Double, unit: String) -> String {
        (perSecond < 9.95 ? tenths(perSecond) : count(rounded(perSecond))) + " \(unit)/s"
    }

    /// One decimal below one hundred, none above.
    private static func decimal(_ value: Double) -> String { value < 99.95 ? tenths(value) : count(rounded(value)) }

    private static func tenths(_ value: Double) -> String {
        let tenths = rounded(value * 10)
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// Rounds to the nearest number; what no Int64 holds, infinities among it, becomes the largest one.
    private static func rounded(_ value: Double) -> Int64 { Int64(exactly: value.rounded()) ?? .max }
}
