/// One version of a keyring: an id, a state, and when it moved.
public struct KeyVersion: Hashable, Sendable {
    /// The id, unique in the instance.
    public let id: KeyID
    /// Where the version stands in its life.
    public private(set) var state: KeyState
    /// When the material was generated or imported.
    public let createdAt: Timestamp
    /// When it first became active.
    public private(set) var activatedAt: Timestamp?
    /// When it stopped sealing, by deactivation or compromise.
    public private(set) var deactivatedAt: Timestamp?
    /// When a run proved that no live value is left under it; a time, not a state.
    public private(set) var retiredAt: Timestamp?

    /// Makes a version as it was stored.
    public init(
        id: KeyID, state: KeyState, createdAt: Timestamp, activatedAt: Timestamp? = nil,
        deactivatedAt: Timestamp? = nil, retiredAt: Timestamp? = nil
    ) {
        self.id = id
        self.state = state
        self.createdAt = createdAt
        self.activatedAt = activatedAt
        self.deactivatedAt = deactivatedAt
        self.retiredAt = retiredAt
    }

    /// Moves the version to another state.
    ///
    /// - Throws: ``KeyModelError`` with `keyMoveIllegal` where the table of moves has no such move.
    public mutating func move(to next: KeyState, at time: Timestamp) throws(KeyModelError) {
        guard state.legalMoves.contains(next) else {
            throw KeyModelError(.keyMoveIllegal, "cannot move key \(id) from \(state.rawValue) to \(next.rawValue)")
        }
        if next == .active, activatedAt == nil { activatedAt = time }
        if state == .active, next != .suspended { deactivatedAt = time }
        if state == .suspended, next != .active, deactivatedAt == nil { deactivatedAt = time }
        state = next
    }

    /// Records that a full count found nothing under this version.
    ///
    /// - Throws: ``KeyModelError`` with `keyStateForbids` while the version may still seal.
    public mutating func retire(at time: Timestamp) throws(KeyModelError) {
        guard state == .deactivated || state == .compromised else {
            throw KeyModelError(.keyStateForbids, "cannot retire key \(id): it is \(state.rawValue)")
        }
        retiredAt = time
    }

    /// Records that values lie under this version again after all, so that it counts as unused from a later time on.
    ///
    /// A deactivated version is no longer retired: the next run that counts nothing under it retires it anew. A compromised one
    /// stays retired, as of this time, so that nobody has it opened again for everyone by writing values under it.
    public mutating func reappear(at time: Timestamp) {
        guard retiredAt != nil else { return }
        retiredAt = state == .compromised ? time : nil
    }
}
