internal import ControlStore
internal import KeyModel
internal import Logging
internal import PluginKit
internal import Storage

/// Drives one run from where it stands to its end, or to where it must stop.
///
/// It performs what the ``RunMachine`` says and records every move. Cancelling, or raising the interrupt, stops after the
/// batch in hand and leaves the run ready to be resumed.
struct Runner: Sendable {
    let context: RotationContext
    let keys: KeyAccess
    let instance: InstanceRecord
    let planner: Planner
    let lease: LeaseKeeper
    let interrupt: Interrupt
    let throttle: Throttle
    let maxExtraDisk: Int64?
    let waitsForPeople: Bool
    let tally: RunTally
    let report: @Sendable (RunSnapshot) -> Void

    /// How often a waiting or paused run looks whether it may go on.
    static let pollInterval = Duration.milliseconds(250)

    /// Drives a run.
    ///
    /// - Returns: The run as it was left.
    /// - Throws: What stopped it, after recording why; nothing committed is lost.
    func drive(_ id: Int64) async throws -> RunRecord {
        var run = try await context.control.read { try $0.run(id) }
        var machine = RunMachine(phase: run.phase, state: run.state, exceptions: try await exceptions(of: run))
        var action = machine.handle(.started)
        try await record(machine, in: &run)
        while true {
            switch action {
            case .perform(let phase):
                let event = try await attempt(phase, of: &run, machine: &machine)
                action = machine.handle(event)
            case .wait, .park:
                try await record(machine, in: &run)
                guard waitsForPeople, let event = try await waitForPeople(run, machine) else { return run }
                action = machine.handle(event)
            case .leave:
                try await record(machine, in: &run)
                return run
            case .discardAndEnd, .end:
                try await performLastHooks(of: run, &machine)
                try await record(machine, in: &run)
                context.reached(.runFinished)
                return run
            }
            // That it has ended is recorded with what becomes of its last hooks.
            if action != .end, action != .discardAndEnd { try await record(machine, in: &run) }
        }
    }

    /// Performs a phase; what throws is recorded first, so that the run says why it stands.
    private func attempt(_ phase: RunPhase, of run: inout RunRecord, machine: inout RunMachine) async throws
        -> RunMachine.Event
    {
        do {
            return try await perform(phase, of: &run)
        } catch let error as ControlStoreError where error.code == .storeLeaseLost {
            throw error
        } catch is CancellationError {
            throw CancellationError()
        } catch  where waitsForPeople && machine.phase >= .prepare && Outage.isOne(error) {
            return try await waitOut(error, of: &run, machine: &machine)
        } catch {
            let why = (error as? any CodedError)?.message ?? "\(error)"
            _ = machine.handle(.failed(why))
            do {
                try await performFailureHooks(of: run, &machine)
                try await record(machine, in: &run)
            } catch {
                context.logger.warning("run state not recorded", metadata: ["run.id": "\(run.id)"])
            }
            throw error
        }
    }

    private func perform(_ phase: RunPhase, of run: inout RunRecord) async throws -> RunMachine.Event {
        if let event = try await pending(run) { return event }
        switch phase {
        case .planned: return .phaseDone
        case .before:
            if let event = try await performHooks(.before, of: run) { return event }
            if try await hasBackup(run) { return .phaseDone }
            try refuseHooksWithoutBackup(run)
            return .backupMissing
        case .after: return try await performHooksAfter(run)
        case .done: return .phaseDone
        case .preflight: return try await preflight(run)
        case .prepare: return try await prepare(&run)
        case .publish where run.kind == .rewrap: return .phaseDone
        case .publish:
            if let event = try await performHooks(.published, of: run) { return event }
            return try await acknowledgements(of: run, stage: .opens)
        case .activate: return run.kind == .rewrap ? .phaseDone : try await activate(&run)
        case .reencrypt: return run.kind == .rewrap ? try await rewrapKeys(run) : try await reencrypt(run)
        case .settle: return run.kind == .rewrap ? .phaseDone : try await settle(run)
        case .verify: return run.kind == .rewrap ? try await verifyWraps(run) : try await verify(&run)
        case .retire: return try await retire(run)
        }
    }

    /// What was asked of the run meanwhile.
    func pending(_ run: RunRecord) async throws -> RunMachine.Event? {
        if interrupt.isSet { return .interrupted }
        let request = try await context.control.read { try $0.request(of: run.id) }
        return request == .none ? nil : .requested(request)
    }

