package import KeyModel

/// Watches the time of day for steps and for being out of reason; pure.
package struct ClockWatch: Sendable {
    /// What was seen.
    package enum Finding: Hashable, Sendable {
        /// The time of day jumped by so much; negative is backwards.
        case stepped(Duration)
    }

    /// Smaller differences are what a clock that is being slewed shows.
    static let smallestStep = Duration.seconds(2)
    /// A difference above this is told.
    static let tolerated = Duration.seconds(5)
    /// A difference above this keeps anything from starting.
    static let refused = Duration.seconds(300)
    /// This program is not older than that.
    package static let oldestPlausible = Timestamp(milliseconds: 1_767_225_600_000)

    private var last: (now: Timestamp, uptime: Duration)?

    /// Begins to watch.
    package init() {}

    /// Compares what the two clocks say with what they said last.
    package mutating func look(now: Timestamp, uptime: Duration) -> Finding? {
        defer { last = (now, uptime) }
        guard let last else { return nil }
        let step = now.since(last.now) - (uptime - last.uptime)
        return step > Self.smallestStep || step < .zero - Self.smallestStep ? .stepped(step) : nil
    }

    /// Why nothing may start at a time; nil where it may.
    ///
    /// - Parameters:
    ///   - now: The time.
    ///   - database: What the database's clock said at the same instant; nil for unknown.
    ///   - high: The latest time at which a scheduler of this database worked.
    /// - Returns: The reason in words.
    package static func objection(to now: Timestamp, database: Timestamp?, high: Timestamp?) -> String? {
        if now < oldestPlausible {
            return "the clock shows \(now), which is before this program was made; nothing is started"
        }
        if let database, abs(now.since(database)) > refused {
            return "the clock shows \(now), the database's \(database); nothing is started until they agree"
        }
        if let high, high.since(now) > refused {
            return "the clock shows \(now), but schedules were worked at \(high) already; nothing is started until then"
        }
        return nil
    }

    /// What should be said of a difference that does not keep anything from starting; nil for nothing.
    package static func remark(on now: Timestamp, database: Timestamp?) -> String? {
        guard let database, case let difference = now.since(database), abs(difference) > tolerated else { return nil }
        return "the clock differs from the database's by \(difference.durationText)"
    }

    private static func abs(_ duration: Duration) -> Duration { duration < .zero ? .zero - duration : duration }
}
