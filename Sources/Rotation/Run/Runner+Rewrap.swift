internal import ControlStore
internal import KeyModel
internal import PluginKit

/// Rewrapping: every version of a keyring under another key-encryption key, rows untouched.
extension Runner {
    /// A version's copy that was seen to unwrap, and the copies that it makes superfluous.
    private struct ProvenWrap {
        let wrap: WrapRecord
        let older: [WrapRecord]
    }

    /// How often in a row a provider's key may turn while keys are wrapped under it.
    private static let mostTurns = 3

    /// Lets the provider make a new key, unless an earlier attempt has done so.
    func prepareRewrap(_ run: RunRecord) async throws -> RunMachine.Event {
        let name = try await subject(of: run).provider
        guard let rewrap = try plan(of: run).rewrap, rewrap.makesNewRoot else { return .phaseDone }
        let provider = try await keys.provider(name)
        let call = ProviderCall(deadline: .seconds(10), idempotencyKey: "rotate-run-\(run.id)")
        guard try await provider.describeKey(call).id == rewrap.providerKeyBefore else { return .phaseDone }
        // Before there is a new key: a copy that was exported earlier does not hold it, whatever becomes of this process.
        if name.description == "local" { try await context.control.write { try $0.recordEscrow(at: nil) } }
        _ = try await provider.rotateKey(call)
        guard try await provider.describeKey(call).id != rewrap.providerKeyBefore else {
            throw ProviderError(
                .providerAnswerInvalid,
                "provider \"\(name)\" was asked for a new key and still wraps with \(rewrap.providerKeyBefore)",
                hint: "No key was wrapped anew. Have its key turned where it is held, then resume the run."
            )
        }
        context.reached(.rootKeyMade)
        return .phaseDone
    }

    /// Wraps each version under the provider's present key, beside the copies that it has; one transaction a version.
    func rewrapKeys(_ run: RunRecord) async throws -> RunMachine.Event {
        let (record, provider) = try await subject(of: run)
        return try await wrapMissing(run, record, under: provider) == nil ? .interrupted : .phaseDone
    }

    /// Proves that every version unwraps through its new copy to the material that its canary knows.
    func verifyWraps(_ run: RunRecord) async throws -> RunMachine.Event {
        let (record, provider) = try await subject(of: run)
        guard try await prove(run, record, under: provider) != nil else { return .interrupted }
        return .verified(exceptions: 0, left: 0)
    }

    /// Drops the copies that are not wrapped under the provider's present key, all in one transaction, in which is also
    /// recorded where they lay and whether the keyring is a customer's from now on.
    ///
    /// What was proven earlier is proven again, since any time may have passed since. The older key itself stays with its
    /// provider, since backups may need it.
    func dropOldWraps(_ run: RunRecord) async throws -> RunMachine.Event {
        let (record, provider) = try await subject(of: run)
        guard let proven = try await prove(run, record, under: provider) else { return .interrupted }
        let held = try await lease.current()
        let now = context.now()
        let hold = CustomerHold(declared: context.declared)
        let isMoved = try await context.control.write { session in
            try session.checkLease(held)
            try demand(proven, in: session, of: run)
            for entry in proven {
                let present = try session.wraps(of: entry.wrap.key)
                for wrap in entry.older where present.contains(wrap) {
                    try session.drop(wrap)
                    let text = "copy of key \(wrap.key) under \(wrap.wrapped.providerKeyID) dropped"
                    try session.addStep(text, in: .retire, of: run.id, at: now)
                }
            }
            try session.record(
                proven.flatMap(\.older).filter { $0.provider != provider }.map {
                    BYOKExposure(
                        key: $0.key, keyring: run.keyring, provider: $0.provider,
                        providerKeyID: $0.wrapped.providerKeyID, since: run.startedAt)
                })
            guard try hold.isCustomers(provider, in: session), try session.movedKeyrings()[run.keyring] != provider
            else { return false }
            try session.recordMoved(run.keyring, to: provider, at: now)
            return true
        }
        if isMoved { context.reached(.keyringMoved) }
        context.reached(.keysRetired)
        return .phaseDone
    }

