package import CoreMetrics
package import KeyModel
package import Scheduling
internal import Synchronization

/// The scheduler's figures as metrics.
///
/// | name | what |
/// |---|---|
/// | `keyturn_schedule_next_due_seconds` | when it is due next, in seconds since 1970; 0 for never |
/// | `keyturn_schedule_last_success_age_seconds` | how long ago a run succeeded; -1 where none ever has |
/// | `keyturn_schedule_key_age_ratio` | the age of the key, as a part of what is allowed |
/// | `keyturn_schedule_missed_total` | nominal times without a run because nothing could run |
/// | `keyturn_schedule_skipped_total` | nominal times without a run, by `reason` |
/// | `keyturn_scheduler_lease_epoch` | the epoch of the lease that this process holds; 0 for none |
/// | `keyturn_scheduler_clock_steps_total` | how often the clock jumped |
package final class ScheduleFiguresRecorder: SchedulerMetrics {
    private let factory: any MetricsFactory
    /// The gauges of schedules, which say nothing any more once another process holds the lease.
    private let gauges = Mutex<[Gauge: Meter]>([:])

    private struct Gauge: Hashable {
        let label: String
        let schedule: Name
    }

    /// Makes a recorder.
    package init(factory: any MetricsFactory) { self.factory = factory }

    /// Sets a schedule's figures.
    package func record(_ schedule: Name, _ figures: ScheduleFigures) {
        set("keyturn_schedule_next_due_seconds", schedule, Double(figures.nextDue?.milliseconds ?? 0) / 1000)
        let age = figures.sinceSuccess.map { $0 / .milliseconds(1) / 1000 } ?? -1
        set("keyturn_schedule_last_success_age_seconds", schedule, age)
        if let keyAge = figures.keyAge { set("keyturn_schedule_key_age_ratio", schedule, keyAge) }
    }

    /// Counts nominal times that got no run.
    package func skipped(_ schedule: Name, _ count: Int, reason: String) {
        let name = ("schedule", schedule.description)
        Counter(label: "keyturn_schedule_skipped_total", dimensions: [name, ("reason", reason)], factory: factory)
            .increment(by: count)
        guard reason == DueDecision.SkipReason.missed.rawValue else { return }
        Counter(label: "keyturn_schedule_missed_total", dimensions: [name], factory: factory).increment(by: count)
    }

    /// Sets the epoch of the lease; without one, the figures of schedules are another process's to give.
    package func holds(epoch: Int64?) {
        Meter(label: "keyturn_scheduler_lease_epoch", factory: factory).set(epoch ?? 0)
        guard epoch == nil else { return }
        gauges.withLock { gauges in
            for gauge in gauges.values { gauge.destroy() }
            gauges = [:]
        }
    }

    /// Counts a step of the clock.
    package func clockStepped() {
        Counter(label: "keyturn_scheduler_clock_steps_total", factory: factory).increment()
    }

    private func set(_ label: String, _ schedule: Name, _ value: Double) {
        gauges.withLock { gauges in
            let gauge = Gauge(label: label, schedule: schedule)
            let meter =
                gauges[gauge] ?? Meter(label: label, dimensions: [("schedule", schedule.description)], factory: factory)
            gauges[gauge] = meter
            meter.set(value)
        }
    }
}
