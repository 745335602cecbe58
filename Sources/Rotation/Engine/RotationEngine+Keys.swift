package import ControlStore
package import KeyModel
package import PluginKit

/// The forms in which an application keeps its keys.
package enum KeyListForm: String, CaseIterable, Sendable {
    /// One key a line.
    case lines
    /// Keys in one line, separated by commas, the one that seals first, as Airflow's `fernet_key` has them.
    case fernetList = "fernet-list"

    var separator: UInt8 { self == .lines ? UInt8(ascii: "\n") : UInt8(ascii: ",") }
}

extension RotationEngine {
    /// Takes over the keys that an application has used so far: the first seals from now on, the others only open.
    ///
    /// - Parameters:
    ///   - text: The keys; kept in locked memory throughout.
    ///   - form: How they stand in the text.
    ///   - keyring: A declared keyring without any version.
    ///   - core: What the caller believes its core to be; nil asks for no check.
    ///   - alongside: What is recorded in the same transaction.
    /// - Returns: The ids, the active one first.
    /// - Throws: ``RotationError`` with `callerRequestInvalid`, ``CoreError`` with `callerKeyMalformed`, or a provider's error.
    package func importKeys(
        _ text: borrowing SecretBytes, form: KeyListForm, into keyring: Name, core: String?,
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> [KeyID] {
        try await requireCurrent()
        var taken = try await context.control.read { try $0.keyIDs() }
        var random = SystemRandomNumberGenerator()
        let parts = Self.split(text, by: form) {
            let id = KeyID.random(avoiding: taken, using: &random)
            taken.insert(id)
            return id
        }
        let record = try await context.control.read { try $0.keyring(keyring) }
        try refuseImport(into: record, core: core, count: parts.count)
        try await refuseLeaving(record)
        let type = try context.cores.core(record.keyring.core)
        var keys: [KeyMaterial] = []
        for part in parts {
            let secret = try part.withSecret { try type.importMaterial($0, options: record.options) }
            let material = KeyMaterial(id: part.id, secret: secret)
            // One key under two ids would be the older and the newer one at once.
            if !keys.contains(where: { $0.holdsTheSame(as: material) }) { keys.append(material) }
        }
        try await store(
            keys, of: record, with: try type.init(options: record.options, keys: keys), alongside: alongside)
        return keys.map(\.id)
    }

    /// Writes a keyring's keys in the form in which an application keeps them.
    ///
    /// Before a run's activation the new key comes last, since the application must only be able to open with it; from then on first.
    ///
    /// - Returns: One line, in locked memory.
    /// - Throws: ``RotationError`` with `keyNotActive` or `keyNotUnwrapped`.
    package func exportKeys(of keyring: Name, form: KeyListForm) async throws -> SecretBytes {
        let record = try await context.control.read { try $0.keyring(keyring) }
        let type = try context.cores.core(record.keyring.core)
        let versions = record.keyring.versions
        // A compromised key too: until its run has ended, the application must read what still lies under it.
        let open = versions.filter { $0.state.mayOpenForRewrite && $0.retiredAt == nil }
        let ordered =
            open.filter { $0.state == .active } + open.filter { $0.state != .active }.reversed()
            + versions.filter { $0.state == .preActivation }
        guard !ordered.isEmpty else {
            throw RotationError(.keyNotActive, "keyring \"\(keyring)\" has no key to export")
        }
        var texts: [KeyMaterial] = []
        for version in ordered {
            let material = try await keys.material(of: version.id, in: keyring, instance: instance.id)
            let text = try material.withSecret { try type.exportMaterial($0, options: record.options) }
            texts.append(KeyMaterial(id: version.id, secret: text))
        }
        return Self.join(texts, by: form)
    }

    /// The keyrings, by name.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func keyrings() async throws -> [KeyringRecord] { try await context.control.read { try $0.keyrings() } }

    /// A keyring with the moves and the reserved seals of each of its versions.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func keyring(_ name: Name) async throws -> (record: KeyringRecord, moves: [KeyMove], seals: [KeyID: Int64])
    {
        try await context.control.read { session in
            let record = try session.keyring(name)
            let ids = record.keyring.versions.map(\.id)
            let seals = try ids.map { ($0, try session.sealsReserved(of: $0)) }
            return (record, try ids.flatMap { try session.moves(of: $0) }, Dictionary(uniqueKeysWithValues: seals))
        }
    }

    /// Records that the root key was exported for safe-keeping, and with it what `alongside` does.
    ///
    /// - Throws: ``StorageError``.
    package func recordEscrow(
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws {
        let now = context.now()
        try await context.control.write { session in
            try session.recordEscrow(at: now)
            try alongside(session)
        }
    }

    /// Refuses to put keys of a customer's keyring under another key than the customer's.
    private func refuseLeaving(_ record: KeyringRecord) async throws {
        let hold = CustomerHold(declared: context.declared)
        let refusal = try await context.control.read { session in
            try hold.refusal(of: record.keyring.name, under: record.provider, in: session)
        }
        guard let refusal else { return }
        throw RotationError(.callerPolicyForbids, "cannot import: \(refusal)", hint: "Nothing was changed.")
    }

    private func refuseImport(into record: KeyringRecord, core: String?, count: Int) throws {
        let name = record.keyring.name
        let why: String? =
            if count == 0 { "there is no key in the input" } else if let core, core != record.keyring.core {
                "it is declared with core \"\(record.keyring.core)\", not \"\(core)\""
            } else if !record.keyring.versions.isEmpty { "it has keys already" } else { nil }
        guard let why else { return }
        throw RotationError(
            .callerRequestInvalid, "cannot import into keyring \"\(name)\": \(why)",
            hint: record.keyring.versions.isEmpty ? nil : "Declare a new keyring for keys from elsewhere."
        )
    }

    private func store(
        _ imported: [KeyMaterial], of record: KeyringRecord, with core: any EncryptionCore,
        alongside: @escaping @Sendable (ControlSession) throws -> Void
    ) async throws {
        var wraps: [WrapRecord] = []
        for material in imported {
            wraps.append(
                try await keys.wrap(
                    material, for: record.keyring.name, provider: record.provider, instance: instance.id,
                    at: context.now()
                )
            )
        }
        let canaries = try imported.map { try Canary.seal($0.id, with: core) }
        let made = wraps
        let epoch = try await context.control.write { [context] session in
            let now = context.now()
            // Nothing keeps a run or another import from having made a key since the keyring was looked at.
            try refuseImport(into: try session.keyring(record.keyring.name), core: nil, count: made.count)
            for (number, wrap) in made.enumerated() {
                let version =
                    number == 0
                    ? KeyVersion(id: wrap.key, state: .active, createdAt: now, activatedAt: now)
                    : KeyVersion(id: wrap.key, state: .deactivated, createdAt: now, deactivatedAt: now)
                try session.insert(
                    version, of: record.keyring.name, wrap: wrap, origin: .imported, actor: context.actor,
                    reason: "import"
                )
                try session.setCanary(canaries[number], of: wrap.key)
            }
            try alongside(session)
            return try session.raiseEpoch()
        }
        try await context.memory.remember(epoch: epoch)
        for material in imported {
            try await keys.proveStored(material, keyring: record.keyring.name, instance: instance.id)
        }
    }

    /// The keys of a text as they stand there, each under an id of its own.
    private static func split(
        _ text: borrowing SecretBytes, by form: KeyListForm, numbering next: () -> KeyID
    ) -> [KeyMaterial] {
        text.withExposedBytes { bytes in
            bytes.split(separator: form.separator).compactMap { part in
                let trimmed = part.drop(while: Self.isBlank).reversed().drop(while: Self.isBlank)
                guard !trimmed.isEmpty else { return nil }
                return KeyMaterial(
                    id: next(),
                    secret: SecretBytes(count: trimmed.count) { room in
                        for (index, byte) in trimmed.reversed().enumerated() { room[index] = byte }
                    })
            }
        }
    }

    private static func join(_ texts: [KeyMaterial], by form: KeyListForm) -> SecretBytes {
        let count = texts.reduce(0) { $0 + $1.count } + texts.count - 1
        return SecretBytes(count: count) { room in
            var at = 0
            for text in texts {
                if at > 0 {
                    room[at] = form.separator
                    at += 1
                }
                text.withExposedBytes { bytes in
                    for byte in bytes {
                        room[at] = byte
                        at += 1
                    }
                }
            }
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}

extension KeyMaterial {
    fileprivate func holdsTheSame(as other: KeyMaterial) -> Bool {
        withSecret { mine in other.withSecret { mine.isEqual(to: $0) } }
    }
}