    /// Refuses to drop anything unless every live version still has the copy that was proven.
    private func demand(_ proven: [ProvenWrap], in session: ControlSession, of run: RunRecord) throws {
        for version in try session.keyring(run.keyring).keyring.versions where version.state != .destroyed {
            let wraps = try session.wraps(of: version.id)
            guard proven.contains(where: { $0.wrap.key == version.id && wraps.contains($0.wrap) }) else {
                throw RotationError(
                    .keyNotUnwrapped, "the copy of key \(version.id) that was proven is not there any more",
                    hint: "No copy was dropped. Resume the run, which proves every copy again."
                )
            }
        }
    }

    /// Sees to it that every version has a copy under the provider's present key, which may have turned meanwhile, and
    /// unwraps each of them.
    ///
    /// - Returns: What was proven; nil where the process is asked to end.
    private func prove(
        _ run: RunRecord, _ record: KeyringRecord, under provider: Name
    ) async throws -> [ProvenWrap]? {
        guard let present = try await wrapMissing(run, record, under: provider) else { return nil }
        // What is held unwrapped says nothing of whether the provider still unwraps.
        await keys.forgetKeys(of: provider)
        let type = try context.cores.core(record.keyring.core)
        var proven: [ProvenWrap] = []
        for version in record.keyring.versions where version.state != .destroyed {
            if interrupt.isSet { return nil }
            let (wraps, canary) = try await context.control.read { session in
                (try session.wraps(of: version.id), try session.canary(of: version.id))
            }
            guard let wrap = wraps.first(where: { $0.lies(under: present, of: provider) }) else {
                throw RotationError(.keyNotUnwrapped, "key \(version.id) has no copy under \(present)")
            }
            // Many versions under a slow provider take longer than a lease lasts.
            _ = try await lease.current()
            let material = try await keys.material(from: wrap, keyring: run.keyring, instance: instance.id)
            let core = try type.init(options: record.options, keys: [material])
            if let canary, !Canary.opens(canary, under: version.id, with: core) {
                throw RotationError(
                    .internalReadBackDiffers, "key \(version.id) unwraps to material that does not open its canary",
                    hint: "The older copies were kept. Test the provider before you resume the run."
                )
            }
            proven.append(
                ProvenWrap(wrap: wrap, older: wraps.filter { !$0.lies(under: present, of: provider) }))
        }
        return proven
    }

    /// Wraps what has no copy under the provider's present key.
    ///
    /// - Returns: The provider's name for that key; nil where the process is asked to end.
    private func wrapMissing(_ run: RunRecord, _ record: KeyringRecord, under provider: Name) async throws -> String? {
        for _ in 1...Self.mostTurns {
            let present = try await presentKey(of: provider)
            var hasTurned = false
            for version in record.keyring.versions where version.state != .destroyed {
                if interrupt.isSet { return nil }
                let wraps = try await context.control.read { try $0.wraps(of: version.id) }
                guard !wraps.contains(where: { $0.lies(under: present, of: provider) }) else { continue }
                let key = try await wrap(version.id, under: provider, for: run)
                hasTurned = hasTurned || key != present
            }
            if !hasTurned { return present }
        }
        throw ProviderError(
            .providerAnswerInvalid, "provider \"\(provider)\" names another key each time that it is asked",
            hint: "The older copies were kept. Test the provider before you resume the run."
        )
    }

    /// Adds a copy of a version; the provider's own name for the key that it lies under.
    private func wrap(_ key: KeyID, under provider: Name, for run: RunRecord) async throws -> String {
        let material = try await keys.material(of: key, in: run.keyring, instance: instance.id)
        let wrap = try await keys.wrap(
            material, for: run.keyring, provider: provider, instance: instance.id, at: context.now()
        )
        let present = wrap.wrapped.providerKeyID
        let held = try await lease.current()
        let now = context.now()
        try await context.control.write { session in
            try session.checkLease(held)
            // A commit whose answer was lost is repeated.
            guard try !session.wraps(of: key).contains(where: { $0.lies(under: present, of: provider) }) else { return }
            try session.insert(wrap)
            try session.addStep("key \(key) wrapped under \(present)", in: .reencrypt, of: run.id, at: now)
        }
        context.reached(.keyRewrapped)
        return present
    }
}

extension WrapRecord {
    /// Whether it was wrapped by a provider under that key of it.
    fileprivate func lies(under key: String, of provider: Name) -> Bool {
        self.provider == provider && wrapped.providerKeyID == key
    }
}
