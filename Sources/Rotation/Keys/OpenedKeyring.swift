package import ControlStore
package import KeyModel
package import PluginKit

/// A keyring with its keys at hand.
package struct OpenedKeyring: Sendable {
    /// What is recorded of it.
    package let record: KeyringRecord
    /// What its core is.
    package let descriptor: CoreDescriptor
    /// Opens with every version that may open, the active one tried first, then the newest.
    package let core: any EncryptionCore
    /// Opens with the active version alone; nil where there is none.
    package let activeCore: (any EncryptionCore)?

    /// The version that seals; nil where there is none.
    package var active: KeyID? { record.keyring.active?.id }

    /// The keyring's name.
    package var name: Name { record.keyring.name }

    /// The version that seals.
    ///
    /// - Throws: ``RotationError`` with `keyNotActive`.
    package func requireActive() throws -> KeyID {
        guard let active else {
            throw RotationError(
                .keyNotActive, "keyring \"\(name)\" has no active key",
                hint:
                    "Import the application's key (\"keyturn keyring import\"), or seal a column with \"keyturn adopt\"."
            )
        }
        return active
    }
}

extension KeyAccess {
    /// Unwraps the versions of a keyring that may open, and sets its core up with them.
    ///
    /// - Parameters:
    ///   - record: The keyring.
    ///   - catalogue: The cores that there are.
    ///   - instance: The instance that its keys are wrapped for.
    ///   - forRewrite: Whether compromised versions open even after they were found unused, as only a run may ask;
    ///     until then values may still lie under them, and open for everyone.
    /// - Returns: The keyring, ready to open and to seal.
    /// - Throws: ``RotationError`` with `keyNotUnwrapped`, or ``CoreError``.
    package func open(
        _ record: KeyringRecord, with catalogue: CoreCatalogue, instance: String, forRewrite: Bool
    ) async throws -> OpenedKeyring {
        let keyring = record.keyring
        let type = try catalogue.core(keyring.core)
        let usable = keyring.versions.filter { version in
            version.state.mayOpen || version.state.mayOpenForRewrite && (forRewrite || version.retiredAt == nil)
        }
        let ordered = usable.filter { $0.state == .active } + usable.filter { $0.state != .active }.reversed()
        var keys: [KeyMaterial] = []
        for version in ordered {
            keys.append(try await material(of: version.id, in: keyring.name, instance: instance))
        }
        let active = keys.filter { $0.id == keyring.active?.id }
        return OpenedKeyring(
            record: record, descriptor: type.descriptor, core: try type.init(options: record.options, keys: keys),
            activeCore: active.isEmpty ? nil : try type.init(options: record.options, keys: active)
        )
    }
}
