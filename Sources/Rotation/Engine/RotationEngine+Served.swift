internal import ControlStore
package import KeyModel
internal import Logging
package import PluginKit

/// Wrapping for others: what a served KMS v2 socket hands out.
extension RotationEngine {
    /// What a served value is bound to, so that none of them opens as a value of a column.
    private static let place: ValueContext = .caller([Bytes("keyturn served wrap".utf8)])

    /// The version of a keyring that wraps for others now.
    ///
    /// - Throws: ``RotationError`` with `keyNotActive` or `callerNotFound`, or ``ControlStoreError`` with `storeSetBack`.
    package func servedKey(of keyring: Name) async throws -> KeyID {
        try await requireCurrent()
        let record = try await context.control.read { try $0.keyring(keyring) }
        guard let active = record.keyring.active else {
            throw RotationError(
                .keyNotActive, "keyring \"\(keyring)\" has no active key", hint: "Rotate it once, so that it has one.")
        }
        return active.id
    }

    /// Wraps bytes of somebody else's under the active version of a keyring.
    ///
    /// - Returns: The wrapped bytes and the version.
    /// - Throws: ``RotationError`` with `keyNotActive`, `keySealsExhausted` or `callerRequestInvalid`.
    package func wrapServed(_ plaintext: Bytes, under keyring: Name) async throws -> (bytes: Bytes, key: KeyID) {
        try await requireCurrent()
        let opened = try await openServed(keyring)
        let active = try opened.requireActive()
        let limit = min(opened.descriptor.sealLimit, opened.record.keyring.policy.maxSeals ?? .max)
        let reserved = try await context.control.write { [now = context.now()] session in
            try session.recordServed(active, at: now)
            return try session.reserveSeals(1, of: active)
        }
        guard UInt64(clamping: reserved - 1) < limit else {
            throw RotationError(
                .keySealsExhausted, "key \(active) has sealed its limit of \(limit) values", hint: "Rotate the keyring."
            )
        }
        let results = opened.core.seal([PlainItem(plaintext, context: Self.place, form: .blob)], with: active)
        guard case .success(.blob(let bytes))? = results.first else {
            throw RotationError(.callerRequestInvalid, "cannot wrap the value: its core refused")
        }
        return (bytes, active)
    }

    /// Unwraps what ``wrapServed(_:under:)`` wrapped.
    ///
    /// - Throws: ``RotationError`` with `dataNotAuthentic`.
    package func unwrapServed(_ bytes: Bytes, of keyring: Name) async throws -> Bytes {
        let opened = try await openServed(keyring)
        let results = opened.core.open([SealedItem(.blob(bytes), context: Self.place)])
        guard case .success(let value)? = results.first else {
            throw RotationError(.dataNotAuthentic, "the value was changed, or not wrapped by keyring \"\(keyring)\"")
        }
        await noteServed(value.key)
        return value.plaintext
    }

    /// Records a version that served before that was recorded; what is unwrapped does not wait for it to succeed.
    private func noteServed(_ key: KeyID) async {
        do {
            guard try await !context.control.read({ try $0.servedKeys().contains(key) }) else { return }
            try await context.control.write { [now = context.now()] in try $0.recordServed(key, at: now) }
        } catch {
            context.logger.warning("a served key could not be recorded", metadata: ["key": "\(key)"])
        }
    }

    private func openServed(_ keyring: Name) async throws -> OpenedKeyring {
        let record = try await context.control.read { try $0.keyring(keyring) }
        guard record.keyring.core == "kr1" else {
            throw RotationError(
                .callerRequestInvalid,
                "keyring \"\(keyring)\" has the core \(record.keyring.core), which binds to no place",
                hint: "Serve a keyring of core kr1.")
        }
        // No run counts what lies elsewhere: a compromised version opens there until it is destroyed.
        return try await keys.open(record, with: context.cores, instance: instance.id, forRewrite: true)
    }
}
