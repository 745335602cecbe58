internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage

extension Runner {
    /// Makes sure that the plan still holds and that the providers answer.
    func preflight(_ run: RunRecord) async throws -> RunMachine.Event {
        var request = try plan(of: run).request()
        request.columnIDs = run.columnIDs
        let present = try await planner.currentHash(request)
        guard present == run.planHash else {
            throw RotationError(
                .callerPlanStale, "the plan of run \(run.id) no longer holds: structure, keys or policy have changed",
                hint: "Make a new plan and start again; nothing was changed."
            )
        }
        _ = try await presentKey(of: try await subject(of: run).provider)
        return .phaseDone
    }

    /// The run's keyring, and the provider under which it was planned to wrap.
    ///
    /// - Throws: ``RotationError`` with `callerPlanStale` where the keyring has another one by now, or
    ///   `callerPolicyForbids` where its keys may not go there any more.
    func subject(of run: RunRecord) async throws -> (record: KeyringRecord, provider: Name) {
        let hold = CustomerHold(declared: context.declared)
        let (record, refusal) = try await context.control.read { session in
            let record = try session.keyring(run.keyring)
            return (record, try hold.refusal(of: run.keyring, under: record.provider, in: session))
        }
        if let planned = try plan(of: run).provider, planned != record.provider.description {
            throw RotationError(
                .callerPlanStale,
                "run \(run.id) was planned for provider \"\(planned)\", and keyring \"\(run.keyring)\" is declared with \"\(record.provider)\" now",
                hint: "Declare it with \"\(planned)\" again and resume the run, or cancel the run and make a new plan."
            )
        }
        if let refusal {
            throw RotationError(
                .callerPolicyForbids, "run \(run.id) cannot go on: \(refusal)",
                hint: "Put keyturn.lua back as it was and resume the run, or cancel it."
            )
        }
        return (record, record.provider)
    }

    /// The provider's own name for the key that it wraps with now.
    ///
    /// - Throws: ``RotationError`` with `callerPolicyForbids` where it may not be used, or ``ProviderError``.
    func presentKey(of provider: Name) async throws -> String {
        let call = ProviderCall(deadline: .seconds(10), idempotencyKey: "describe-\(provider)")
        let key = try await keys.provider(provider).describeKey(call)
        guard key.isUsable else {
            throw RotationError(
                .callerPolicyForbids, "provider \"\(provider)\" cannot wrap now: \(key.summary)",
                hint: "Test the provider before you try again; no key was changed."
            )
        }
        return key.id
    }

    /// Makes the new version durable, reads it back, and installs the fences that will be raised to it.
    func prepare(_ run: inout RunRecord) async throws -> RunMachine.Event {
        if run.kind == .rewrap { return try await prepareRewrap(run) }
        try await installFences(run)
        let record = try await context.control.read { [name = run.keyring] in try $0.keyring(name) }
        if run.newKey == nil, run.kind != .rotate, let active = record.keyring.active {
            run.newKey = active.id
        }
        if let key = run.newKey {
            _ = try await keys.material(of: key, in: run.keyring, instance: instance.id)
            return .phaseDone
        }
        let provider = try await subject(of: run).provider
        let material = try await makeKey(for: record)
        let wrap = try await keys.wrap(
            material, for: run.keyring, provider: provider, instance: instance.id, at: context.now()
        )
        let canary = try Canary.seal(material.id, with: try core(for: record, keys: [material]))
        let version = KeyVersion(id: material.id, state: .preActivation, createdAt: context.now())
        // Taken over only once it is committed: a run must never name a key that was not stored.
        var prepared = run
        prepared.newKey = material.id
        prepared.oldKeys = record.keyring.versions.filter { $0.state.mayOpenForRewrite }.map(\.id)
        let held = try await lease.current()
        try await context.control.write { [prepared, actor = context.actor] session in
            try session.checkLease(held)
            // A commit whose answer was lost is repeated.
            guard try session.keyring(prepared.keyring).keyring[version.id] == nil else { return }
            try session.insert(
                version, of: prepared.keyring, wrap: wrap, origin: .generated, actor: actor,
                reason: "run \(prepared.id)"
            )
            try session.setCanary(canary, of: version.id)
            try session.update(prepared)
        }
        run = prepared
        context.reached(.keyCommitted)
        try await keys.proveStored(material, keyring: run.keyring, instance: instance.id)
        return .phaseDone
    }

    /// Whether every consumer has acknowledged a stage.
    func acknowledgements(of run: RunRecord, stage: AcknowledgementStage) async throws -> RunMachine.Event {
        let (record, given) = try await context.control.read { session in
            (try session.keyring(run.keyring), try session.acknowledgements(of: run.id))
        }
        let missing = record.consumers.filter { name in !given.contains { $0.consumer == name && $0.stage == stage } }
        return missing.isEmpty ? .phaseDone : .acknowledgementsMissing(stage, missing)
    }

