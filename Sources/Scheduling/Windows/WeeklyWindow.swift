internal import KeyModel

/// A stretch of the week on the wall, `[DAYS ]HH:MM-HH:MM`: its start included, its end not.
///
/// Days are three-letter names, lists and ranges of them, which may wrap (`Fri-Mon`); without them every day
/// counts. An end before the start lies on the next day, and the window belongs to the day on which it starts.
package struct WeeklyWindow: Hashable, Sendable, CustomStringConvertible {
    /// The text as it was written.
    package let description: String

    /// The days on which it starts, bit 0 for Sunday.
    let days: UInt8
    /// Minutes after midnight, 0 to 1439.
    let start: Int
    /// Minutes after the midnight that the starting day begins with; up to 1439 past the next one.
    let end: Int

    /// Parses a window.
    ///
    /// - Throws: ``SchedulingError`` with `callerWindowMalformed`.
    package init(parsing text: String) throws(SchedulingError) {
        var cursor = ByteCursor(text.utf8.prefix(200))
        do throws(Fault) {
            days = try Self.days(&cursor)
            start = try Self.time(&cursor, latest: 1439, name: "start")
            guard cursor.take("-") else { throw Fault(reason: "a - must separate start and end") }
            let end = try Self.time(&cursor, latest: 1440, name: "end")
            guard cursor.isAtEnd else { throw Fault(reason: "nothing may follow its end") }
            guard end != start else { throw Fault(reason: "it has no length") }
            self.end = end > start ? end : end + 1440
        } catch {
            throw SchedulingError(
                .callerWindowMalformed,
                "window \(quoted(text)), character \(cursor.position + 1): \(error.reason)",
                hint: "Write it as Sat 01:00-05:00 or Mon-Fri,Sun 22:00-06:00, with 24:00 for the end of the day."
            )
        }
        description = text
    }

    private struct Fault: Error {
        let reason: String
    }

    /// The names, from Sunday.
    static let dayNames = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]

    private static func days(_ cursor: inout ByteCursor) throws(Fault) -> UInt8 {
        guard let first = cursor.next, !(0x30...0x39).contains(first) else { return 0x7F }
        var days: UInt8 = 0
        repeat {
            let first = try day(&cursor)
            let last = cursor.take("-") ? try day(&cursor) : first
            for step in 0...(last - first).remainder(by: 7) { days |= 1 << UInt8((first + step) % 7) }
        } while cursor.take(",")
        guard cursor.take(" ") else { throw Fault(reason: "a blank must stand between days and times") }
        while cursor.take(" ") {}
        return days
    }

    private static func day(_ cursor: inout ByteCursor) throws(Fault) -> Int {
        let name = String(decoding: cursor.take { (0x41...0x5A).contains($0 & 0xDF) }, as: UTF8.self)
        guard let day = dayNames.firstIndex(where: { $0.lowercased() == name.lowercased() }) else {
            throw Fault(reason: "\(quoted(name)) is no day; days are \(dayNames.joined(separator: ", "))")
        }
        return day
    }

    private static func time(_ cursor: inout ByteCursor, latest: Int, name: String) throws(Fault) -> Int {
        guard let hour = cursor.number(digits: 2...2), cursor.take(":"), let minute = cursor.number(digits: 2...2)
        else {
            throw Fault(reason: "its \(name) is no time HH:MM")
        }
        guard minute < 60, hour * 60 + minute <= latest else {
            throw Fault(reason: "its \(name) is later than \(latest == 1440 ? "24:00" : "23:59")")
        }
        return hour * 60 + minute
    }
}
