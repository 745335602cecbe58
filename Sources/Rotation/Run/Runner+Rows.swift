internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage

extension Runner {
    /// How long transactions that are older than the fence may take before a person is asked.
    private static let oldTransactionLimit = Duration.seconds(60)

    /// Rewrites every column once.
    func reencrypt(_ run: RunRecord) async throws -> RunMachine.Event {
        for column in try await columns(of: run) {
            var progress = try await begin(column, .reencrypt, of: run)
            guard !progress.isDone else { continue }
            if let event = try await walk(column, &progress, of: run) { return event }
            context.reached(.columnFinished)
        }
        return .phaseDone
    }

    /// Sweeps every column until a whole sweep finds nothing under another key.
    func settle(_ run: RunRecord) async throws -> RunMachine.Event {
        try await context.engine.waitForOlderTransactions(limit: Self.oldTransactionLimit)
        var found: Int64 = 0
        for column in try await columns(of: run) {
            var progress = try await begin(column, .settle, of: run)
            if progress.isDone || progress.cursor == nil { progress = try await beginSweep(progress, of: run) }
            if let event = try await walk(column, &progress, of: run) { return event }
            found += progress.counts.written + progress.counts.missed
            context.reached(.sweepFinished)
        }
        return .swept(found: found)
    }

    /// Opens every value with the new key alone, counts, and signs what was found.
    func verify(_ run: inout RunRecord) async throws -> RunMachine.Event {
        let keyring = try await openKeyring(of: run)
        var censuses: [ColumnCensus] = []
        for column in try await columns(of: run) {
            switch try await census(of: column, keyring, run: run) {
            case .event(let event): return event
            case .done(let census): censuses.append(census)
            }
        }
        let left = censuses.reduce(0) { $0 + $1.left }
        let exceptions = censuses.reduce(0) { $0 + $1.exceptions }
        guard left == 0 else {
            try await restartVerification(of: run)
            return .verified(exceptions: exceptions, left: left)
        }
        try await keepProof(of: &run, keyring, censuses)
        return .verified(exceptions: exceptions, left: 0)
    }

    /// How many exceptions the verification found.
    func verifiedExceptions(of run: RunRecord) async throws -> Int64 {
        let progress = try await context.control.read { try $0.progress(of: run.id) }
        return try progress.filter { $0.phase == .verify }.reduce(0) { sum, entry in
            sum + (try ColumnCensus.decode(entry.census)?.exceptions ?? 0)
        }
    }

    private enum CensusEnd {
        case done(ColumnCensus)
        case event(RunMachine.Event)
    }

    private func columns(of run: RunRecord) async throws -> [ColumnRecord] {
        let all = try await context.control.read { try $0.columns() }
        return all.filter { run.columnIDs.contains($0.id) }
    }

