package import ControlStore
package import KeyModel
internal import Logging
internal import Rotation

/// Keeps what providers were called until it stands in the database, where all who work on it add up.
package actor CallLedger {
    private var held: [Name: ProviderCalls] = [:]
    private var triedAt: ContinuousClock.Instant?

    /// The database is written to no more often than this.
    private static let pause = Duration.seconds(60)
    /// Whoever only looks whether a key was turned writes once for so many looks.
    private static let looksTogether = 10

    /// Begins with nothing.
    package init() {}

    /// Takes calls over.
    package func add(_ calls: [Name: ProviderCalls]) { held.merge(calls, uniquingKeysWith: +) }

    /// What is not in the database yet.
    package func held(of provider: Name) -> ProviderCalls { held[provider] ?? ProviderCalls() }

    /// Whether something is to be written now; at the end of something, whatever there is.
    package func isDue(atEnd: Bool) -> Bool {
        guard !held.isEmpty else { return false }
        if atEnd { return true }
        if let triedAt, ContinuousClock.now - triedAt < Self.pause { return false }
        return held.values.contains { $0.total > $0.looks || $0.looks >= Self.looksTogether }
    }

    /// Adds everything to what the database says; what cannot be written is kept.
    ///
    /// - Throws: ``StorageError``.
    package func write(to control: ControlStore, at time: Timestamp) async throws {
        let calls = held
        guard !calls.isEmpty else { return }
        held = [:]
        triedAt = .now
        do {
            try await control.write { session in
                // In one order, so that nobody waits for each other.
                for (provider, count) in calls.sorted(by: { $0.key < $1.key }) {
                    try session.add(count, of: provider, at: time)
                }
            }
        } catch {
            add(calls)
            throw error
        }
    }
}

extension InstanceService {
    /// Takes over what providers were called since the last time.
    func collectCalls() async { await calls.add(await source.takeProviderCalls()) }

    /// Writes down what providers were called, where it is time to.
    ///
    /// - Parameter atEnd: Whether something has ended, so that all is written.
    func writeCalls(atEnd: Bool) async {
        await collectCalls()
        guard await calls.isDue(atEnd: atEnd) else { return }
        do {
            let instance = try await self.instance()
            // A database that was set back gets nothing.
            try await instance.engine(for: "keyturn").requireCurrent()
            try await calls.write(to: instance.context.control, at: instance.context.now())
        } catch {
            logger.debug("calls of providers not written", metadata: ["reason": "\(Self.reason(of: error))"])
        }
    }

    /// The same, for no longer than a stop may wait for it.
    func writeLastCalls() async {
        let (ended, signal) = AsyncStream.makeStream(of: Void.self)
        let work = Task {
            await writeCalls(atEnd: true)
            signal.finish()
        }
        let limit = Task {
            try? await Task.sleep(for: .seconds(3))
            signal.finish()
        }
        for await _ in ended {}
        work.cancel()
        limit.cancel()
    }
}
