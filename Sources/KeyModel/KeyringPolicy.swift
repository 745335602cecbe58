/// What a keyring demands: when a rotation is due, how long keys are kept, whether a backup must come first.
public struct KeyringPolicy: Hashable, Sendable {
    /// Whether a rotation needs a verified backup before it.
    public enum Backup: String, CaseIterable, Hashable, Sendable {
        /// No verified backup, no rotation.
        case required
        /// A rotation without one goes ahead and says so.
        case optional
    }

    /// The longest originator-usage period (SP 800-57 Part 1 §5.3.4); nil for no limit.
    public var maxAge: Duration?
    /// The most seals under one version; nil leaves the core's own limit.
    public var maxSeals: UInt64?
    /// How long a retired version's material is kept at least; nil keeps it until someone decides.
    public var keep: Duration?
    /// Whether a backup is a condition.
    public var backup: Backup

    /// Makes a policy; without arguments nothing makes a rotation due.
    public init(maxAge: Duration? = nil, maxSeals: UInt64? = nil, keep: Duration? = nil, backup: Backup = .optional) {
        self.maxAge = maxAge
        self.maxSeals = maxSeals
        self.keep = keep
        self.backup = backup
    }
}
