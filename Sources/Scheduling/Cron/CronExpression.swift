internal import KeyModel

/// A cron expression of five fields: `minute hour day-of-month month day-of-week`.
///
/// Lists, ranges, steps and names as in Debian's cron; `a/b` counts from a to the field's end; `L` and `LW` in
/// the day of month are its last day and its last day from Monday to Friday; `nL` and `n#k` in the day of week
/// are the last and the kth such weekday of the month. Macros such as `@weekly` stand for whole expressions.
package struct CronExpression: Hashable, Sendable, CustomStringConvertible {
    /// The text as it was written.
    package let description: String

    let minute: CronFieldValue
    let hour: CronFieldValue
    let dayOfMonth: CronFieldValue
    let month: CronFieldValue
    let dayOfWeek: CronFieldValue

    /// Whether it runs at every real minute that matches, rather than once for each time that matches: its minute or
    /// hour field begins with `*`.
    package var isWildcard: Bool { minute.startsWithStar || hour.startsWithStar }

    /// Whether a day must match both day fields rather than one of them: one of the two begins with `*`.
    var needsBothDays: Bool { dayOfMonth.startsWithStar || dayOfWeek.startsWithStar }

    /// Parses an expression.
    ///
    /// - Throws: ``SchedulingError`` with `callerCronMalformed` or `callerCronNeverFires`; the message quotes the item that is
    ///   wrong and counts the characters before it.
    package init(parsing text: String) throws(SchedulingError) {
        let words = try Self.words(of: text)
        description = text
        var values: [CronFieldValue] = []
        for (field, word) in zip(CronField.allCases, words) {
            let parser = CronFieldParser(field: field, text: word.text) { item, reason, hint in
                let skipped = word.text.firstRange(of: item).map { word.text[..<$0.lowerBound].utf8.count } ?? 0
                return Self.fault(
                    text, "\(field.title) \(quoted(item)) at character \(word.position + skipped) \(reason)", hint: hint
                )
            }
            values.append(try parser.parse())
        }
        (minute, hour, dayOfMonth, month, dayOfWeek) = (values[0], values[1], values[2], values[3], values[4])
        guard hasDate else {
            throw SchedulingError(
                .callerCronNeverFires, "cron \(quoted(text)) never fires: no month it names has such a day",
                hint: "Correct the day of month or the month; L is the last day of every month."
            )
        }
    }

    /// The days of a month that match, bit 1 for the first day.
    func days(ofMonth month: Int, inYear year: Int) -> UInt32 {
        guard self.month.bits & 1 << UInt64(month) != 0 else { return 0 }
        let length = CalendarDate.days(inMonth: month, ofYear: year)
        let first = CalendarDate.weekday(
            daysSinceEpoch: CalendarDate.daysSinceEpoch(year: year, month: month, day: 1))
        var result: UInt32 = 0
        for day in 1...length {
            let weekday = (first + day - 1) % 7
            let byNumber = matches(dayOfMonth: day, weekday: weekday, length: length)
            let byName = matches(weekday: weekday, day: day, length: length)
            if needsBothDays ? byNumber && byName : byNumber || byName { result |= 1 << UInt32(day) }
        }
        return result
    }

    private func matches(dayOfMonth day: Int, weekday: Int, length: Int) -> Bool {
        if dayOfMonth.bits & 1 << UInt64(day) != 0 || dayOfMonth.lastDay && day == length { return true }
        guard dayOfMonth.lastWeekday, (1...5).contains(weekday) else { return false }
        return day == length || weekday == 5 && day + 2 >= length
    }

    private func matches(weekday: Int, day: Int, length: Int) -> Bool {
        let bit: UInt64 = 1 << UInt64(weekday)
        return (dayOfWeek.bits | dayOfWeek.nthOfMonth[(day - 1) / 7]) & bit != 0
            || dayOfWeek.lastOfMonth & bit != 0 && day + 7 > length
    }

    /// Whether any date matches; the calendar repeats after 400 years.
    private var hasDate: Bool {
        (2000..<2400).contains { year in (1...12).contains { days(ofMonth: $0, inYear: year) != 0 } }
    }
}

// MARK: - Words

extension CronExpression {
    private static let macros = [
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
    ]

    private typealias Word = (text: String, position: Int)

    /// The five fields, macros replaced, each with where it stands, counted from 1.
    private static func words(of text: String) throws(SchedulingError) -> [Word] {
        let bytes = Array(text.utf8)
        guard bytes.count <= 256 else { throw fault(text, "it is longer than 256 characters") }
        if let index = bytes.firstIndex(where: { $0 != 0x09 && !(0x20..<0x7F).contains($0) }) {
            throw fault(
                text, "character \(index + 1) is not plain ASCII", hint: "Separate the fields with blanks or tabs.")
        }
        let words = bytes.indices.split { bytes[$0] == 0x20 || bytes[$0] == 0x09 }.map { indices in
            (text: String(decoding: bytes[indices], as: UTF8.self), position: indices.lowerBound + 1)
        }
        guard let first = words.first else { throw fault(text, "it is empty", hint: fieldsHint) }
        if first.text.hasPrefix("@") { return try macro(first, alone: words.count == 1, in: text) }
        guard words.count == 5 else { throw wrongCount(words.map(\.text), in: text) }
        return words
    }

    private static func macro(_ word: Word, alone: Bool, in text: String) throws(SchedulingError) -> [Word] {
        guard alone, let meaning = macros[word.text.lowercased()] else {
            let near = alone ? nearest(to: word.text, among: macros.keys.sorted()).map { "Did you mean \($0)?" } : nil
            throw fault(
                text, "there is no macro \(quoted(word.text))\(alone ? "" : " with something behind it")",
                hint: near ?? "There are \(macros.keys.sorted().joined(separator: ", "))."
            )
        }
        return meaning.split(separator: " ").map { (String($0), word.position) }
    }

    private static let fieldsHint = "Write minute, hour, day of month, month and day of week, such as 0 3 1 */3 *."

    private static func wrongCount(_ words: [String], in text: String) -> SchedulingError {
        let hint =
            switch words.count {
            case _ where words.contains(where: { $0.hasPrefix("TZ=") || $0.hasPrefix("CRON_TZ=") }):
                "The time zone is given by itself, as tz."
            case 6, 7: "Seconds and years are not in the grammar. \(fieldsHint)"
            default: fieldsHint
            }
        return fault(text, "it has \(words.count) \(words.count == 1 ? "field" : "fields"), not 5", hint: hint)
    }

    private static func fault(_ text: String, _ reason: String, hint: String? = nil) -> SchedulingError {
        SchedulingError(.callerCronMalformed, "cron \(quoted(text)): \(reason)", hint: hint)
    }
}
