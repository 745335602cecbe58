internal import KeyModel

/// A date and time of day as a clock on the wall shows them, whether or not they exist in a zone.
package struct LocalTime: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Seconds since 1970-01-01T00:00:00 on that clock.
    package let seconds: Int

    /// Makes a time.
    package init(seconds: Int) { self.seconds = seconds }

    /// The day as days since 1970-01-01.
    var day: Int { seconds.floorDivided(by: 86_400) }
    /// The time of day in seconds.
    var timeOfDay: Int { seconds.remainder(by: 86_400) }

    /// The time as ISO 8601 without an offset, `2027-03-28T02:30:00`.
    package var description: String {
        let date = CalendarDate(daysSinceEpoch: day)
        return "\(padded(date.year, 4))-\(padded(date.month))-\(padded(date.day))T\(timeText(withSeconds: true))"
    }

    /// The time of day, `02:30`.
    package var timeText: String { timeText(withSeconds: timeOfDay % 60 != 0) }

    private func timeText(withSeconds: Bool) -> String {
        let parts = [timeOfDay / 3600, timeOfDay / 60 % 60] + (withSeconds ? [timeOfDay % 60] : [])
        return parts.map { padded($0) }.joined(separator: ":")
    }

    /// Orders as the clock shows them.
    package static func < (left: LocalTime, right: LocalTime) -> Bool { left.seconds < right.seconds }
}

/// A number with zeros in front.
func padded(_ number: Int, _ width: Int = 2) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}
