internal import KeyModel

/// Finding matching times on the wall, in seconds since 1970 on that wall, without regard to any zone.
///
/// Each month looked at is one step.
extension CronExpression {
    /// The first matching time of a stretch.
    func firstMatch(in range: Range<Int>, steps: inout Int) -> Int? {
        let time = LocalTime(seconds: range.lowerBound + 59)
        let date = CalendarDate(daysSinceEpoch: time.day)
        let end = CalendarDate(daysSinceEpoch: LocalTime(seconds: range.upperBound).day)
        var (year, month) = (date.year, date.month)
        var days = days(ofMonth: month, inYear: year) & ~0 << UInt32(date.day)
        if days & 1 << UInt32(date.day) != 0 {
            if let minute = firstMinute(atOrAfter: time.timeOfDay / 60) {
                return within(range, day: time.day, minute: minute)
            }
            days &= ~(1 << UInt32(date.day))
        }
        while (year, month) <= (end.year, end.month) {
            steps += 1
            if days != 0, let minute = firstMinute(atOrAfter: 0) {
                let day = CalendarDate.daysSinceEpoch(year: year, month: month, day: days.trailingZeroBitCount)
                return within(range, day: day, minute: minute)
            }
            let later = self.month.bits >> UInt64(month + 1)
            (year, month) =
                later != 0
                ? (year, month + 1 + later.trailingZeroBitCount) : (year + 1, self.month.bits.trailingZeroBitCount)
            days = self.days(ofMonth: month, inYear: year)
        }
        return nil
    }

    /// The last matching time of a stretch.
    func lastMatch(in range: Range<Int>, steps: inout Int) -> Int? {
        let time = LocalTime(seconds: range.upperBound - 1)
        let date = CalendarDate(daysSinceEpoch: time.day)
        let start = CalendarDate(daysSinceEpoch: LocalTime(seconds: range.lowerBound).day)
        var (year, month) = (date.year, date.month)
        var days = days(ofMonth: month, inYear: year) & ~((~0 << UInt32(date.day)) << 1)
        if days & 1 << UInt32(date.day) != 0 {
            if let minute = lastMinute(atOrBefore: time.timeOfDay / 60) {
                return within(range, day: time.day, minute: minute)
            }
            days &= ~(1 << UInt32(date.day))
        }
        while (year, month) >= (start.year, start.month) {
            steps += 1
            if days != 0, let minute = lastMinute(atOrBefore: 1439) {
                let day = CalendarDate.daysSinceEpoch(year: year, month: month, day: 31 - days.leadingZeroBitCount)
                return within(range, day: day, minute: minute)
            }
            let earlier = self.month.bits & (1 << UInt64(month) - 1)
            (year, month) =
                earlier != 0
                ? (year, 63 - earlier.leadingZeroBitCount) : (year - 1, 63 - self.month.bits.leadingZeroBitCount)
            days = self.days(ofMonth: month, inYear: year)
        }
        return nil
    }

    private func within(_ range: Range<Int>, day: Int, minute: Int) -> Int? {
        let local = day * 86_400 + minute * 60
        return range.contains(local) ? local : nil
    }

    /// How many times match in a stretch on the wall, counted by months and not one by one.
    func countMatches(in range: Range<Int>) -> Int {
        let start = LocalTime(seconds: range.lowerBound + 59)
        let end = LocalTime(seconds: range.upperBound + 59)
        let last = CalendarDate(daysSinceEpoch: end.day)
        var date = CalendarDate(daysSinceEpoch: start.day)
        var count = -countOnDay(of: date, before: start)
        while (date.year, date.month) < (last.year, last.month) {
            count +=
                (days(ofMonth: date.month, inYear: date.year) & ~0 << UInt32(date.day)).nonzeroBitCount * matchesADay
            let days = CalendarDate.days(inMonth: date.month, ofYear: date.year) - date.day + 1
            date = CalendarDate(daysSinceEpoch: date.daysSinceEpoch + days)
        }
        let days = days(ofMonth: last.month, inYear: last.year) & ~0 << UInt32(date.day) & ~(~0 << UInt32(last.day))
        return count + days.nonzeroBitCount * matchesADay + countOnDay(of: last, before: end)
    }

    private var matchesADay: Int { hour.bits.nonzeroBitCount * minute.bits.nonzeroBitCount }

    /// How many times match on a day before a time of that day.
    private func countOnDay(of date: CalendarDate, before time: LocalTime) -> Int {
        guard days(ofMonth: date.month, inYear: date.year) & 1 << UInt32(date.day) != 0 else { return 0 }
        return countMinutes(before: time.timeOfDay / 60)
    }

    private func countMinutes(before minuteOfDay: Int) -> Int {
        let (hour, minute) = (UInt64(minuteOfDay / 60), UInt64(minuteOfDay % 60))
        let full = (self.hour.bits & (1 << hour - 1)).nonzeroBitCount * self.minute.bits.nonzeroBitCount
        guard self.hour.bits & 1 << hour != 0 else { return full }
        return full + (self.minute.bits & (1 << minute - 1)).nonzeroBitCount
    }

    private func firstMinute(atOrAfter minuteOfDay: Int) -> Int? {
        let (hour, minute) = (UInt64(minuteOfDay / 60), UInt64(minuteOfDay % 60))
        let rest = self.minute.bits >> minute
        if self.hour.bits & 1 << hour != 0, rest != 0 { return minuteOfDay + rest.trailingZeroBitCount }
        let later = self.hour.bits >> (hour + 1)
        guard later != 0 else { return nil }
        return (Int(hour) + 1 + later.trailingZeroBitCount) * 60 + self.minute.bits.trailingZeroBitCount
    }

    private func lastMinute(atOrBefore minuteOfDay: Int) -> Int? {
        let (hour, minute) = (UInt64(minuteOfDay / 60), UInt64(minuteOfDay % 60))
        let passed = self.minute.bits & (1 << (minute + 1) - 1)
        if self.hour.bits & 1 << hour != 0, passed != 0 { return Int(hour) * 60 + 63 - passed.leadingZeroBitCount }
        let earlier = self.hour.bits & (1 << hour - 1)
        guard earlier != 0 else { return nil }
        return (63 - earlier.leadingZeroBitCount) * 60 + 63 - self.minute.bits.leadingZeroBitCount
    }
}
