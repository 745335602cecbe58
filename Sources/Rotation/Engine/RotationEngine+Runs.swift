package import ControlStore
package import KeyModel
internal import Logging
internal import PluginKit
internal import Storage

/// How a run is to be driven.
package struct DriveOptions: Sendable {
    /// Raised to stop after the batch in hand.
    package var interrupt: Interrupt
    /// How fast rows may be rewritten.
    package var throttle: Throttle
    /// The most bytes that a table may grow by while it is rewritten; nil for no limit.
    package var maxExtraDisk: Int64?
    /// Whether a paused or waiting run is waited for; otherwise driving it ends there.
    package var waitsForPeople: Bool
    /// Told of every move.
    package var report: @Sendable (RunSnapshot) -> Void

    /// Makes options.
    package init(
        interrupt: Interrupt = Interrupt(), throttle: Throttle = Throttle(), maxExtraDisk: Int64? = nil,
        waitsForPeople: Bool = true,
        report: @escaping @Sendable (RunSnapshot) -> Void = { _ in }
    ) {
        self.interrupt = interrupt
        self.throttle = throttle
        self.maxExtraDisk = maxExtraDisk
        self.waitsForPeople = waitsForPeople
        self.report = report
    }
}

extension RotationEngine {
    /// Records a run after its plan; drives nothing yet.
    ///
    /// An emergency run cancels the routine run that is open and takes over its rows.
    ///
    /// - Parameters:
    ///   - reviewed: The plan.
    ///   - request: What it was made for.
    ///   - alongside: What is recorded in the same transaction as the run.
    /// - Returns: The run.
    /// - Throws: ``RotationError`` with `callerPolicyForbids` for a plan with refusals, or `callerRunOpen`.
    package func start(
        _ reviewed: Plan, for request: PlanRequest,
        alongside: @escaping @Sendable (ControlSession, RunRecord) throws -> Void = { _, _ in }
    ) async throws -> RunRecord {
        try await requireCurrent()
        if request.urgency == .routine, let open = try await context.control.read({ try $0.openRun() }) {
            throw Self.isOpen(open, try await liveLease())
        }
        let plan = try await makeWay(for: request, reviewed)
        guard plan.refusals.isEmpty else {
            throw RotationError(
                .callerPolicyForbids,
                "cannot \(plan.kind) \"\(plan.keyring)\": \(plan.refusals.joined(separator: "; "))",
                hint: "Nothing was changed."
            )
        }
        let text = try plan.encoded()
        let now = context.now()
        let node = await context.memory.entry.node
        let (run, epoch) = try await context.control.write { [context, configurationHash] session in
            // Else the run would stand open, and nobody here could drive it.
            try session.refuseLease(ofOthersThan: node, now: now)
            if let open = try session.openRun() { throw Self.isOpen(open, nil) }
            let columns = try session.columns().filter { $0.isDeclared && $0.declaration.keyring == request.keyring }
            let ids = request.kind == .rewrap ? [] : request.columnIDs ?? columns.map(\.id)
            let run = try session.insertRun { id in
                RunRecord(
                    id: id, kind: request.kind, urgency: request.urgency, keyring: request.keyring, columnIDs: ids,
                    phase: .planned, state: .open, plan: text, planHash: plan.hash,
                    configurationHash: configurationHash,
                    actor: context.actor, startedAt: now, updatedAt: now
                )
            }
            try session.addStep("started by \(context.actor)", in: .planned, of: run.id, at: now)
            try alongside(session, run)
            return (run, try session.raiseEpoch())
        }
        try await context.memory.remember(epoch: epoch)
        context.reached(.runRecorded)
        return run
    }

