internal import KeyModel

extension CronExpression {
    /// The expression as an English sentence without its end, such as `at 03:00 on day 1 of January, April,
    /// July and October`.
    package var words: String { [timeWords, dayWords].compactMap(\.self).joined(separator: " ") }

    /// What is allowed, but seldom meant.
    package var remarks: [String] {
        var remarks: [String] = []
        if !isAnyDayOfMonth, !isAnyDayOfWeek {
            let rule = needsBothDays ? "both must match, since one begins with *" : "either may match"
            remarks.append("day of month and day of week are both restricted: \(rule)")
        }
        if [minute, hour, dayOfMonth, month, dayOfWeek].contains(where: \.mixesStar) {
            remarks.append("a list mixes * with other items: its first character alone decides the day and clock rules")
        }
        for item in [minute, hour, dayOfMonth, month, dayOfWeek].flatMap(\.vainSteps) {
            remarks.append("the step of \(quoted(item)) is wider than its field, so that only the first value matches")
        }
        return remarks + skippedMonths
    }

    private var isAnyDayOfMonth: Bool { dayOfMonth.isEverything(of: .dayOfMonth) }
    private var isAnyDayOfWeek: Bool { dayOfWeek.isEverything(of: .dayOfWeek) }

    /// The months that are passed over since they have no such day.
    private var skippedMonths: [String] {
        guard !isAnyDayOfMonth, needsBothDays || isAnyDayOfWeek else { return [] }
        guard !dayOfMonth.lastDay, !dayOfMonth.lastWeekday, dayOfMonth.bits & (1 << 29 - 1) == 0 else { return [] }
        let missing = numbers(month.bits).filter {
            dayOfMonth.bits & (1 << UInt64(Self.shortestLength($0) + 1) - 1) == 0
        }
        guard !missing.isEmpty else { return [] }
        let names = list(missing.map { Self.monthNames[$0 - 1] })
        return ["not every year has such a day in \(names); L is the last day of any month"]
    }

    private static func shortestLength(_ month: Int) -> Int { CalendarDate.days(inMonth: month, ofYear: 2001) }

    private var timeWords: String {
        let minutes = numbers(minute.bits)
        let hours = numbers(hour.bits)
        if hours.count == 24 {
            if minutes.count == 60 { return "every minute" }
            if let step = evenStep(minutes, of: 60) { return "every \(step) minutes" }
            return "at minute \(list(ranges(minutes))) of every hour"
        }
        if minutes.count * hours.count <= 6 {
            return "at " + list(hours.flatMap { hour in minutes.map { "\(padded(hour)):\(padded($0))" } })
        }
        let past = minutes.count == 60 ? "every minute" : "at minute \(list(ranges(minutes)))"
        return "\(past) of hour \(list(ranges(hours)))"
    }

    private var dayWords: String? {
        let isAnyMonth = numbers(month.bits).count == 12
        let months = isAnyMonth ? "every month" : list(numbers(month.bits).map { Self.monthNames[$0 - 1] })
        let isOrdinal = dayOfWeek.lastOfMonth != 0 || dayOfWeek.nthOfMonth.contains { $0 != 0 }
        switch (isAnyDayOfMonth, isAnyDayOfWeek) {
        case (true, true): return isAnyMonth ? nil : "in \(months)"
        case (false, true): return "\(numberWords) of \(months)"
        case (true, false) where isOrdinal: return "\(weekdayWords) of \(months)"
        case (true, false): return isAnyMonth ? weekdayWords : "\(weekdayWords) in \(months)"
        case (false, false) where needsBothDays: return "\(numberWords) of \(months), but only \(weekdayWords)"
        case (false, false):
            return "\(numberWords) of \(months), and besides \(weekdayWords)\(isAnyMonth ? "" : " then")"
        }
    }

    private var numberWords: String {
        var items: [String] = []
        if dayOfMonth.bits != 0 { items.append("day \(list(ranges(numbers(dayOfMonth.bits))))") }
        if dayOfMonth.lastDay { items.append("the last day") }
        if dayOfMonth.lastWeekday { items.append("the last day from Monday to Friday") }
        return "on \(list(items))"
    }

    private var weekdayWords: String {
        var items = runs(numbers(dayOfWeek.bits)).flatMap { run in
            let names = run.map { "\(Self.weekdayNames[$0])s" }
            return run.count > 2 ? ["\(names[0]) to \(names[names.count - 1])"] : names
        }
        for (index, days) in dayOfWeek.nthOfMonth.enumerated() {
            items += numbers(days).map { "the \(Self.ordinals[index]) \(Self.weekdayNames[$0])" }
        }
        items += numbers(dayOfWeek.lastOfMonth).map { "the last \(Self.weekdayNames[$0])" }
        return "on \(list(items))"
    }

    private func numbers(_ bits: UInt64) -> [Int] { (0..<60).filter { bits & 1 << UInt64($0) != 0 } }

    /// The step of values that divide their whole evenly, from 0 on.
    private func evenStep(_ values: [Int], of whole: Int) -> Int? {
        guard values.count > 1, whole % values.count == 0, case let step = whole / values.count else { return nil }
        return values == Array(stride(from: 0, to: whole, by: step)) ? step : nil
    }

    /// Three or more in a row become a range.
    private func ranges(_ values: [Int]) -> [String] {
        runs(values).flatMap { $0.count > 2 ? ["\($0.lowerBound)-\($0.upperBound)"] : $0.map(String.init) }
    }

    /// Ascending values as stretches without holes.
    private func runs(_ values: [Int]) -> [ClosedRange<Int>] {
        var result: [ClosedRange<Int>] = []
        for value in values {
            if let last = result.last, last.upperBound == value - 1 {
                result[result.count - 1] = last.lowerBound...value
            } else {
                result.append(value...value)
            }
        }
        return result
    }

    private func list(_ items: [String]) -> String {
        guard let last = items.last, items.count > 1 else { return items.first ?? "" }
        return "\(items.dropLast().joined(separator: ", ")) and \(last)"
    }

    private static let ordinals = ["first", "second", "third", "fourth", "fifth"]
    private static let weekdayNames = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    private static let monthNames = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]
}

extension CronFieldValue {
    /// Whether the field restricts nothing.
    fileprivate func isEverything(of field: CronField) -> Bool {
        let top = field == .dayOfWeek ? 6 : field.range.upperBound
        return startsWithStar && (field.range.lowerBound...top).allSatisfy { bits & 1 << UInt64($0) != 0 }
    }
}
