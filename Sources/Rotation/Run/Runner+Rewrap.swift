internal import ControlStore
internal import KeyModel
internal import PluginKit

/// Rewrapping: every version of a keyring under another key-encryption key, rows untouched.
extension Runner {
    /// Lets the provider make a new key, unless an earlier attempt has done so.
    func prepareRewrap(_ run: RunRecord) async throws -> RunMachine.Event {
        guard let rewrap = try plan(of: run).rewrap, rewrap.makesNewRoot else { return .phaseDone }
        let provider = try await keys.provider(try Name(rewrap.provider))
        let call = ProviderCall(deadline: .seconds(10), idempotencyKey: "rotate-run-\(run.id)")
        if try await provider.describeKey(call).id == rewrap.providerKeyBefore {
            _ = try await provider.rotateKey(call)
            // A copy that was exported before does not hold the new key.
            try await context.control.write { try $0.recordEscrow(at: nil) }
            context.reached(.rootKeyMade)
        }
        return .phaseDone
    }

    /// Wraps each version under the provider's present key, beside the copies that it has; one transaction a version.
    func rewrapKeys(_ run: RunRecord) async throws -> RunMachine.Event {
        let record = try await context.control.read { try $0.keyring(run.keyring) }
        let present = try await presentKey(of: record)
        for version in record.keyring.versions where version.state != .destroyed {
            if interrupt.isSet { return .interrupted }
            let wraps = try await context.control.read { try $0.wraps(of: version.id) }
            guard !wraps.contains(where: { isPresent($0, record, present) }) else { continue }
            let material = try await keys.material(of: version.id, in: run.keyring, instance: instance.id)
            let wrap = try await keys.wrap(
                material, for: run.keyring, provider: record.provider, instance: instance.id, at: context.now()
            )
            let held = try await lease.current()
            let now = context.now()
            try await context.control.write { session in
                try session.checkLease(held)
                // A commit whose answer was lost is repeated.
                guard try !session.wraps(of: version.id).contains(where: { isPresent($0, record, present) }) else {
                    return
                }
                try session.insert(wrap)
                try session.addStep("key \(version.id) wrapped under \(present)", in: .reencrypt, of: run.id, at: now)
            }
            context.reached(.keyRewrapped)
        }
        return .phaseDone
    }

    /// Proves that every version unwraps through its new copy to the material that its canary knows.
    func verifyWraps(_ run: RunRecord) async throws -> RunMachine.Event {
        let record = try await context.control.read { try $0.keyring(run.keyring) }
        let present = try await presentKey(of: record)
        let type = try context.cores.core(record.keyring.core)
        for version in record.keyring.versions where version.state != .destroyed {
            let (wraps, canary) = try await context.control.read { session in
                (try session.wraps(of: version.id), try session.canary(of: version.id))
            }
            guard let wrap = wraps.first(where: { isPresent($0, record, present) }) else {
                throw RotationError(.keyNotUnwrapped, "key \(version.id) has no copy under \(present)")
            }
            let material = try await keys.material(from: wrap, keyring: run.keyring, instance: instance.id)
            let core = try type.init(options: record.options, keys: [material])
            if let canary, !Canary.opens(canary, under: version.id, with: core) {
                throw RotationError(
                    .internalReadBackDiffers, "key \(version.id) unwraps to material that does not open its canary",
                    hint: "The older copies were kept. Test the provider before you resume the run."
                )
            }
        }
        return .verified(exceptions: 0, left: 0)
    }

    /// Drops the copies that are not wrapped under the provider's present key, all in one transaction.
    ///
    /// The older key itself stays with its provider, since backups may need it.
    func dropOldWraps(_ run: RunRecord) async throws -> RunMachine.Event {
        let record = try await context.control.read { try $0.keyring(run.keyring) }
        let present = try await presentKey(of: record)
        let held = try await lease.current()
        let now = context.now()
        try await context.control.write { session in
            try session.checkLease(held)
            for version in record.keyring.versions {
                let wraps = try session.wraps(of: version.id)
                // The provider may have turned to yet another key since the copies were proven.
                guard wraps.contains(where: { isPresent($0, record, present) }) else { continue }
                for wrap in wraps where !isPresent(wrap, record, present) {
                    try session.drop(wrap)
                    let text = "copy of key \(version.id) under \(wrap.wrapped.providerKeyID) dropped"
                    try session.addStep(text, in: .retire, of: run.id, at: now)
                }
            }
        }
        context.reached(.keysRetired)
        return .phaseDone
    }

    private func presentKey(of record: KeyringRecord) async throws -> String {
        let call = ProviderCall(deadline: .seconds(10), idempotencyKey: "describe-\(record.keyring.name)")
        return try await keys.provider(record.provider).describeKey(call).id
    }

    private func isPresent(_ wrap: WrapRecord, _ record: KeyringRecord, _ present: String) -> Bool {
        wrap.provider == record.provider && wrap.wrapped.providerKeyID == present
    }
}
