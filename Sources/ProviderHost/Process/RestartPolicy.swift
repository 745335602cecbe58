/// When a plugin that ended by itself may be started again; pure.
package struct RestartPolicy: Hashable, Sendable {
    /// What may be done now.
    package enum Decision: Hashable, Sendable {
        /// Start it.
        case start
        /// Start it after this long.
        case wait(Duration)
        /// Leave it: it ends again and again.
        case leave
    }

    /// The pause after the first end; it doubles with each that follows.
    package static let firstPause = Duration.milliseconds(100)
    /// The longest pause.
    package static let longestPause = Duration.seconds(30)
    /// So many ends within ``window`` and it is left alone.
    package static let mostEnds = 5
    /// The time within which ends are counted.
    package static let window = Duration.seconds(600)

    private var ends: [Duration] = []

    /// Makes a policy that has seen nothing.
    package init() {}

    /// The process ended although nobody asked it to, or did not come up.
    package mutating func ended(at time: Duration) {
        ends.removeAll { time - $0 > Self.window }
        ends.append(time)
    }

    /// Whether it may be started.
    ///
    /// - Parameters:
    ///   - time: Now, on the clock of ``ended(at:)``.
    ///   - jitter: 0…1, by which pauses are shortened by at most a fifth, so that several plugins do not start as one.
    /// - Returns: What may be done.
    package func decision(at time: Duration, jitter: Double) -> Decision {
        let recent = ends.filter { time - $0 <= Self.window }
        guard recent.count < Self.mostEnds else { return .leave }
        guard let last = recent.last else { return .start }
        let pause = min(Self.firstPause * (1 << (recent.count - 1)), Self.longestPause) * (1 - jitter / 5)
        return time >= last + pause ? .start : .wait(last + pause - time)
    }
}
