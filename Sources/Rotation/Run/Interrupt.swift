internal import Synchronization

/// Asks a run to end at the next batch, leaving it ready to be resumed.
package final class Interrupt: Sendable {
    private let isRaised = Mutex(false)

    /// Makes one that is not raised.
    package init() {}

    /// Whether someone asked.
    package var isSet: Bool { isRaised.withLock { $0 } }

    /// Asks.
    package func set() { isRaised.withLock { $0 = true } }
}
