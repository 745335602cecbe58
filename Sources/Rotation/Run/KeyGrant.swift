/// Asks for the keys of a walk again while it goes on: whoever shuts a provider's key stops also the run that holds it unwrapped.
actor KeyGrant {
    private let ask: @Sendable () async throws -> Void
    private var askedAt = ContinuousClock.now

    /// How long a slow walk goes on between two questions.
    private static let interval = Duration.seconds(1)

    init(_ ask: @escaping @Sendable () async throws -> Void) { self.ask = ask }

    /// Asks.
    ///
    /// - Throws: Why the keys may not be used any more, or ``RotationError`` whose cause is an outage that has outlasted them.
    func renew() async throws {
        askedAt = .now
        try await ask()
    }

    /// Asks where it was not asked for a while.
    func renewIfDue() async throws {
        if ContinuousClock.now - askedAt >= Self.interval { try await renew() }
    }
}
