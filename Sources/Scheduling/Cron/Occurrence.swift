package import KeyModel

/// One time at which a cron expression fires in a zone.
package struct Occurrence: Hashable, Sendable {
    /// What daylight saving does to it.
    package enum Note: String, Hashable, Sendable {
        /// The wall never shows the time; this is the first instant after the gap.
        case gap
        /// The wall shows the time twice; this is the first.
        case first
        /// The wall shows the time again; only wildcard expressions run here.
        case again
    }

    /// The nominal time.
    package let at: Timestamp
    /// The time on the wall that matched; in a gap not the one that the wall shows at ``at``.
    package let local: LocalTime
    /// What daylight saving does to it; nil for nothing.
    package let note: Note?

    /// The note in words; nil where there is nothing to say.
    package func remark(in zone: Zone) -> String? {
        switch note {
        case .gap: "\(local.timeText) does not exist that day; runs at \(zone.local(at: at).timeText)"
        case .first: "\(local.timeText) comes twice that day; runs the first time only"
        case .again: "\(local.timeText) comes twice that day; this is the second time"
        case nil: nil
        }
    }
}
