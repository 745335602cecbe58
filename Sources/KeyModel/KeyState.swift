/// The state of a key version, one of the six of NIST SP 800-57 Part 1 §7.
public enum KeyState: String, CaseIterable, Hashable, Sendable {
    /// Made and stored, not yet allowed to do anything but be opened with by those who prepare for it.
    case preActivation
    /// Seals and opens; at most one version of a keyring is active.
    case active
    /// Set aside while something is looked into; neither seals nor opens.
    case suspended
    /// Opens what it sealed; seals nothing new.
    case deactivated
    /// Known or feared to be in other hands; opens only so that a run can rewrite what it protects.
    case compromised
    /// Material erased; the record stays.
    case destroyed

    /// Whether a version in this state may protect new data.
    public var maySeal: Bool { self == .active }

    /// Whether a version in this state may open data in ordinary use.
    public var mayOpen: Bool { self == .active || self == .deactivated }

    /// Whether a run may open data with it in order to rewrite it; audited where ``mayOpen`` is false.
    public var mayOpenForRewrite: Bool { mayOpen || self == .compromised }

    /// The states that may directly follow this one.
    ///
    /// The one table of legal moves (SP 800-57 Part 1 §7.2–7.6). `active` cannot go straight to `destroyed`:
    /// what it protects must be found and rewritten first.
    public var legalMoves: Set<KeyState> {
        switch self {
        case .preActivation: [.active, .compromised, .destroyed]
        case .active: [.suspended, .deactivated, .compromised]
        case .suspended: [.active, .deactivated, .compromised, .destroyed]
        case .deactivated: [.compromised, .destroyed]
        case .compromised: [.destroyed]
        case .destroyed: []
        }
    }
}
