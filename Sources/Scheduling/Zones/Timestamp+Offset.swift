package import KeyModel

extension Timestamp {
    /// Whole seconds since the epoch, rounded down.
    var seconds: Int { Int(milliseconds.floorDivided(by: 1000)) }

    /// Makes a time from whole seconds since the epoch.
    init(seconds: Int) { self.init(milliseconds: Int64(clamping: seconds).multipliedClamping(by: 1000)) }

    /// Parses `YYYY-MM-DDTHH:MM[:SS[.mmm]]` with an offset, `Z` or `±HH:MM[:SS]`.
    ///
    /// - Throws: ``SchedulingError`` with `callerTimeMalformed`.
    package init(withOffset text: String) throws(SchedulingError) {
        guard let milliseconds = Self.parse(ByteCursor(text.utf8.prefix(40))) else {
            throw SchedulingError(
                .callerTimeMalformed, "\(quoted(text)) is no time with an offset",
                hint: "Write it as 2027-03-27T00:00:00+01:00, or in UTC as 2027-03-26T23:00:00Z."
            )
        }
        self.init(milliseconds: milliseconds)
    }

    private static func parse(_ cursor: ByteCursor) -> Int64? {
        var cursor = cursor
        guard let year = cursor.number(digits: 4...4), cursor.take("-"),
            let month = cursor.number(digits: 2...2), cursor.take("-"), let day = cursor.number(digits: 2...2),
            let date = CalendarDate(year: year, month: month, day: day), cursor.take("T"),
            let hour = cursor.number(digits: 2, in: 0...23), cursor.take(":"),
            let minute = cursor.number(digits: 2, in: 0...59)
        else { return nil }
        var local = date.daysSinceEpoch * 86_400 + hour * 3600 + minute * 60
        var milliseconds = 0
        if cursor.take(":") {
            guard let second = cursor.number(digits: 2, in: 0...59) else { return nil }
            local += second
            if cursor.take(".") {
                guard let fraction = cursor.number(digits: 3...3) else { return nil }
                milliseconds = fraction
            }
        }
        guard let offset = offset(&cursor), cursor.isAtEnd else { return nil }
        return Int64(local - offset) * 1000 + Int64(milliseconds)
    }

    private static func offset(_ cursor: inout ByteCursor) -> Int? {
        guard !cursor.take("Z") else { return 0 }
        let isBehind = cursor.take("-")
        guard isBehind || cursor.take("+"), let hours = cursor.number(digits: 2, in: 0...25), cursor.take(":"),
            let minutes = cursor.number(digits: 2, in: 0...59)
        else { return nil }
        var offset = hours * 3600 + minutes * 60
        if cursor.take(":") {
            guard let seconds = cursor.number(digits: 2, in: 0...59) else { return nil }
            offset += seconds
        }
        return isBehind ? -offset : offset
    }
}

extension Int64 {
    fileprivate func multipliedClamping(by factor: Int64) -> Int64 {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? (self < 0 ? .min : .max) : product
    }
}
