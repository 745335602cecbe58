package import KeyModel

/// Where the scheduler's figures go.
package protocol SchedulerMetrics: Sendable {
    /// Figures of one schedule, now.
    func record(_ schedule: Name, _ figures: ScheduleFigures)
    /// Nominal times that got no run, by reason.
    func skipped(_ schedule: Name, _ count: Int, reason: String)
    /// The epoch of the lease that this process holds; nil where it holds none.
    func holds(epoch: Int64?)
    /// The clock stepped.
    func clockStepped()
}

/// Figures of one schedule.
package struct ScheduleFigures: Hashable, Sendable {
    /// When it is due next; nil for never.
    package var nextDue: Timestamp?
    /// How long ago a run succeeded; nil where none ever has.
    package var sinceSuccess: Duration?
    /// The age of the key, as a part of what it may be; nil where nothing limits it.
    package var keyAge: Double?

    /// Makes figures.
    package init(nextDue: Timestamp? = nil, sinceSuccess: Duration? = nil, keyAge: Double? = nil) {
        self.nextDue = nextDue
        self.sinceSuccess = sinceSuccess
        self.keyAge = keyAge
    }
}

/// Keeps no figures.
package struct NoMetrics: SchedulerMetrics {
    /// Makes it.
    package init() {}
    /// Does nothing.
    package func record(_ schedule: Name, _ figures: ScheduleFigures) {}
    /// Does nothing.
    package func skipped(_ schedule: Name, _ count: Int, reason: String) {}
    /// Does nothing.
    package func holds(epoch: Int64?) {}
    /// Does nothing.
    package func clockStepped() {}
}