    /// Drives a run to its end, or to where it must stop.
    ///
    /// - Returns: The run as it was left.
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`, or what stopped the run; its record says why.
    /// - Important: Cancelling, or raising the interrupt, stops after the batch in hand.
    package func drive(_ id: Int64, _ options: DriveOptions) async throws -> RunRecord {
        try await Patience.during(context, until: options.interrupt) {
            try await requireCurrent()
            let tally = RunTally(after: try await context.control.read { try $0.providerCalls(ofRun: id) })
            return try await CallTally.$current.withValue(tally.present) { try await drive(id, options, tally) }
        }
    }

    private func drive(_ id: Int64, _ options: DriveOptions, _ tally: RunTally) async throws -> RunRecord {
        let lease = try await LeaseKeeper(taking: context)
        let runner = Runner(
            context: context, keys: keys, instance: instance, planner: planner, lease: lease,
            interrupt: options.interrupt,
            throttle: options.throttle, maxExtraDisk: options.maxExtraDisk,
            waitsForPeople: options.waitsForPeople, tally: tally, report: options.report
        )
        do {
            let run = try await runner.drive(id)
            try await lease.release()
            return run
        } catch {
            do { try await lease.release() } catch { context.logger.debug("lease not given back; it ends by itself") }
            throw error
        }
    }

    /// The runs, newest first.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func runs() async throws -> [RunRecord] { try await context.control.read { try $0.runs() } }

    /// One run with everything recorded of it.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func runHistory(_ id: Int64) async throws -> RunHistory {
        try await context.control.read { session in
            RunHistory(
                run: try session.run(id), steps: try session.steps(of: id), progress: try progress(of: id, in: session),
                columns: try session.columns(), quarantined: try session.quarantined(run: id),
                quarantineCount: try session.quarantineCount(run: id),
                acknowledgements: try session.acknowledgements(of: id), hooks: try session.hookAttempts(of: id),
                providerCalls: try session.providerCalls(ofRun: id)
            )
        }
    }

    /// How far a run is, with what its unfinished windows have written already.
    private func progress(of run: Int64, in session: ControlSession) throws -> [ColumnProgress] {
        var progress = try session.progress(of: run)
        for mark in try session.windowMarks(run: run) {
            let place = progress.firstIndex { $0.columnID == mark.columnID && $0.phase == mark.phase }
            if place == nil { progress.append(ColumnProgress(columnID: mark.columnID, phase: mark.phase)) }
            progress[place ?? progress.count - 1].counts.account(for: mark)
            progress[place ?? progress.count - 1].counts.read += mark.written + mark.missed
        }
        return progress
    }

    /// Asks a run to pause or to cancel at its next batch; the process that drives it does so.
    ///
    /// Who asked stands in the run's history. What `alongside` records commits together with the request.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, or ``RotationError`` with `callerRunState`.
    package func ask(
        _ request: RunRequest, of id: Int64, alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws {
        let (actor, now) = (context.actor, context.now())
        try await context.control.write { session in
            let run = try session.run(id)
            guard run.state.isOpen else {
                throw RotationError(.callerRunState, "run \(id) is over: \(run.state.rawValue)")
            }
            if request == .cancel, run.kind == .convert, run.phase > .activate {
                throw RotationError(
                    .callerRunState, "run \(id) converts its columns already, and half of one opens under no one core",
                    hint: "Let it go on to its end, or pause it; convert the columns back afterwards."
                )
            }
            try session.setRequest(request, of: id)
            try session.addStep(request, askedBy: actor, of: run, at: now)
            try alongside(session)
        }
    }

    /// Whether some process drives runs on the database now.
    ///
    /// - Throws: ``StorageError``.
    package func liveLease() async throws -> Lease? {
        let now = context.now()
        return try await context.control.read { try $0.lease() }.flatMap { $0.expiresAt > now ? $0 : nil }
    }

    /// Records that a consumer can go along with a run, and with it what `alongside` does.
    ///
    /// - Throws: ``RotationError`` with `callerNotFound` for an unknown consumer, or `callerRunState`.
    package func acknowledge(
        run id: Int64, consumer: Name, alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> AcknowledgementStage {
        try await context.control.write { [context] session in
            let run = try session.run(id)
            let record = try session.keyring(run.keyring)
            guard record.consumers.contains(consumer) else {
                throw RotationError(
                    .callerNotFound, "keyring \"\(run.keyring)\" has no consumer \"\(consumer)\"",
                    hint: "Its consumers are \(record.consumers.map(\.description).joined(separator: ", "))."
                )
            }
            guard run.state.isOpen, run.phase == .publish || run.phase == .activate else {
                throw RotationError(
                    .callerRunState,
                    "run \(id) waits for no consumer: it is \(run.state.rawValue) in \(run.phase.rawValue)"
                )
            }
            let stage: AcknowledgementStage = run.phase == .publish ? .opens : .seals
            let given = Acknowledgement(consumer: consumer, stage: stage, at: context.now(), actor: context.actor)
            try session.acknowledge(given, run: id)
            try session.addStep("\(consumer) acknowledged: \(stage.rawValue)", in: run.phase, of: id, at: given.at)
            try alongside(session)
            return stage
        }
    }

    private static func isOpen(_ run: RunRecord, _ lease: Lease?) -> RotationError {
        let driver = lease.map { "; \($0.holder) works on it, its lease runs until \($0.expiresAt)" } ?? ""
        return RotationError(
            .callerRunOpen,
            "run \(run.id) of \"\(run.keyring)\" is open: \(run.phase.rawValue), \(run.state.rawValue)\(driver)",
            hint: "Resume it with \"keyturn run resume \(run.id)\", or cancel it with \"keyturn run cancel \(run.id)\"."
        )
    }

    /// Asks the routine run that is open, if there is one, to make way for an emergency.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func askOpenRunToMakeWay() async throws {
        guard let open = try await openRoutineRun() else { return }
        do {
            try await ask(.cancel, of: open.id) { [actor = context.actor, now = context.now()] session in
                try session.addMakingWay(of: try session.run(open.id), by: actor, at: now)
            }
        } catch let error as RotationError where error.code == .callerRunState {
            // It has ended by itself in between.
        }
    }

    /// Cancels what stands in an emergency's way; the plan is made anew where that may have made or moved keys.
    private func makeWay(for request: PlanRequest, _ plan: Plan) async throws -> Plan {
        guard request.urgency == .emergency, plan.refusals.isEmpty, try await cancelOpenRun() else { return plan }
        return try await self.plan(request)
    }

    /// Cancels the routine run that is open: by its driver if one lives on another node, directly otherwise, since the
    /// caller holds this node's lock.
    ///
    /// - Returns: Whether there was one.
    private func cancelOpenRun() async throws -> Bool {
        guard let open = try await openRoutineRun() else { return false }
        try await askOpenRunToMakeWay()
        let node = await context.memory.entry.node
        while let lease = try await liveLease(), lease.node != node {
            guard try await context.control.read({ try $0.run(open.id).state.isOpen }) else { return true }
            try await Task.sleep(for: .milliseconds(100))
        }
        _ = try await drive(open.id, DriveOptions(waitsForPeople: false))
        return true
    }

    private func openRoutineRun() async throws -> RunRecord? {
        try await context.control.read { try $0.openRun() }.flatMap { $0.urgency == .routine ? $0 : nil }
    }
}

/// One run with everything recorded of it.
package struct RunHistory: Sendable {
    /// The run.
    package let run: RunRecord
    /// Its steps, oldest first.
    package let steps: [RunStep]
    /// Its progress by phase and column.
    package let progress: [ColumnProgress]
    /// The columns that the numbers stand for.
    package let columns: [ColumnRecord]
    /// The first values that it quarantined.
    package let quarantined: [QuarantineRecord]
    /// How many values it quarantined in all.
    package let quarantineCount: Int64
    /// What consumers acknowledged.
    package let acknowledgements: [Acknowledgement]
    /// The attempts to perform hooks, oldest first.
    package let hooks: [HookAttempt]
    /// What it asked of providers other than the built-in one: by provider and call.
    package let providerCalls: [String: [String: Int64]]
}
