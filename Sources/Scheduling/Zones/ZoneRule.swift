internal import KeyModel

/// What a file of a zone breaks, in words.
struct ZoneFault: Error, Hashable {
    let reason: String
}

/// The rule for all times after a zone's table: a POSIX TZ string as RFC 8536, section 3.3, extends it.
struct ZoneRule: Hashable, Sendable {
    private let standard: Int
    private let daylight: Daylight?

    private struct Daylight: Hashable, Sendable {
        let offset: Int
        let start: Change
        let end: Change
    }

    /// A day of each year and a time on it.
    private struct Change: Hashable, Sendable {
        enum Day: Hashable, Sendable {
            /// 1 to 365; February 29 is never counted.
            case julian(Int)
            /// 0 to 365; February 29 is counted.
            case ordinal(Int)
            /// A weekday of a week of a month; week 5 is the last one.
            case weekday(month: Int, week: Int, day: Int)
        }

        let day: Day
        /// Seconds after midnight; up to a week either way.
        let time: Int

        func local(inYear year: Int) -> Int { date(inYear: year) * 86_400 + time }

        private func date(inYear year: Int) -> Int {
            let newYear = CalendarDate.daysSinceEpoch(year: year, month: 1, day: 1)
            switch day {
            case .ordinal(let ordinal): return newYear + ordinal
            case .julian(let number):
                let isLeap = CalendarDate.days(inMonth: 2, ofYear: year) == 29
                return newYear + number - 1 + (isLeap && number >= 60 ? 1 : 0)
            case .weekday(let month, let week, let weekday):
                let first = CalendarDate.daysSinceEpoch(year: year, month: month, day: 1)
                let ahead = (weekday - CalendarDate.weekday(daysSinceEpoch: first)).remainder(by: 7)
                let length = CalendarDate.days(inMonth: month, ofYear: year)
                let wanted = ahead + (week - 1) * 7
                return first + (wanted >= length ? wanted - 7 : wanted)
            }
        }
    }

    /// Parses the text.
    init(parsing text: ArraySlice<UInt8>) throws(ZoneFault) {
        guard text.count <= 128 else { throw ZoneFault(reason: "its rule is longer than 128 bytes") }
        var cursor = ByteCursor(text)
        guard let rule = Self.parse(&cursor), cursor.isAtEnd else {
            throw ZoneFault(reason: "its rule \(quoted(String(decoding: text, as: UTF8.self))) cannot be read")
        }
        self = rule
    }

    private init(standard: Int, daylight: Daylight?) {
        self.standard = standard
        self.daylight = daylight
    }

    /// The stretch that an instant lies in, as if the rule held for ever.
    func segment(at instant: Int) -> ZoneSegment {
        guard let daylight else {
            return ZoneSegment(start: ZoneTable.bounds.lowerBound, end: ZoneTable.bounds.upperBound, offset: standard)
        }
        let year = CalendarDate(daysSinceEpoch: (instant + standard).floorDivided(by: 86_400)).year
        var current = ZoneSegment(start: .min, end: .min, offset: standard)
        for change in changes(of: daylight, inYears: year - 2...year + 2) {
            if change.at > instant, change.offset != current.offset {
                return ZoneSegment(start: current.start, end: change.at, offset: current.offset)
            }
            guard change.at <= instant else { continue }
            let start = change.offset == current.offset && current.start > .min ? current.start : change.at
            current = ZoneSegment(start: start, end: .min, offset: change.offset)
        }
        // Daylight saving all year round: the years touch, so any end that lies ahead will do.
        return ZoneSegment(
            start: current.start, end: max(current.start, instant) + 366 * 86_400, offset: current.offset)
    }

    /// All changes of some years, ascending; of two at one instant the later rule comes last and holds.
    private func changes(of daylight: Daylight, inYears years: ClosedRange<Int>) -> [(at: Int, offset: Int)] {
        var changes: [(at: Int, offset: Int)] = []
        for year in years {
            let start = (daylight.start.local(inYear: year) - standard, daylight.offset)
            let end = (daylight.end.local(inYear: year) - daylight.offset, standard)
            changes += start.0 <= end.0 ? [start, end] : [end, start]
        }
        var result: [(at: Int, offset: Int)] = []
        for change in changes {
            while let last = result.last, last.at >= change.at { result.removeLast() }
            result.append(change)
        }
        return result
    }

    private static func parse(_ cursor: inout ByteCursor) -> ZoneRule? {
        guard skipName(&cursor), let standard = offset(&cursor) else { return nil }
        guard !cursor.isAtEnd else { return ZoneRule(standard: standard, daylight: nil) }
        guard skipName(&cursor) else { return nil }
        let isGiven = cursor.next != UInt8(ascii: ",")
        guard let offset = isGiven ? offset(&cursor) : standard + 3600, cursor.take(","),
            let start = change(&cursor), cursor.take(","), let end = change(&cursor)
        else { return nil }
        return ZoneRule(standard: standard, daylight: Daylight(offset: offset, start: start, end: end))
    }

    private static func skipName(_ cursor: inout ByteCursor) -> Bool {
        if cursor.take("<") {
            let name = cursor.take { isLetter($0) || (0x30...0x39).contains($0) || $0 == 0x2B || $0 == 0x2D }
            return name.count >= 3 && cursor.take(">")
        }
        return cursor.take(while: isLetter).count >= 3
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte & 0xDF) }

    /// POSIX counts westwards.
    private static func offset(_ cursor: inout ByteCursor) -> Int? { time(&cursor, mostHours: 24).map { -$0 } }

    private static func time(_ cursor: inout ByteCursor, mostHours: Int) -> Int? {
        let isNegative = cursor.take("-")
        if !isNegative { _ = cursor.take("+") }
        guard let hours = cursor.number(digits: 1...3), hours <= mostHours else { return nil }
        var seconds = hours * 3600
        for unit in [60, 1] {
            guard cursor.take(":") else { break }
            guard let value = cursor.number(digits: 2, in: 0...59) else { return nil }
            seconds += value * unit
        }
        return isNegative ? -seconds : seconds
    }

    private static func change(_ cursor: inout ByteCursor) -> Change? {
        guard let day = day(&cursor) else { return nil }
        guard cursor.take("/") else { return Change(day: day, time: 7200) }
        return time(&cursor, mostHours: 167).map { Change(day: day, time: $0) }
    }

    private static func day(_ cursor: inout ByteCursor) -> Change.Day? {
        if cursor.take("M") {
            guard let month = cursor.number(digits: 1...2), (1...12).contains(month), cursor.take("."),
                let week = cursor.number(digits: 1, in: 1...5), cursor.take("."),
                let day = cursor.number(digits: 1, in: 0...6)
            else { return nil }
            return .weekday(month: month, week: week, day: day)
        }
        let isJulian = cursor.take("J")
        guard let number = cursor.number(digits: 1...3), (isJulian ? 1...365 : 0...365).contains(number) else {
            return nil
        }
        return isJulian ? .julian(number) : .ordinal(number)
    }
}