    /// The only commit point: the new version becomes active, the old one stops sealing, the fences are raised.
    func activate(_ run: inout RunRecord) async throws -> RunMachine.Event {
        let record = try await context.control.read { [name = run.keyring] in try $0.keyring(name) }
        guard let id = run.newKey, let version = record.keyring[id] else {
            throw RotationError(.keyNotActive, "run \(run.id) has no key to activate")
        }
        let conversion = try plan(of: run).conversion
        if try await needsActivation(version, conversion, of: run) {
            let core = try self.core(
                for: record, keys: [try await keys.material(of: id, in: run.keyring, instance: instance.id)])
            let held = try await lease.current()
            let epoch = try await context.control.write { [run, context] session in
                try session.checkLease(held)
                let reason = "run \(run.id)"
                let next: KeyState = run.urgency == .emergency ? .compromised : .deactivated
                // Read anew, since a commit whose answer was lost is repeated.
                let present = try session.keyring(run.keyring).keyring
                if let old = present.active, old.id != id {
                    try session.move(old, to: next, at: context.now(), actor: context.actor, reason: reason)
                }
                if present[id]?.state != .active {
                    try session.move(version, to: .active, at: context.now(), actor: context.actor, reason: reason)
                }
                if let conversion { try moveColumns(of: run, by: conversion, in: session) }
                // Consumers go on sealing with the old key until they say otherwise; the fence must not stop them.
                let admitted = record.consumers.isEmpty ? [id] : [id] + [record.keyring.active?.id].compactMap { $0 }
                try raiseFences(of: run.keyring, to: admitted, core: core, in: session)
                return try session.raiseEpoch()
            }
            try await context.memory.remember(epoch: epoch)
            context.reached(.keyActivated)
        }
        let event = try await acknowledgements(of: run, stage: .seals)
        if event == .phaseDone { try await closeFences(of: run, on: id, record) }
        return event
    }

    /// Makes the fences admit the active key alone, also those of columns that were adopted under a key that seals already.
    private func closeFences(of run: RunRecord, on key: KeyID, _ record: KeyringRecord) async throws {
        let core = try self.core(for: record, keys: [])
        let held = try await lease.current()
        try await context.control.write { session in
            try session.checkLease(held)
            try raiseFences(of: run.keyring, to: [key], core: core, in: session)
        }
    }

    /// The plan that a run was started with.
    func plan(of run: RunRecord) throws -> Plan {
        guard let plan = try Plan.decode(run.plan) else {
            throw RotationError(.callerPlanStale, "run \(run.id) has no plan")
        }
        return plan
    }

    private func needsActivation(_ version: KeyVersion, _ conversion: Conversion?, of run: RunRecord) async throws
        -> Bool
    {
        guard version.state == .active else { return true }
        guard conversion != nil else { return false }
        let columns = try await context.control.read { try $0.columns() }
        return columns.contains { run.columnIDs.contains($0.id) && $0.declaration.keyring != run.keyring }
    }

    /// Gives the columns of a conversion to their new keyring; what still stands under the old one is read as such.
    private func moveColumns(of run: RunRecord, by conversion: Conversion, in session: ControlSession) throws {
        for column in try session.columns() where run.columnIDs.contains(column.id) {
            try session.move(column.id, to: run.keyring, context: conversion.context)
            let text = "\(column.declaration.path) belongs to \(run.keyring), not to \(conversion.from) any more"
            try session.addStep(text, in: .activate, of: run.id, at: context.now())
        }
    }

    /// Records that nothing is left under the old versions; refused while there are exceptions.
    func retire(_ run: RunRecord) async throws -> RunMachine.Event {
        if run.kind == .rewrap { return try await dropOldWraps(run) }
        guard run.kind != .convert, try await verifiedExceptions(of: run) == 0 else { return .phaseDone }
        let record = try await context.control.read { try $0.keyring(run.keyring) }
        guard let undeclared = try await undeclared(under: record) else { return .interrupted }
        let held = try await lease.current()
        let now = context.now()
        try await context.control.write { session in
            try session.checkLease(held)
            let uncounted = try uncounted(by: run, in: session).map(\.declaration.path.description)
            if let column = (uncounted + undeclared).first {
                let text = "no key retired: values of \(column) may lie under one, and this run did not count them"
                return try session.addStep(text, in: .retire, of: run.id, at: now)
            }
            for version in try session.keyring(run.keyring).keyring.versions {
                guard version.state == .deactivated || version.state == .compromised else { continue }
                // One that was retired before stays so, unless this run has met values under it.
                if let before = version.retiredAt, before < run.startedAt { continue }
                var retired = version
                try retired.retire(at: now)
                try session.update(retired)
                guard version.retiredAt == nil else { continue }
                try session.addStep("key \(version.id) retired", in: .retire, of: run.id, at: now)
            }
        }
        context.reached(.keysRetired)
        return .phaseDone
    }

