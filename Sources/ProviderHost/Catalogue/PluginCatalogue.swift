package import ControlStore
internal import Foundation
package import KeyModel
internal import PluginKit

/// The plugins that may be executed: each with its file and the hash that it must have.
package struct PluginCatalogue: Sendable {
    private let control: ControlStore

    /// How a registered plugin's file stands.
    package enum Standing: String, Codable, Sendable {
        /// It is what was registered.
        case unchanged
        /// It is another one now, and will not be started.
        case changed
        /// It cannot be used as it lies there.
        case unusable
    }

    /// One plugin as it is looked at.
    package struct Verification: Sendable {
        /// What was registered.
        package let record: PluginRecord
        /// How it stands.
        package let standing: Standing
        /// Why, where it is not unchanged.
        package let remark: String
    }

    /// Keeps the catalogue in a control store.
    package init(_ control: ControlStore) { self.control = control }

    /// Tries a plugin, and registers its file with the hash that it has now.
    ///
    /// - Parameters:
    ///   - name: The name by which keyturn.lua refers to it.
    ///   - path: Its file.
    ///   - sha256: The hash that its author published; it must be the file's.
    ///   - environment: What the process is given to start with, beside the protocol's own.
    ///   - time: When.
    ///   - actor: Who.
    ///   - alongside: What is recorded in the same transaction.
    /// - Returns: What was registered.
    /// - Throws: `ProviderError` where it cannot be used or says no proper handshake; ``ControlStoreError``.
    package func register(
        _ name: Name, path: String, sha256: String? = nil,
        environment: [String: String] = PluginLaunch.cleanEnvironment,
        at time: Timestamp, by actor: String,
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> PluginRecord {
        let file = try PluginFile(path: path)
        let supervisor = PluginSupervisor(
            PluginLaunch(name: name, file: file, sha256: sha256?.lowercased(), environment: environment))
        defer { Task { await supervisor.stop() } }
        try await supervisor.start()
        guard let greeting = await supervisor.greeting else {
            throw ProviderError(.providerUnavailable, "the plugin \(quoted(path)) ended before it could be registered")
        }
        let record = PluginRecord(
            name: name, path: file.path, sha256: greeting.sha256, kind: greeting.kind, version: greeting.version,
            registeredAt: time, registeredBy: actor)
        try await control.write { session in
            try session.migrate(at: time)
            try session.register(record)
            try alongside(session)
        }
        return record
    }

    /// Every registered plugin, by name.
    ///
    /// - Throws: ``ControlStoreError`` or ``StorageError``.
    package func list() async throws -> [PluginRecord] { try await control.read { try $0.plugins() } }

    /// Removes a plugin from the catalogue, and records something in the same transaction; its file stays.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func unregister(
        _ name: Name, alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws {
        try await control.write { session in
            try session.unregisterPlugin(name)
            try alongside(session)
        }
    }

    /// Looks at the file of every registered plugin; starts nothing.
    ///
    /// - Throws: ``ControlStoreError`` or ``StorageError``.
    package func verify() async throws -> [Verification] { try await list().map(Self.verify) }

    /// Looks at one plugin's file.
    package static func verify(_ record: PluginRecord) -> Verification {
        do throws(ProviderError) {
            let image = try PluginFile(path: record.path).load()
            let isSame = image.sha256 == record.sha256
            return Verification(
                record: record, standing: isSame ? .unchanged : .changed,
                remark: isSame ? "" : "its SHA-256 is \(image.sha256)")
        } catch {
            return Verification(record: record, standing: .unusable, remark: error.message)
        }
    }

    /// Refuses to have something written to where plugins are executed from.
    ///
    /// - Parameters:
    ///   - target: Where it is to be written; an address of a database is no path and passes.
    ///   - what: What is to be written, for the message: `a backup`.
    ///   - others: The directories of plugins that are not in the catalogue.
    /// - Throws: `ProviderError` with `providerMisconfigured`, ``ControlStoreError`` or ``StorageError``.
    package func checkOutput(_ target: String, for what: String, and others: [String] = []) async throws {
        guard !target.contains("://") else { return }
        try OutputPathRule.check(target, for: what, against: try await directories() + others)
    }

    /// The directories that plugins are executed from, for ``OutputPathRule``.
    ///
    /// - Throws: ``ControlStoreError`` or ``StorageError``.
    package func directories() async throws -> [String] {
        Set(try await list().map { URL(filePath: $0.path).deletingLastPathComponent().path }).sorted()
    }
}
