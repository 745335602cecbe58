package import ControlStore
package import KeyModel
package import PluginKit

/// Makes, wraps and unwraps key versions; keeps what is unwrapped for as long as the process works.
package actor KeyAccess {
    private let control: ControlStore
    private let cores: CoreCatalogue
    private let providers: [Name: any KeyProvider]
    private var unwrapped: [KeyID: KeyMaterial] = [:]

    /// How long a provider may take for one call.
    private static let deadline = Duration.seconds(10)

    /// Reaches keys through their providers.
    package init(control: ControlStore, cores: CoreCatalogue, providers: [Name: any KeyProvider]) {
        self.control = control
        self.cores = cores
        self.providers = providers
    }

    /// The material of a version, unwrapped by the first of its wrapped copies that gives what opens its canary.
    ///
    /// - Throws: ``RotationError`` with `keyNotUnwrapped`, whose cause is the provider's error.
    package func material(of key: KeyID, in keyring: Name, instance: String) async throws -> KeyMaterial {
        if let known = unwrapped[key] { return known }
        let (record, wraps, canary) = try await control.read { session in
            (try session.keyring(keyring), try session.wraps(of: key), try session.canary(of: key))
        }
        var cause: (any Error)?
        for wrap in wraps {
            do {
                let material = try await unwrap(wrap, keyring: keyring, instance: instance)
                try check(material, from: wrap, against: canary, of: record)
                if !keepsKeys(wrap.provider) { unwrapped[key] = material }
                return material
            } catch {
                cause = error
            }
        }
        let name = "cannot unwrap key \(key) of \"\(keyring)\""
        let why = (cause as? any CodedError).map(\.message) ?? "it has no wrapped copy"
        throw RotationError(
            .keyNotUnwrapped, why.hasPrefix(name) ? why : "\(name): \(why)",
            hint: (cause as? any CodedError)?.hint,
            cause: cause
        )
    }

    /// The material of a version, unwrapped from this copy of it and no other.
    ///
    /// - Throws: ``ProviderError``.
    package func material(from wrap: WrapRecord, keyring: Name, instance: String) async throws -> KeyMaterial {
        try await unwrap(wrap, keyring: keyring, instance: instance)
    }

    /// Wraps material for a version, unwraps it again, and compares.
    ///
    /// - Throws: ``ProviderError``, or ``RotationError`` with `internalReadBackDiffers`.
    package func wrap(
        _ material: KeyMaterial, for keyring: Name, provider: Name, instance: String, at time: Timestamp
    ) async throws -> WrapRecord {
        let binding = WrapBinding(instance: instance, keyring: keyring, key: material.id)
        let call = ProviderCall(deadline: Self.deadline, idempotencyKey: "wrap-\(material.id)")
        let holder = try self.provider(provider)
        let wrapped = try await material.withSecret { try await holder.wrap($0, binding: binding, call) }
        let record = WrapRecord(key: material.id, provider: provider, wrapped: wrapped, createdAt: time)
        try await prove(record, holds: material, keyring: keyring, instance: instance)
        return record
    }

    /// Makes sure that what the database holds for a version unwraps to the same material.
    ///
    /// - Throws: ``RotationError`` with `internalReadBackDiffers` or `keyNotUnwrapped`.
    package func proveStored(_ material: KeyMaterial, keyring: Name, instance: String) async throws {
        let wraps = try await control.read { try $0.wraps(of: material.id) }
        guard !wraps.isEmpty else {
            throw RotationError(
                .keyNotUnwrapped, "key \(material.id) of \"\(keyring)\" has no wrapped copy in the database")
        }
        for wrap in wraps { try await prove(wrap, holds: material, keyring: keyring, instance: instance) }
        if !wraps.contains(where: { keepsKeys($0.provider) }) { unwrapped[material.id] = material }
    }

    /// Forgets everything that is unwrapped.
    package func dropCache() {
        unwrapped = [:]
        for case let provider as any BoundedKeyCache in providers.values { provider.forgetKeys() }
    }

    /// Forgets what a provider has unwrapped, so that it is asked again.
    package func forgetKeys(of provider: Name) {
        unwrapped = [:]
        (providers[provider] as? any BoundedKeyCache)?.forgetKeys()
    }

    /// The provider of this name.
    ///
    /// - Throws: ``RotationError`` with `callerNotFound`.
    package func provider(_ name: Name) throws -> any KeyProvider {
        guard let provider = providers[name] else {
            throw RotationError(
                .callerNotFound, "there is no provider \"\(name)\"",
                hint: "The providers are \(providers.keys.sorted().map(\.description).joined(separator: ", "))."
            )
        }
        return provider
    }

    /// Whether a provider keeps what it unwrapped for as long as that may be, so that it is asked each time.
    private func keepsKeys(_ provider: Name) -> Bool { providers[provider] is any BoundedKeyCache }

    /// Refuses material that is not what the version's canary was sealed under: nothing may be sealed under it.
    private func check(
        _ material: KeyMaterial, from wrap: WrapRecord, against canary: StoredValue?, of record: KeyringRecord
    ) throws {
        let core = try cores.core(record.keyring.core).init(options: record.options, keys: [material])
        guard let canary, !Canary.opens(canary, under: material.id, with: core) else { return }
        throw RotationError(
            .internalReadBackDiffers, "provider \"\(wrap.provider)\" gave back other material than the key was made of",
            hint: "Test the provider before you try again; nothing was sealed under what it gave back."
        )
    }

    private func prove(_ wrap: WrapRecord, holds material: KeyMaterial, keyring: Name, instance: String) async throws {
        let again = try await unwrap(wrap, keyring: keyring, instance: instance)
        let isSame = material.withSecret { first in again.withSecret { first.isEqual(to: $0) } }
        guard isSame else {
            throw RotationError(
                .internalReadBackDiffers, "provider \"\(wrap.provider)\" gave back other material for key \(wrap.key)",
                hint: "Nothing was committed. Test the provider before you try again."
            )
        }
    }

    private func unwrap(_ wrap: WrapRecord, keyring: Name, instance: String) async throws -> KeyMaterial {
        let binding = WrapBinding(instance: instance, keyring: keyring, key: wrap.key)
        let call = ProviderCall(deadline: Self.deadline, idempotencyKey: "unwrap-\(wrap.key)")
        let secret = try await provider(wrap.provider).unwrap(wrap.wrapped, binding: binding, call)
        return KeyMaterial(id: wrap.key, secret: secret)
    }
}