    /// The columns that nobody declared and that hold values of an older key of the keyring; nil when it was interrupted.
    private func undeclared(under record: KeyringRecord) async throws -> [String]? {
        let old = record.keyring.versions.filter { $0.state != .active }.map(\.id.description)
        guard !old.isEmpty else { return [] }
        let ring = try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true)
        let scan = UndeclaredScan(control: context.control, rings: [ring], byteBudget: UndeclaredScan.usualBudget)
        let discovery = try await scan.run(interrupt: interrupt)
        return discovery?.findings.filter { finding in old.contains { finding.keys[$0] != nil } }.map(\.column)
    }

    /// The columns that still exist, whose values may lie under the run's keyring, and which it did not look at.
    private func uncounted(by run: RunRecord, in session: ControlSession) throws -> [ColumnRecord] {
        try session.columns().filter { column in
            guard column.declaration.keyring == run.keyring, !run.columnIDs.contains(column.id) else { return false }
            let path = column.declaration.path
            return try session.storage.describe(path.table)?.column(path.column) != nil
        }
    }

    /// Discards a version that was prepared and never became active.
    ///
    /// - Returns: Its id, for the node to remember; nil where there was none.
    func discardNewKey(of run: RunRecord, in session: ControlSession) throws -> KeyID? {
        guard let id = run.newKey, let version = try session.keyring(run.keyring).keyring[id],
            version.state == .preActivation
        else { return nil }
        let now = context.now()
        try session.discard(version, at: now, actor: context.actor, reason: "run \(run.id) cancelled")
        try session.addStep("key \(version.id) discarded", in: .prepare, of: run.id, at: now)
        return id
    }

    private func makeKey(for record: KeyringRecord) async throws -> KeyMaterial {
        let type = try context.cores.core(record.keyring.core)
        let taken = try await context.control.read { try $0.keyIDs() }
        var random = SystemRandomNumberGenerator()
        let id = KeyID.random(avoiding: taken, using: &random)
        return KeyMaterial(id: id, secret: try type.generateMaterial(options: record.options))
    }

    private func core(for record: KeyringRecord, keys: [KeyMaterial]) throws -> any EncryptionCore {
        try context.cores.core(record.keyring.core).init(options: record.options, keys: keys)
    }

    /// Installs the fences of the run's columns, admitting what may be written before the activation.
    private func installFences(_ run: RunRecord) async throws {
        let (record, columns) = try await context.control.read { session in
            (try session.keyring(run.keyring), try session.columns())
        }
        guard try context.cores.core(record.keyring.core).descriptor.keyID == .exact else {
            return try await removeFences(run)
        }
        // Also where one stands already: the table may have been made anew, or the column's `where` changed.
        for column in columns where run.columnIDs.contains(column.id) {
            let held = try await lease.current()
            try await persistent {
                try await context.control.write { session in
                    try session.checkLease(held)
                    if !column.isFenced { try session.setFence(of: column.id, admitting: [.any]) }
                    try session.storage.installFence(
                        Fence(columnID: column.id, target: column.target(readsBack: false)))
                    try session.setFenced(true, column: column.id)
                }
            }
            context.reached(.fenceInstalled)
        }
    }

    /// Takes away the fences of columns whose new core has no exact ids, before the first of its values is written.
    private func removeFences(_ run: RunRecord) async throws {
        guard run.kind == .convert else { return }
        let columns = try await context.control.read { try $0.columns() }
        for column in columns where run.columnIDs.contains(column.id) && column.isFenced {
            let held = try await lease.current()
            try await context.control.write { session in
                try session.checkLease(held)
                try session.storage.removeFence(Fence(columnID: column.id, target: column.target(readsBack: false)))
                try session.setFence(of: column.id, admitting: [])
                try session.setFenced(false, column: column.id)
            }
        }
    }

    private func raiseFences(
        of keyring: Name, to keys: [KeyID], core: any EncryptionCore, in session: ControlSession
    ) throws {
        let marks = keys.flatMap { key in
            [ValueForm.text, .blob].compactMap { form in
                core.mark(of: key, form: form).flatMap { FenceMark($0, form: form, key: key) }
            }
        }
        for column in try session.columns() where column.declaration.keyring == keyring && column.isFenced {
            try session.setFence(of: column.id, admitting: column.declaration.plaintext == .keep ? [.any] : marks)
        }
    }
}