    /// Whether a verified backup of the run is in the catalogue, or none is demanded.
    ///
    /// An emergency is not held back, and where only wraps change the rows stay as they are.
    private func hasBackup(_ run: RunRecord) async throws -> Bool {
        guard run.urgency == .routine, run.kind != .rewrap else { return true }
        return try await context.control.read { session in
            let keyring = try session.keyring(run.keyring).keyring
            // Before the first key of a keyring that seals no column there is nothing that a backup could keep.
            return try keyring.policy.backup == .optional || run.columnIDs.isEmpty && keyring.versions.isEmpty
                || session.hasVerifiedBackup(of: run, stage: .before)
        }
    }

    /// Waits until the run may go on; nil when the process is asked to end first.
    private func waitForPeople(_ run: RunRecord, _ machine: RunMachine) async throws -> RunMachine.Event? {
        while !interrupt.isSet {
            try await Task.sleep(for: Self.pollInterval)
            _ = try await lease.current()
            let (request, acknowledged) = try await context.control.read { session in
                (try session.request(of: run.id), try session.acknowledgements(of: run.id).count)
            }
            switch (machine.state, request) {
            case (_, .cancel): return .requested(.cancel)
            case (.paused, .none): return .started
            case (.waiting, .pause): return .requested(.pause)
            case (.waiting, .none) where machine.phase == .before:
                if try await hasBackup(run) { return .started }
            case (.waiting, .none) where acknowledged > 0:
                let stage: AcknowledgementStage = machine.phase == .publish ? .opens : .seals
                let event = try await acknowledgements(of: run, stage: stage)
                if event == .phaseDone { return .started }
            default: break
            }
        }
        return nil
    }

    /// Writes what the machine says into the run's record, with a step in its history where something changed.
    ///
    /// A cancelled run and the key that it had prepared end together, and with each move the database gets older: a copy
    /// that was taken before it is told from the database itself.
    func record(_ machine: RunMachine, in run: inout RunRecord) async throws {
        guard (run.phase, run.state, run.message) != (machine.phase, machine.state, machine.message) else { return }
        let what = run.phase == machine.phase ? machine.state.rawValue : "phase \(machine.phase.rawValue)"
        let now = context.now()
        run.phase = machine.phase
        run.state = machine.state
        run.message = machine.message
        run.updatedAt = now
        run.finishedAt = machine.state.isOpen ? nil : now
        let held = try await lease.current()
        let calls = tally.news
        let (epoch, discarded) = try await context.control.write { [run] session in
            try session.checkLease(held)
            try session.update(run)
            if let calls { try session.record(providerCalls: calls, ofRun: run.id) }
            let text = [what, run.message].compactMap { $0 }.joined(separator: ": ")
            try session.addStep(text, in: run.phase, of: run.id, at: now)
            let discarded = run.state == .cancelled ? try discardNewKey(of: run, in: session) : nil
            if !run.state.isOpen { try session.setRequest(.none, of: run.id) }
            return (try session.raiseEpoch(), discarded)
        }
        if let calls { tally.wrote(calls) }
        try await context.memory.remember(epoch: epoch, destroyed: discarded)
        context.reached(.phaseRecorded)
        report(snapshot(of: run, machine, progress: []))
    }

    private func exceptions(of run: RunRecord) async throws -> Int64 {
        guard run.phase > .verify, run.state.isOpen else { return 0 }
        let progress = try await context.control.read { try $0.progress(of: run.id) }
        return try progress.filter { $0.phase == .verify }.reduce(0) {
            $0 + (try ColumnCensus.decode($1.census)?.exceptions ?? 0)
        }
    }

    /// What a watcher is told.
    func snapshot(of run: RunRecord, _ machine: RunMachine?, progress: [ColumnProgress], column: String? = nil)
        -> RunSnapshot
    {
        var counts = RowCounts()
        for entry in progress { counts += entry.counts }
        return RunSnapshot(
            run: run.id, phase: machine?.phase ?? run.phase, state: machine?.state ?? run.state,
            message: machine?.message ?? run.message, column: column, rowsDone: counts.read,
            rowsExpected: progress.reduce(0) { $0 + $1.expectedRows }, counts: counts
        )
    }
}