    private func openKeyring(of run: RunRecord) async throws -> OpenedKeyring {
        let record = try await context.control.read { try $0.keyring(run.keyring) }
        return try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true)
    }

    /// Asks for the keys of a run again, which costs nothing while their provider's word is fresh.
    private func grant(of run: RunRecord) -> KeyGrant {
        KeyGrant {
            _ = try await openKeyring(of: run)
            _ = try await planner.source(of: plan(of: run).conversion)
        }
    }

    /// Takes up a column's progress in a phase, or begins it.
    private func begin(_ column: ColumnRecord, _ phase: RunPhase, of run: RunRecord) async throws -> ColumnProgress {
        let known = try await context.control.read { try $0.progress(of: run.id) }
        if let present = known.first(where: { $0.columnID == column.id && $0.phase == phase }) { return present }
        let isAdopting = run.kind == .adopt
        let rows = try await context.engine.read { session in
            try phase == .verify
                ? session.describe(column.declaration.path.table)?.estimatedRows ?? 0
                : Self.rowsToRewrite(column, isAdopting: isAdopting, session)
        }
        return ColumnProgress(columnID: column.id, phase: phase, expectedRows: rows)
    }

    /// About how many rows a pass reads; what no longer fits the database is told by the inspection that follows.
    private static func rowsToRewrite(
        _ column: ColumnRecord, isAdopting: Bool, _ session: any StorageSession
    ) throws -> Int64 {
        let target = column.target(readsBack: false)
        let path = target.path
        guard let table = try session.describe(path.table) else { return 0 }
        do {
            if let predicate = target.predicate { try session.checkPredicate(predicate, on: path.table) }
            return try session.estimatedRows(of: target, scope: target.scope(isAdopting: isAdopting))
        } catch let error as StorageError where !error.isTransient {
            return table.estimatedRows
        }
    }

    /// Begins a sweep from the start: what was quarantined is looked at anew, what was written stays counted.
    private func beginSweep(_ last: ColumnProgress, of run: RunRecord) async throws -> ColumnProgress {
        let next = ColumnProgress(
            columnID: last.columnID, phase: last.phase, sweep: last.isDone ? last.sweep + 1 : last.sweep,
            expectedRows: last.expectedRows
        )
        let held = try await lease.current()
        try await context.control.write { session in
            try session.checkLease(held)
            let known = try session.progress(of: run.id)
            // A commit whose answer was lost is repeated, and must not count twice.
            let isBegun = known.contains {
                $0.columnID == next.columnID && $0.phase == next.phase && $0.sweep == next.sweep
                    && $0.counts == RowCounts()
            }
            try session.clearQuarantine(run: run.id, column: last.columnID)
            try session.save(next, run: run.id)
            guard !isBegun else { return }
            guard var first = known.first(where: { $0.columnID == last.columnID && $0.phase == .reencrypt }) else {
                return
            }
            first.counts.written += last.counts.written
            first.counts.bytes += last.counts.bytes
            try session.save(first, run: run.id)
        }
        return next
    }

    /// Walks a column to its end; what stops it earlier is the event to hand on.
    private func walk(
        _ column: ColumnRecord, _ progress: inout ColumnProgress, of run: RunRecord
    ) async throws -> RunMachine.Event? {
        let keyring = try await openKeyring(of: run)
        let inspections = try await planner.inspect([column], keyring)
        if let refusal = inspections.first?.refusals.first {
            throw RotationError(
                .callerPlanStale, "run \(run.id) cannot go on with \"\(column.declaration.path)\": \(refusal)",
                hint: "Put the column back as it was and resume the run, or cancel it."
            )
        }
        guard let table = inspections.first?.table else {
            throw RotationError(.callerPlanStale, "the table of \"\(column.declaration.path)\" is not there any more")
        }
        let description = inspections.first?.description
        let source = try await planner.source(of: plan(of: run).conversion)
        let reappeared = ReappearedKeys([keyring.record.keyring] + [source?.0.record.keyring].compactMap(\.self))
        let cipher = try ColumnCipher(
            column: column, keyring: keyring.fitted(to: description), namespace: instance.namespace,
            isAdopting: run.kind == .adopt, readsBack: inspections.contains(where: \.readsBack),
            from: source.map { ($0.fitted(to: description), $1) }, noting: reappeared
        )
        let name = column.declaration.path.description
        // The policy's own limit makes a rotation due; it must not keep one from ending.
        let meter = SealMeter(
            control: context.control, key: try keyring.requireActive(), limit: keyring.descriptor.sealLimit,
            expected: keyring.record.keyring.policy.maxSeals
        )
        let pass = ColumnPass(
            context: context, run: run.id, cipher: cipher, lease: lease,
            reappeared: reappeared, meter: meter, grant: grant(of: run),
            interrupt: interrupt, throttle: throttle, table: table, maxExtraDisk: maxExtraDisk,
            report: { report(snapshot(of: run, nil, progress: [$0], column: name)) }
        )
        let end = try await pass.walk(&progress)
        await meter.giveBack()
        switch end {
        case .finished: return nil
        case .interrupted: return .interrupted
        case .requested(let request): return .requested(request)
        }
    }

    private func census(of column: ColumnRecord, _ keyring: OpenedKeyring, run: RunRecord) async throws -> CensusEnd {
        var progress = try await begin(column, .verify, of: run)
        let name = column.declaration.path.description
        var census = try ColumnCensus.decode(progress.census) ?? ColumnCensus(column: name)
        let path = column.declaration.path
        let description = try await context.engine.read { try $0.describe(path.table)?.column(path.column) }
        let taker = try CensusTaker(
            column: column, keyring: keyring.fitted(to: description), namespace: instance.namespace,
            from: try await planner.source(of: plan(of: run).conversion).map { ($0.fitted(to: description), $1) }
        )
        let grant = grant(of: run)
        while !progress.isDone {
            if interrupt.isSet { return .event(.interrupted) }
            try await grant.renew()
            let step = try await taker.count(after: progress.cursor, on: context.engine, into: &census)
            progress.cursor = step.cursor
            progress.isDone = step.isLast
            progress.counts.read = census.rows
            progress.census = try census.encoded()
            let held = try await lease.current()
            let doubtful = step.doubtful.map {
                QuarantineRecord(columnID: column.id, key: $0.key, reason: $0.reason, at: context.now())
            }
            let request = try await persistent { [progress] in
                try await context.control.write { session in
                    try session.checkLease(held)
                    try session.save(progress, run: run.id)
                    try session.quarantine(doubtful, run: run.id)
                    return try session.request(of: run.id)
                }
            }
            context.reached(.windowVerified)
            report(snapshot(of: run, nil, progress: [progress], column: name))
            if request != .none { return .event(.requested(request)) }
        }
        return .done(census)
    }

    /// Forgets what was verified, so that it is counted again after another sweep.
    private func restartVerification(of run: RunRecord) async throws {
        let held = try await lease.current()
        try await context.control.write { session in
            try session.checkLease(held)
            for column in run.columnIDs {
                try session.save(ColumnProgress(columnID: column, phase: .verify), run: run.id)
            }
        }
    }

    private func keepProof(of run: inout RunRecord, _ keyring: OpenedKeyring, _ censuses: [ColumnCensus]) async throws {
        let ids = keyring.record.keyring.versions.filter { $0.state.mayOpenForRewrite }.map(\.id)
        let (canaries, progress) = try await context.control.read { [run] session in
            (try ids.map { ($0, try session.canary(of: $0)) }, try session.progress(of: run.id))
        }
        let open = canaries.allSatisfy { id, value in
            value.map { Canary.opens($0, under: id, with: keyring.core) } ?? true
        }
        let statement = ProofStatement(
            instance: instance.id, run: run.id, kind: run.kind.rawValue, urgency: run.urgency.rawValue,
            keyring: run.keyring.description, core: keyring.descriptor.name,
            activeKey: try keyring.requireActive().description,
            oldKeys: ids.filter { $0 != keyring.active }.map(\.description), canariesOpen: open, columns: censuses,
            rewritten: progress.reduce(0) { $0 + $1.counts.written }, isClean: open && censuses.allSatisfy(\.isClean),
            oldBytesMayRemainIn: context.engine.placesOfOldBytes, planHash: run.planHash,
            configurationHash: run.configurationHash, database: context.engine.description, actor: run.actor,
            startedAt: run.startedAt.description, verifiedAt: context.now().description
        )
        var proven = run
        proven.proof = try SignedProof(statement, by: context.signer).encoded()
        let held = try await lease.current()
        try await context.control.write { [proven] session in
            try session.checkLease(held)
            try session.update(proven)
        }
        run = proven
        context.reached(.proofKept)
    }
}
