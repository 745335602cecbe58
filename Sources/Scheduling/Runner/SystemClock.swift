internal import Foundation
package import KeyModel

/// The clocks of the machine.
package struct SystemClock: SchedulerClock {
    /// Makes the clock.
    package init() {}

    /// The time of day.
    package func now() -> Timestamp {
        Timestamp(milliseconds: Int64((Date().timeIntervalSince1970 * 1000).rounded(.down)))
    }

    /// Time since this process first asked, also while the machine slept.
    package func uptime() -> Duration { Self.start.duration(to: .now) }

    private static let start = ContinuousClock.now

    /// Waits.
    package func sleep(for duration: Duration) async throws { try await Task.sleep(for: duration) }
}
