package import ControlStore
package import KeyModel

/// An occurrence whose action is to be started or taken up again.
package struct OccurrenceRequest: Hashable, Sendable {
    /// Which occurrence.
    package let id: OccurrenceRecord.ID
    /// The schedule, with its action and the keyring that it is about.
    package let schedule: Schedule
    /// Which attempt it is, from 1.
    package let attempt: Int64
    /// The run that an earlier attempt, or a process that died, has begun; nil for none.
    package let run: Int64?
    /// The epoch of the scheduler's lease; a transaction of the action may check it with
    /// ``ControlSession/checkSchedulerLease(epoch:)``.
    package let epoch: Int64
    /// Why it came to be: `time`, `key_age`, `key_seals`, `manual`, `backfill`.
    package let reason: String
    /// Whether it runs outside of windows.
    package let ignoresWindow: Bool
}

/// What became of an attempt.
package enum OccurrenceOutcome: Hashable, Sendable {
    /// Done.
    case succeeded(String?)
    /// Stopped at a checkpoint, as it was asked to; it can go on.
    case paused
    /// Failed; another attempt can help.
    case failed(String)
    /// Failed such that someone must look at it first.
    case needsOperator(String)
    /// Ended by somebody.
    case cancelled(String)
    /// Ended since something more urgent needs the database.
    case madeWay(String)
}

/// What occurrences do; the scheduler knows nothing of keys, runs and backups.
package protocol OccurrenceActions: Sendable {
    /// Carries out an occurrence's action, or goes on with it where a run was begun before.
    ///
    /// May be called again for the same occurrence, after a failure or by another process after a take-over, and must then not
    /// begin a second run. Cancelled when the lease is lost: another process then goes on, and nothing of the answer counts.
    ///
    /// - Parameters:
    ///   - request: The occurrence.
    ///   - started: To be called with the run's number as soon as there is a run.
    /// - Returns: What became of it.
    /// - Throws: What made it fail; another attempt follows.
    func perform(
        _ request: OccurrenceRequest, started: @escaping @Sendable (Int64) async throws -> Void
    ) async throws -> OccurrenceOutcome

    /// Asks an action that is being carried out to stop where it can go on; ``perform(_:started:)`` then returns `paused`.
    func checkpoint(_ request: OccurrenceRequest) async throws

    /// What is known of each keyring; asked about once a minute, and after each run.
    func keyFacts() async throws -> [Name: KeyFacts]

    /// What works on the database other than what occurrences do, in words; nil for nothing.
    func occupant() async throws -> String?
}

/// Instants in the life of an occurrence at which something has just become durable, or is about to; tests kill the process there.
package enum SchedulerPoint: String, CaseIterable, Sendable {
    /// The lease is ours.
    case leaseTaken
    /// The schedules are recorded.
    case schedulesRecorded
    /// A nominal time that waits for its start is recorded.
    case pendingNoted
    /// A nominal time was settled without a run.
    case skipped
    /// A nominal time is claimed.
    case claimed
    /// An attempt is recorded as running.
    case started
    /// The run's number is recorded.
    case runRecorded
    /// The action has ended, which is not recorded yet.
    case actionEnded
    /// The end is recorded.
    case finished
    /// A failure and the time of the next attempt are recorded.
    case retryRecorded
    /// A run is recorded as stopped at a checkpoint.
    case pauseRecorded
    /// A schedule is recorded as given up.
    case gaveUp
}

/// The clocks that the scheduler goes by.
package protocol SchedulerClock: Sendable {
    /// The time of day.
    func now() -> Timestamp
    /// How long the machine has been up, sleep included; never steps.
    func uptime() -> Duration
    /// Waits, by the clock that never steps.
    func sleep(for duration: Duration) async throws
}
