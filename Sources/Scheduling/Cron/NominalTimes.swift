package import KeyModel

/// The times at which a schedule wants to run, before windows and delays.
package enum NominalTimes: Hashable, Sendable {
    /// Those of a cron expression.
    case cron(CronSchedule)
    /// Those of a grid.
    case every(TimeGrid, in: Zone)
    /// The one that a function gave; nil for none.
    case given(Timestamp?, in: Zone)

    /// Where they are read.
    package var zone: Zone {
        switch self {
        case .cron(let cron): cron.zone
        case .every(_, let zone), .given(_, let zone): zone
        }
    }

    /// The first strictly after an instant.
    package func next(after instant: Timestamp) -> Occurrence? {
        switch self {
        case .cron(let cron): cron.next(after: instant)
        case .every(let grid, let zone): grid.next(after: instant).map { Occurrence(at: $0, in: zone) }
        case .given(let time, let zone): time.flatMap { $0 > instant ? Occurrence(at: $0, in: zone) : nil }
        }
    }

    /// The last strictly before an instant.
    package func previous(before instant: Timestamp) -> Occurrence? {
        switch self {
        case .cron(let cron): cron.previous(before: instant)
        case .every(let grid, let zone): grid.previous(before: instant).map { Occurrence(at: $0, in: zone) }
        case .given(let time, let zone): time.flatMap { $0 < instant ? Occurrence(at: $0, in: zone) : nil }
        }
    }

    /// How many lie after one instant and not after another.
    package func count(after start: Timestamp, through end: Timestamp) -> Int {
        switch self {
        case .cron(let cron): cron.count(after: start, through: end)
        case .every(let grid, _): grid.count(after: start, through: end)
        case .given(let time, _): time.map { start < $0 && $0 <= end ? 1 : 0 } ?? 0
        }
    }

    /// Those strictly after an instant, ascending.
    package func occurrences(after instant: Timestamp) -> some Sequence<Occurrence> {
        sequence(state: instant) { last in
            guard let occurrence = next(after: last) else { return nil }
            last = occurrence.at
            return occurrence
        }
    }
}

/// Times at a fixed distance, whatever clocks do: `phase` after the epoch, and every `period` before and after that.
///
/// Tied to the epoch and not to a start, so that every node comes to the same times, also after a restart.
package struct TimeGrid: Hashable, Sendable {
    /// The distance in milliseconds.
    let period: Int64
    /// Where the grid begins, in milliseconds after the epoch.
    let phase: Int64

    /// Makes a grid.
    ///
    /// - Throws: ``SchedulingError`` with `callerScheduleImpossible` for a distance under a second, or a phase that is not
    ///   shorter than it.
    package init(every period: Duration, phase: Duration = .zero) throws(SchedulingError) {
        guard period >= .seconds(1) else {
            throw SchedulingError(
                .callerScheduleImpossible, "cannot run every \(period.durationText): that is less than a second")
        }
        guard phase >= .zero, phase < period else {
            throw SchedulingError(
                .callerScheduleImpossible,
                "the phase \(phase.durationText) is not shorter than the distance \(period.durationText)",
                hint: "A phase shifts the times within one distance.")
        }
        self.period = period.inMilliseconds
        self.phase = phase.inMilliseconds
    }

    /// The distance.
    package var distance: Duration { .milliseconds(period) }

    func next(after instant: Timestamp) -> Timestamp? { time(index(of: instant) + 1) }

    func previous(before instant: Timestamp) -> Timestamp? {
        time(index(of: Timestamp(milliseconds: instant.milliseconds - 1)))
    }

    func count(after start: Timestamp, through end: Timestamp) -> Int { Int(max(0, index(of: end) - index(of: start))) }

    /// The number of the last time that is not after an instant.
    private func index(of instant: Timestamp) -> Int64 { (instant.milliseconds - phase).floorDivided(by: period) }

    /// Timestamps are held to a range; beyond it there is no further time.
    private func time(_ index: Int64) -> Timestamp? {
        let time = Timestamp(milliseconds: index * period + phase)
        return time.milliseconds == index * period + phase ? time : nil
    }
}

extension Occurrence {
    /// An instant that daylight saving does nothing to.
    init(at instant: Timestamp, in zone: Zone) {
        self.init(at: instant, local: zone.local(at: instant), note: nil)
    }
}

extension Duration {
    /// Whole milliseconds.
    var inMilliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
