package import KeyModel

/// When work may start: the union of weekly windows in a zone.
///
/// A window starts at the first occurrence of its start and ends at the last occurrence of its end; an edge in
/// a gap lies where the gap ends, and a window that is left without length does not open that day. A window
/// puts work off, it never drops it.
package struct WindowUnion: Hashable, Sendable {
    /// The windows.
    package let windows: [WeeklyWindow]
    /// Where their times are read.
    package let zone: Zone
    /// Whether every minute of the week lies in a window.
    package let isAlwaysOpen: Bool

    /// Makes the union of at least one window.
    ///
    /// - Throws: ``SchedulingError`` with `callerWindowMalformed` for none or more than 100.
    package init(_ windows: [WeeklyWindow], in zone: Zone) throws(SchedulingError) {
        guard (1...100).contains(windows.count) else {
            throw SchedulingError(
                .callerWindowMalformed, "\(windows.count) windows were given",
                hint: "Give 1 to 100 windows, or leave them out to allow any time."
            )
        }
        self.windows = windows.sorted { ($0.start, $0.end) < ($1.start, $1.end) }
        self.zone = zone
        isAlwaysOpen = Self.coversWeek(windows)
    }

    /// The opening that an instant lies in, or else the next one; nil where none comes within 60 days.
    ///
    /// Windows that touch or overlap are one opening. Its start may lie further back than what is given; an
    /// opening that never closes ends at the end of time.
    package func opening(atOrAfter instant: Timestamp) -> Opening? {
        guard !isAlwaysOpen else { return Opening(start: instant, end: nil) }
        let seconds = instant.seconds
        let today = (seconds + zone.table.segment(at: seconds).offset).floorDivided(by: 86_400)
        var found: Range<Int>?
        for day in today - 3...today + 60 {
            for stretch in stretches(startingOn: day) where stretch.upperBound > seconds {
                guard let current = found else {
                    found = stretch
                    continue
                }
                guard stretch.lowerBound <= current.upperBound else { return Opening(current) }
                found = min(current.lowerBound, stretch.lowerBound)..<max(current.upperBound, stretch.upperBound)
            }
        }
        return found.map(Opening.init)
    }

    /// The last opening that starts at or before an instant; nil where none lies within 60 days.
    package func opening(startingAtOrBefore instant: Timestamp) -> Opening? {
        guard !isAlwaysOpen else { return Opening(start: instant, end: nil) }
        let seconds = instant.seconds
        let today = (seconds + zone.table.segment(at: seconds).offset).floorDivided(by: 86_400)
        for day in (today - 60...today + 2).reversed() {
            let started = stretches(startingOn: day).filter { $0.lowerBound <= seconds }
            guard let last = started.max(by: { $0.lowerBound < $1.lowerBound }) else { continue }
            return wholeOpening(around: last, of: day)
        }
        return nil
    }

    /// When work that is due at an instant may start: at once where a window is open, else when the next one opens.
    package func start(ofWorkDueAt instant: Timestamp) -> Timestamp? {
        opening(atOrAfter: instant).map { max($0.start, instant) }
    }

    /// Follows windows that touch back to where their opening starts.
    private func wholeOpening(around stretch: Range<Int>, of day: Int) -> Opening {
        var start = stretch.lowerBound
        for earlier in (day - 60...day).reversed() {
            let touching = stretches(startingOn: earlier).filter { $0.lowerBound < start && $0.upperBound >= start }
            if let first = touching.map(\.lowerBound).min() { start = first } else if earlier < day - 2 { break }
        }
        let end = opening(atOrAfter: Timestamp(seconds: stretch.lowerBound))?.end
        return Opening(start: Timestamp(seconds: start), end: end)
    }

    /// The stretches that start on a day, as instants; ascending, without empty ones.
    private func stretches(startingOn day: Int) -> [Range<Int>] {
        let weekday = UInt8(CalendarDate.weekday(daysSinceEpoch: day))
        return windows.compactMap { window in
            guard window.days & 1 << weekday != 0 else { return nil }
            let start = day * 86_400 + window.start * 60
            let end = day * 86_400 + window.end * 60
            guard let first = zone.table.firstInstant(showing: start) ?? zone.table.gapEnd(over: start),
                let last = zone.table.lastInstant(showing: end) ?? zone.table.gapEnd(over: end), first < last
            else { return nil }
            return first..<last
        }
    }

    private static func coversWeek(_ windows: [WeeklyWindow]) -> Bool {
        var minutes = [Bool](repeating: false, count: 7 * 1440)
        for window in windows {
            for day in 0..<7 where window.days & 1 << UInt8(day) != 0 {
                for minute in window.start..<window.end { minutes[(day * 1440 + minute) % minutes.count] = true }
            }
        }
        return minutes.allSatisfy(\.self)
    }
}

/// A time during which work may start, `end` not included.
package struct Opening: Hashable, Sendable {
    /// When it begins.
    package let start: Timestamp
    /// When it ends; nil for never.
    package let end: Timestamp?

    init(start: Timestamp, end: Timestamp?) {
        self.start = start
        self.end = end
    }

    init(_ range: Range<Int>) {
        self.init(start: Timestamp(seconds: range.lowerBound), end: Timestamp(seconds: range.upperBound))
    }

    /// Whether an instant lies in it.
    package func contains(_ instant: Timestamp) -> Bool { start <= instant && end.map { instant < $0 } ?? true }
}
