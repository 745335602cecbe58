/// Keeps calls from a provider that cannot be reached; pure.
///
/// Errors are counted, not slowness. After ``threshold`` in a row it is open: calls fail at once until a pause has passed,
/// then one call is let through to try. The pause doubles while the trials fail.
package struct CircuitBreaker: Hashable, Sendable {
    /// What may be done now.
    package enum Permit: Hashable, Sendable {
        /// Call.
        case go
        /// Call, as the one that finds out whether the provider can be reached again.
        case trial
        /// Do not call for this long.
        case wait(Duration)
    }

    /// Failures in a row that open it.
    package static let threshold = 5
    /// The first pause.
    package static let firstPause = Duration.seconds(1)
    /// The longest pause.
    package static let longestPause = Duration.seconds(30)

    private var failures = 0
    private var pause = Duration.zero
    private var opensAt = Duration.zero
    private var isTrying = false

    /// Makes a closed one.
    package init() {}

    /// Whether calls are kept back.
    package var isOpen: Bool { failures >= Self.threshold }

    /// Asks whether a call may be made; a call that may must be followed by ``succeeded()`` or
    /// ``failed(at:inTrial:)``.
    package mutating func request(at time: Duration) -> Permit {
        guard isOpen else { return .go }
        guard time >= opensAt else { return .wait(opensAt - time) }
        guard !isTrying else { return .wait(Self.firstPause) }
        isTrying = true
        return .trial
    }

    /// The provider answered, be it with a refusal.
    package mutating func succeeded() { self = CircuitBreaker() }

    /// The provider could not be reached.
    ///
    /// - Parameters:
    ///   - time: Now.
    ///   - inTrial: Whether the call was let through as a trial. Calls that were let through before it opened say nothing new:
    ///     they leave the pause as it is.
    package mutating func failed(at time: Duration, inTrial: Bool = false) {
        failures += 1
        if inTrial {
            isTrying = false
            pause = max(Self.firstPause, min(pause * 2, Self.longestPause))
        } else {
            guard isOpen, pause == .zero else { return }
            pause = Self.firstPause
        }
        opensAt = time + pause
    }
}
