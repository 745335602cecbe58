package import ControlStore
package import KeyModel

/// The phases of a run as a pure machine: an event goes in, an action comes out, a ``Runner`` performs it.
///
/// It knows no database and no clock. Every action may be performed twice, since a crash may follow it at any instant.
package struct RunMachine: Hashable, Sendable {
    /// What has happened.
    package enum Event: Hashable, Sendable {
        /// The run was taken up, for the first time or again.
        case started
        /// The phase in hand is finished.
        case phaseDone
        /// The phase in hand is finished, but something beside it went wrong, which a person must see.
        case phaseDoneWith(remark: String)
        /// Consumers have not said yet that they can go along.
        case acknowledgementsMissing(AcknowledgementStage, [Name])
        /// No verified backup of the run is in the catalogue, and its keyring demands one.
        case backupMissing
        /// A sweep over all columns found this many values under other keys, all of them dealt with or missed.
        case swept(found: Int64)
        /// Everything was opened; so many values are exceptions, so many lie under old keys after all.
        case verified(exceptions: Int64, left: Int64)
        /// Someone asked for something.
        case requested(RunRequest)
        /// The process is asked to end.
        case interrupted
        /// A provider cannot be reached; the phase is tried again by itself.
        case outage(String)
        /// The phase cannot be finished.
        case failed(String)
    }

    /// What is to be done.
    package enum Action: Hashable, Sendable {
        /// Perform the phase.
        case perform(RunPhase)
        /// Wait for consumers, then perform the phase again.
        case wait(AcknowledgementStage, [Name])
        /// Wait until someone resumes the run, then start again.
        case park
        /// Leave the run as it is, ready to be resumed.
        case leave
        /// Discard the version that was prepared, if it never became active, and end the run.
        case discardAndEnd
        /// End the run.
        case end
    }

    /// Where the run stands.
    package private(set) var phase: RunPhase
    /// How it is doing.
    package private(set) var state: RunState
    /// Why it stands where it stands.
    package private(set) var message: String?
    /// How many values were exceptions when it was verified.
    package private(set) var exceptions: Int64 = 0

    private var outages = 0
    private var remark: String?
    private var foundBefore: Int64?
    private var stubbornSweeps = 0

    /// After this many sweeps that found no fewer values than the one before, a person is asked.
    private static let mostStubbornSweeps = 3

    /// Takes up a run where its record stands.
    package init(phase: RunPhase, state: RunState, exceptions: Int64 = 0) {
        self.phase = phase
        self.state = state
        self.exceptions = exceptions
    }

    /// Takes an event and says what is to be done.
    package mutating func handle(_ event: Event) -> Action {
        switch event {
        case .started: return start()
        case .phaseDone: return advance()
        case .phaseDoneWith(let remark):
            self.remark = remark
            return advance()
        case .acknowledgementsMissing(let stage, let consumers): return wait(for: stage, of: consumers)
        case .backupMissing: return waitForBackup()
        case .swept(let found): return settle(found: found)
        case .verified(let exceptions, let left): return conclude(exceptions: exceptions, left: left)
        case .requested(.pause): return park()
        case .requested(.cancel): return cancel()
        case .requested(.none): return .perform(phase)
        case .interrupted: return .leave
        case .outage(let why): return waitOut(why)
        case .failed(let why): return fail(why)
        }
    }

    /// How long to wait before the phase is tried again after an outage; doubles while the outage lasts.
    package var outagePause: Duration { min(.seconds(1 << min(outages - 1, 5)), .seconds(30)) }

    private mutating func start() -> Action {
        guard state.isOpen else { return .end }
        state = .open
        message = nil
        stubbornSweeps = 0
        return .perform(phase)
    }

    private mutating func advance() -> Action {
        outages = 0
        guard let next = phase.next else { return .end }
        phase = next
        guard next == .done else { return .perform(next) }
        let values = exceptions == 0 ? nil : "\(exceptions) values need a look; the old keys stay unretired"
        let remarks = [values, remark].compactMap { $0 }
        state = remarks.isEmpty ? .done : .doneWithExceptions
        message = remarks.isEmpty ? nil : remarks.joined(separator: "; ")
        return .end
    }

    private mutating func wait(for stage: AcknowledgementStage, of consumers: [Name]) -> Action {
        state = .waiting
        let names = consumers.map(\.description).joined(separator: ", ")
        message =
            stage == .opens
            ? "until \(names) can open with the new key" : "until \(names) seal with the new key"
        return .wait(stage, consumers)
    }

    private mutating func waitForBackup() -> Action {
        state = .waiting
        message = "until a verified backup of the run is made"
        return .park
    }

    private mutating func settle(found: Int64) -> Action {
        guard found > 0 else { return advance() }
        if let before = foundBefore, found >= before { stubbornSweeps += 1 }
        foundBefore = found
        guard stubbornSweeps < Self.mostStubbornSweeps else {
            let why = "something still seals with an old key, or they cannot be sealed anew"
            return fail("\(found) values turn up after each sweep: \(why)")
        }
        return .perform(.settle)
    }

    private mutating func conclude(exceptions: Int64, left: Int64) -> Action {
        self.exceptions = exceptions
        guard left == 0 else {
            phase = .settle
            return settle(found: left)
        }
        return advance()
    }

    private mutating func park() -> Action {
        state = .paused
        message = "on request"
        return .park
    }

    private mutating func waitOut(_ why: String) -> Action {
        outages += 1
        state = .paused
        message = "\(why); goes on by itself once it is there again"
        return .perform(phase)
    }

    private mutating func cancel() -> Action {
        state = .cancelled
        message = "on request"
        return phase <= .activate ? .discardAndEnd : .end
    }

    /// Adds to a run that has ended what went wrong afterwards.
    package mutating func add(remark: String) {
        if state == .done { state = .doneWithExceptions }
        message = [message, remark].compactMap { $0 }.joined(separator: "; ")
    }

    private mutating func fail(_ why: String) -> Action {
        message = why
        state = phase < .prepare ? .failed : .needsOperator
        return phase < .prepare ? .end : .leave
    }
}
