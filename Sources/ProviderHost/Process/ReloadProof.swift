internal import Foundation
internal import KeyModel
internal import PluginKit

/// What a plugin's new process has to show before it takes over from the old one.
struct ReloadProof {
    private let name: Name
    private let new: PluginProvider
    private let old: PluginProvider?

    private static let deadline = Duration.seconds(10)

    init(
        name: Name, settings: [String: String], new: ProviderConnection, old: ProviderConnection?
    ) {
        self.name = name
        self.new = PluginProvider(name: name, settings: settings, source: Fixed(connection: new))
        self.old = old.map { PluginProvider(name: name, settings: settings, source: Fixed(connection: $0)) }
    }

    /// Has it unwrap what it wraps itself, what the old process wraps, and what is stored.
    ///
    /// - Throws: `ProviderError` where it gives back another key, or none although the old process does.
    func run(_ stored: [StoredKey]) async throws(ProviderError) {
        guard let keyring = try? Name("reload"), let key = KeyID(1) else { return }
        let binding = WrapBinding(instance: "reload", keyring: keyring, key: key)
        let material = SecretBytes(copying: (0..<32).map { _ in UInt8.random(in: 0...255) })
        try await check(try await new.wrap(material, binding: binding, call), binding, is: material)
        if let old {
            let wrapped: WrappedKey?
            // Where what runs now is broken, replacing it is what was asked for.
            do throws(ProviderError) { wrapped = try await old.wrap(material, binding: binding, call) } catch {
                wrapped = nil
            }
            if let wrapped { try await check(wrapped, binding, is: material) }
        }
        for key in stored { try await check(key) }
    }

    private func check(
        _ wrapped: WrappedKey, _ binding: WrapBinding, is material: borrowing SecretBytes
    ) async throws(ProviderError) {
        let back = try await new.unwrap(wrapped, binding: binding, call)
        guard back.isEqual(to: material) else { throw other }
    }

    private func check(_ key: StoredKey) async throws(ProviderError) {
        let failure: ProviderError
        do throws(ProviderError) {
            let back = try await new.unwrap(key.wrapped, binding: key.binding, call)
            guard let before = await before(key) else { return }
            guard back.isEqual(to: before) else { throw other }
            return
        } catch { failure = error }
        // What neither can unwrap is lost already, and no reason to keep the old one.
        if failure.code != .providerAnswerInvalid, let old, await fails(old, key) { return }
        // Where nothing runs, it replaces nothing: what it refuses stays refused either way.
        if old == nil, [.providerKeyUnknown, .providerDenied].contains(failure.code) { return }
        throw ProviderError(
            failure.code,
            "the new plugin of \"\(name)\" cannot unwrap what is stored under \(quoted(key.wrapped.providerKeyID)): "
                + failure.message, hint: old == nil ? "Nothing was replaced." : "The old one goes on.")
    }

    /// What the old process makes of a stored key; nil where it makes nothing of it.
    private func before(_ key: StoredKey) async -> SecretBytes? {
        guard let old else { return nil }
        do throws(ProviderError) { return try await old.unwrap(key.wrapped, binding: key.binding, call) } catch {
            return nil
        }
    }

    private func fails(_ old: PluginProvider, _ key: StoredKey) async -> Bool {
        do throws(ProviderError) { _ = try await old.unwrap(key.wrapped, binding: key.binding, call) } catch {
            return error.code != .providerUnavailable
        }
        return false
    }

    private var call: ProviderCall {
        ProviderCall(deadline: Self.deadline, idempotencyKey: "reload-\(UUID().uuidString)")
    }

    private var other: ProviderError {
        ProviderError(
            .providerAnswerInvalid, "the new plugin of \"\(name)\" gives back another key than was wrapped",
            hint: "The old one goes on.")
    }

    /// A connection that is what it is.
    private struct Fixed: ConnectionSource {
        let connection: ProviderConnection

        func connection() async throws(ProviderError) -> ProviderConnection {
            connection.begin()
            return connection
        }
    }
}
