package import KeyModel

/// A delay that spreads runs, the same on every node and after every restart.
///
/// Drawn from a hash of the instance, the schedule and the nominal time. The hash need not be secret, only
/// even, so that no key goes into it.
package struct Jitter: Hashable, Sendable {
    /// No delay is as long as this.
    package let most: Duration
    /// What tells this schedule from others: the instance and the schedule's name.
    package let seed: String

    /// Makes a jitter.
    package init(most: Duration, instance: String, schedule: Name) {
        self.most = most
        seed = "\(instance)\u{0}\(schedule)"
    }

    /// The delay for a nominal time.
    ///
    /// It stays below half the distance to the next nominal time, so that it never overtakes it, and ends
    /// before the opening does.
    ///
    /// - Parameters:
    ///   - nominal: The nominal time.
    ///   - start: When the run would start without a delay.
    ///   - end: When the opening that it starts in ends; nil for never.
    ///   - next: The nominal time after it; nil for none.
    /// - Returns: Whole seconds, less than what is most.
    package func delay(nominal: Timestamp, start: Timestamp, openingEnd end: Timestamp?, next: Timestamp?) -> Duration {
        var limit = most
        if let end { limit = min(limit, end.since(start)) }
        if let next { limit = min(limit, next.since(nominal) / 2) }
        let seconds = limit.components.seconds
        guard seconds > 0 else { return .zero }
        return .seconds(Int64(hash(of: nominal) % UInt64(seconds)))
    }

    /// FNV-1a over the text, then the finaliser of SplitMix64, since FNV leaves its high bits uneven.
    private func hash(of nominal: Timestamp) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "\(seed)\u{0}\(nominal.milliseconds)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        return hash ^ (hash >> 31)
    }
}
