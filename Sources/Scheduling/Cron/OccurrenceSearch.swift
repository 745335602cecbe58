internal import KeyModel

/// One search for nominal times; it counts what it looks at, so that a test can hold it to a bound.
struct OccurrenceSearch {
    private let schedule: CronSchedule
    /// Months and stretches of the zone looked at so far.
    private(set) var steps = 0

    /// No search goes further than the period of the calendar.
    private static let horizon = 146_097 * 86_400

    init(_ schedule: CronSchedule) { self.schedule = schedule }

    mutating func next(after instant: Timestamp) -> Occurrence? {
        let earliest = instant.seconds + 1
        let limit = earliest + Self.horizon
        var segment = table.segment(at: earliest)
        while segment.start <= limit {
            steps += 1
            if segment.start >= earliest, let skipped = skippedTime(before: segment) {
                return occurrence(at: segment.start, showing: skipped, note: .gap)
            }
            if let found = first(in: segment, from: max(earliest, segment.start), upTo: limit) { return found }
            guard let later = table.segment(after: segment) else { return nil }
            segment = later
        }
        return nil
    }

    mutating func previous(before instant: Timestamp) -> Occurrence? {
        let latest = Int((instant.milliseconds - 1).floorDivided(by: 1000))
        let limit = latest - Self.horizon
        var segment = table.segment(at: latest)
        while segment.end > limit {
            steps += 1
            let found = last(in: segment, from: limit, upTo: min(latest, segment.end - 1))
            if let found, found.at.seconds > segment.start { return found }
            if let skipped = skippedTime(before: segment) {
                return occurrence(at: segment.start, showing: skipped, note: .gap)
            }
            if let found { return found }
            guard let earlier = table.segment(before: segment) else { return nil }
            segment = earlier
        }
        return nil
    }

    private var table: ZoneTable { schedule.zone.table }
    private var isWildcard: Bool { schedule.expression.isWildcard }

    private mutating func first(in segment: ZoneSegment, from instant: Int, upTo limit: Int) -> Occurrence? {
        var local = instant + segment.offset
        let end = min(segment.end, limit + 1) + segment.offset
        while local < end, let match = schedule.expression.firstMatch(in: local..<end, steps: &steps) {
            if let found = occurrence(showing: match, in: segment) { return found }
            local = match + 60
        }
        return nil
    }

    private mutating func last(in segment: ZoneSegment, from limit: Int, upTo instant: Int) -> Occurrence? {
        let start = max(segment.start, limit) + segment.offset
        var end = instant + segment.offset + 1
        while start < end, let match = schedule.expression.lastMatch(in: start..<end, steps: &steps) {
            if let found = occurrence(showing: match, in: segment) { return found }
            end = match
        }
        return nil
    }

    /// The occurrence at a matching time of a stretch; nil where it was the turn of an earlier stretch.
    private func occurrence(showing local: Int, in segment: ZoneSegment) -> Occurrence? {
        let instant = local - segment.offset
        guard instant < segment.start + CronSchedule.unsettled || segment.end - instant <= CronSchedule.unsettled else {
            return occurrence(at: instant, showing: local, note: nil)
        }
        guard table.firstInstant(showing: local) == instant else {
            return isWildcard ? occurrence(at: instant, showing: local, note: .again) : nil
        }
        let comesAgain = !isWildcard && table.lastInstant(showing: local) != instant
        return occurrence(at: instant, showing: local, note: comesAgain ? .first : nil)
    }

    private func occurrence(at instant: Int, showing local: Int, note: Occurrence.Note?) -> Occurrence {
        Occurrence(at: Timestamp(seconds: instant), local: LocalTime(seconds: local), note: note)
    }

    /// The first matching time that the wall jumps over where a stretch begins; nil for wildcards.
    private mutating func skippedTime(before segment: ZoneSegment) -> Int? {
        guard !isWildcard, schedule.gap == .run, let before = table.segment(before: segment) else { return nil }
        var local = before.local.upperBound
        let end = segment.local.lowerBound
        while local < end, let match = schedule.expression.firstMatch(in: local..<end, steps: &steps) {
            if table.firstInstant(showing: match) == nil { return match }
            local = match + 60
        }
        return nil
    }
}
