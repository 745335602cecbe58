package import KeyModel

/// A cron expression in a zone: when it fires.
///
/// An expression whose minute or hour begins with `*` fires at every real minute whose time on the wall
/// matches. Any other fires once for each date and time that matches: at its first occurrence where the wall
/// shows it twice, at the first instant after the gap where it shows it never; equal instants are one. That is
/// the rule of Debian's cron, without its exception for gaps of more than three hours.
package struct CronSchedule: Hashable, Sendable {
    /// What becomes of a time that falls into a gap; only expressions that are not wildcards have a choice.
    package enum GapRule: String, CaseIterable, Hashable, Sendable {
        /// It runs at the first instant after the gap.
        case run
        /// It is left out.
        case skip
    }

    /// The expression.
    package let expression: CronExpression
    /// Where its times are read.
    package let zone: Zone
    /// What becomes of a time in a gap.
    package let gap: GapRule

    /// Makes a schedule.
    package init(_ expression: CronExpression, in zone: Zone, gap: GapRule = .run) {
        self.expression = expression
        self.zone = zone
        self.gap = gap
    }

    /// The first nominal time strictly after an instant; nil where none follows within 400 years.
    package func next(after instant: Timestamp) -> Occurrence? {
        var search = OccurrenceSearch(self)
        return search.next(after: instant)
    }

    /// The last nominal time strictly before an instant; nil where none lies within 400 years.
    package func previous(before instant: Timestamp) -> Occurrence? {
        var search = OccurrenceSearch(self)
        return search.previous(before: instant)
    }

    /// The nominal times strictly after an instant, ascending.
    package func occurrences(after instant: Timestamp) -> some Sequence<Occurrence> {
        sequence(state: instant) { last in
            guard let occurrence = next(after: last) else { return nil }
            last = occurrence.at
            return occurrence
        }
    }

    /// How many nominal times lie after one instant and not after another.
    ///
    /// Counted by months; one by one only for the two days after the clock changed.
    package func count(after start: Timestamp, through end: Timestamp) -> Int {
        guard start < end else { return 0 }
        var count = 0
        var segment = zone.table.segment(at: start.seconds)
        while true {
            let lower = max(segment.start, start.seconds + 1)
            let upper = min(segment.end, end.seconds + 1)
            let settled = expression.isWildcard ? lower : min(max(lower, segment.start + Self.unsettled), upper)
            count += countEach(in: lower..<max(lower, settled))
            if settled < upper {
                count += expression.countMatches(in: settled + segment.offset..<upper + segment.offset)
            }
            guard segment.end <= end.seconds, let next = zone.table.segment(after: segment) else { return count }
            segment = next
        }
    }

    /// For so long after a change of the clock the wall may show times that it has shown before.
    static let unsettled = 2 * ZoneTable.widestOffset

    private func countEach(in range: Range<Int>) -> Int {
        guard !range.isEmpty else { return 0 }
        let end = Timestamp(seconds: range.upperBound)
        return occurrences(after: Timestamp(seconds: range.lowerBound - 1)).prefix { $0.at < end }.reduce(0) {
            count, _ in
            count + 1
        }
    }
}
