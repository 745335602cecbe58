internal import KeyModel

/// One of the five fields of a cron expression: what its numbers and names may be.
enum CronField: CaseIterable, Sendable {
    case minute, hour, dayOfMonth, month, dayOfWeek

    var title: String {
        switch self {
        case .minute: "minute"
        case .hour: "hour"
        case .dayOfMonth: "day of month"
        case .month: "month"
        case .dayOfWeek: "day of week"
        }
    }

    var range: ClosedRange<Int> {
        switch self {
        case .minute: 0...59
        case .hour: 0...23
        case .dayOfMonth: 1...31
        case .month: 1...12
        case .dayOfWeek: 0...7
        }
    }

    /// The first name, by which the numbers begin to count.
    var names: [String] {
        switch self {
        case .month: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
        case .dayOfWeek: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
        default: []
        }
    }

    /// What may stand in the field, in words.
    var domain: String {
        let named = names.isEmpty ? "" : " or \(names[0])-\(names[names.count - 1])"
        return "\(range.lowerBound)-\(range.upperBound)\(named)"
    }
}

/// What one field of an expression came to.
struct CronFieldValue: Hashable, Sendable {
    /// Whether the text begins with `*`, on which the day rule and the DST rule turn.
    let startsWithStar: Bool
    /// The numbers that match; Sunday is 0.
    fileprivate(set) var bits: UInt64 = 0
    /// `L` in the day of month.
    fileprivate(set) var lastDay = false
    /// `LW` in the day of month.
    fileprivate(set) var lastWeekday = false
    /// The weekdays of `nL`.
    fileprivate(set) var lastOfMonth: UInt64 = 0
    /// The weekdays of `n#k`, for each k from 1 to 5.
    fileprivate(set) var nthOfMonth: [UInt64] = [0, 0, 0, 0, 0]
    /// Steps that are wider than their field and so match one number only.
    fileprivate(set) var vainSteps: [String] = []
    /// Whether a list mixes `*` with other items.
    let mixesStar: Bool
}

/// Parses one field.
struct CronFieldParser {
    let field: CronField
    let text: String
    /// Says where in which expression something is wrong.
    let fault: (_ item: String, _ reason: String, _ hint: String?) -> SchedulingError

    func parse() throws(SchedulingError) -> CronFieldValue {
        let items = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var value = CronFieldValue(
            startsWithStar: text.hasPrefix("*"),
            mixesStar: items.count > 1 && items.contains { $0.hasPrefix("*") })
        for item in items { try add(item, to: &value) }
        if field == .dayOfWeek, value.bits & 1 << 7 != 0 { value.bits = value.bits & 0x7F | 1 }
        return value
    }

    private func add(_ item: String, to value: inout CronFieldValue) throws(SchedulingError) {
        guard !item.isEmpty else { throw fault(text, "has an empty item in its list", nil) }
        if let foreign = foreignMark(in: item) { throw foreign }
        let word = item.uppercased()
        switch field {
        case .dayOfMonth where word == "L": value.lastDay = true
        case .dayOfMonth where word == "LW": value.lastWeekday = true
        case .dayOfWeek where word.hasSuffix("L") && word.utf8.count > 1:
            value.lastOfMonth |= 1 << UInt64(try weekday(word.dropLast(), in: item))
        case .dayOfWeek where word.contains("#"): try addNth(word, item, to: &value)
        default: value.bits |= try range(word, item, &value)
        }
    }

    private func addNth(_ word: String, _ item: String, to value: inout CronFieldValue) throws(SchedulingError) {
        let parts = word.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].utf8.count == 1, let nth = Int(parts[1]), (1...5).contains(nth) else {
            throw fault(
                item, "wants a number from 1 to 5 behind the #", "Write MON#1 for the first Monday of the month.")
        }
        value.nthOfMonth[nth - 1] |= 1 << UInt64(try weekday(parts[0], in: item))
    }

    private func weekday(_ text: Substring, in item: String) throws(SchedulingError) -> Int {
        try number(text, in: item) % 7
    }

    /// `*`, `a`, `a-b`, each with `/step`.
    private func range(_ word: String, _ item: String, _ value: inout CronFieldValue) throws(SchedulingError) -> UInt64
    {
        let parts = word.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let base = parts[0]
        let step: Int? = if parts.count == 2 { try self.step(parts[1], in: item) } else { nil }
        let range = try bounds(of: base, hasStep: step != nil, in: item)
        if let step, step > range.upperBound - range.lowerBound, range.count > 1 { value.vainSteps.append(item) }
        return stride(from: range.lowerBound, through: range.upperBound, by: step ?? 1).reduce(0) {
            $0 | 1 << UInt64($1)
        }
    }

    private func bounds(of base: Substring, hasStep: Bool, in item: String) throws(SchedulingError) -> ClosedRange<Int>
    {
        if base == "*" { return field.range }
        let ends = base.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard ends.allSatisfy({ !$0.isEmpty }) else {
            throw fault(
                item, "is no \(field.title)", "Numbers have no sign, and a range has both ends: \(field.domain).")
        }
        let low = try number(ends[0], in: item)
        guard ends.count == 2 else { return low...(hasStep ? field.range.upperBound : low) }
        let high = try number(ends[1], in: item)
        guard low <= high else { throw fault(item, "is a range that ends before it begins", fix(low, high)) }
        return low...high
    }

    /// How to write a range that was meant to wrap.
    private func fix(_ low: Int, _ high: Int) -> String {
        if field == .dayOfWeek, high == 0 { return "Write \(low)-7: as the end of a range, Sunday is 7." }
        let top = field == .dayOfWeek ? 6 : field.range.upperBound
        let start = low > top ? "" : low == top ? "\(low)," : "\(low)-\(top),"
        let bottom = field.range.lowerBound
        return "Write \(start)\(bottom == high ? "\(high)" : "\(bottom)-\(high)"): ranges do not wrap."
    }

    private func step(_ text: Substring, in item: String) throws(SchedulingError) -> Int {
        guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy(Self.isDigit), let step = Int(text), step > 0
        else {
            throw fault(item, "wants a whole number above 0 behind the /", nil)
        }
        return step
    }

    private func number(_ text: Substring, in item: String) throws(SchedulingError) -> Int {
        if let index = field.names.firstIndex(of: String(text)) { return index + (field == .month ? 1 : 0) }
        guard !text.isEmpty, text.utf8.allSatisfy(Self.isDigit) else {
            let near = nearest(to: String(text), among: field.names).map { "Did you mean \($0)?" }
            throw fault(item, "is no \(field.title)", near ?? "Here stand \(field.domain), *, ranges, lists and steps.")
        }
        guard text.utf8.count <= 4, let number = Int(text), field.range.contains(number) else {
            throw fault(item, "is out of range", "The \(field.title) is \(field.domain).")
        }
        return number
    }

    /// A mark of another dialect of cron, whose meaning differs from product to product.
    private func foreignMark(in item: String) -> SchedulingError? {
        guard let mark = item.first(where: { "?~".contains($0) }) else { return nil }
        let hint = mark == "?" ? "Write * instead." : "Write the number; a schedule's jitter spreads its runs."
        return fault(item, "uses \(mark), which only other dialects know", hint)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
