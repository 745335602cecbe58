package import ControlStore
internal import Foundation
package import KeyModel
package import PluginKit
internal import Providers

/// The providers that an instance has: the built-in one and those that its `keyturn.lua` declares.
package final class ProviderRegistry: Sendable {
    /// What the providers stand in.
    package struct Surroundings: Sendable {
        /// The directory of `keyturn.lua`, which paths are relative to.
        package var directory: String
        /// The daemon's own environment, from which a plugin gets only what is named for it.
        package var environment: [String: String]
        /// What the daemon was started with, for providers that are given a secret.
        package var secrets: InheritedSecrets
        /// Where private directories of plugins are made.
        package var runtimeDirectory: String
        /// Takes what plugins say on standard error: which provider, how urgent, 0…7, and what.
        package var log: @Sendable (Name, Int, String) -> Void

        /// Describes what providers stand in.
        package init(
            directory: String, environment: [String: String] = [:], secrets: InheritedSecrets = InheritedSecrets(),
            runtimeDirectory: String = "/tmp",
            log: @escaping @Sendable (Name, Int, String) -> Void = { _, _, _ in }
        ) {
            self.directory = directory
            self.environment = environment
            self.secrets = secrets
            self.runtimeDirectory = runtimeDirectory
            self.log = log
        }
    }

    /// One provider with what stands around it.
    private struct Entry: Sendable {
        /// What declares it; nil for the built-in one.
        var declaration: ProviderDeclaration? = nil
        let kind: String
        let settings: [String: String]
        let guarded: GuardedProvider
        let cache: CachingProvider?
        let supervisor: PluginSupervisor?
        /// The time that a call may take.
        var deadline = ProviderRegistry.standardDeadline

        var facade: any KeyProvider { cache ?? guarded }
        /// Whether it could not even be set up.
        var isUnusable: Bool { guarded.inner is UnusableProvider }
    }

    private let entries: [Name: Entry]

    /// The time that an unwrapped key serves where nothing is said.
    package static let standardLifetime = Duration.seconds(3600)
    /// The time that a call may take where nothing is said.
    package static let standardDeadline = Duration.seconds(3)

    /// Sets up the providers; none is called, and no plugin started, before it is needed.
    ///
    /// - Parameters:
    ///   - declarations: What `keyturn.lua` declares.
    ///   - local: The built-in provider; nil where there is no instance yet.
    ///   - plugins: The catalogue.
    ///   - surroundings: What they stand in.
    package init(
        _ declarations: [ProviderDeclaration], local: (any KeyProvider)?, plugins: [PluginRecord],
        surroundings: Surroundings
    ) {
        var entries: [Name: Entry] = [:]
        if let local, let name = try? Name("local") {
            entries[name] = Entry(
                kind: "local", settings: [:], guarded: GuardedProvider(local, name: name), cache: nil, supervisor: nil)
        }
        for declaration in declarations {
            var entry = Self.entry(declaration, plugins, surroundings)
            entry.declaration = declaration
            entries[declaration.name] = entry
        }
        self.entries = entries
    }

    private init(_ entries: [Name: Entry]) { self.entries = entries }

    /// The providers of a newer configuration; those that are declared as before go on as they are, with their processes and
    /// the keys that they hold.
    ///
    /// One that could not be set up is tried anew. A process whose provider is gone ends with the last run that uses it.
    package func replaced(by next: ProviderRegistry) -> ProviderRegistry {
        ProviderRegistry(
            next.entries.reduce(into: [:]) { merged, entry in
                let present = entries[entry.key]
                let isSame = present?.declaration == entry.value.declaration
                let worksStill = present?.isUnusable == false && !entry.value.isUnusable
                merged[entry.key] = isSame && worksStill ? present : entry.value
            })
    }

    /// The providers for the engine.
    package var providers: [Name: any KeyProvider] { entries.mapValues(\.facade) }

    /// Every provider with what is known of it; asks none of them.
    package func list() async -> [ProviderSummary] {
        var summaries: [ProviderSummary] = []
        for (name, entry) in entries.sorted(by: { $0.key < $1.key }) { summaries.append(await summary(name, entry)) }
        return summaries
    }

    /// What is known of one provider; does not ask it.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`.
    package func show(_ name: Name) async throws -> ProviderSummary { await summary(name, try entry(name)) }

    /// Has a provider try its key from end to end, and measures how long a key takes to be wrapped and unwrapped.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, or `ProviderError`.
    package func test(_ name: Name) async throws -> [ProviderCheck] {
        let entry = try entry(name)
        return try await entry.facade.test(
            ProviderCall(deadline: .seconds(60), idempotencyKey: "test-\(UUID().uuidString)"))
    }

    /// Asks a provider which key it would wrap with.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, or `ProviderError`.
    package func describe(_ name: Name) async throws -> ProviderKey {
        let entry = try entry(name)
        return try await entry.facade.describeKey(
            ProviderCall(deadline: .seconds(10), idempotencyKey: "describe-\(UUID().uuidString)"))
    }

    /// Asks a provider which of its keys still unwrap, oldest first.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, or `ProviderError`.
    package func versions(_ name: Name) async throws -> [ProviderKey] {
        let entry = try entry(name)
        return try await entry.facade.listVersions(
            ProviderCall(deadline: .seconds(10), idempotencyKey: "versions-\(UUID().uuidString)"))
    }

    /// How often each call was made of each provider since this was last asked; key files of this machine cost nobody anything
    /// and are left out.
    package func takeCalls() -> [Name: ProviderCalls] {
        entries.filter { $0.value.kind != "local" }.mapValues { ProviderCalls($0.guarded.takeCalls()) }
            .filter { !$0.value.isNone }
    }

    /// Forgets every unwrapped key of every provider at once.
    package func forgetKeys() { for entry in entries.values { entry.cache?.forgetKeys() } }

    /// Puts the registered file of a plugin in the place of what runs: the new process wraps and unwraps a key, and unwraps
    /// what the old one wrapped and what is stored, before it takes over.
    ///
    /// - Parameters:
    ///   - name: The provider.
    ///   - record: The catalogue's entry for its plugin; nil where the configuration names its file.
    ///   - stored: Keys of the database that the new process must be able to unwrap.
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, or `ProviderError`; then the old process goes on.
    package func reload(_ name: Name, from record: PluginRecord?, proving stored: [StoredKey] = []) async throws {
        let entry = try entry(name)
        guard let supervisor = entry.supervisor else {
            throw ProviderError(.providerMisconfigured, "provider \"\(name)\" is no plugin")
        }
        let file: PluginFile? = if let record { try PluginFile(path: record.path) } else { nil }
        try await supervisor.reload(
            file, sha256: record?.sha256, settings: entry.settings, proving: stored, patience: entry.deadline)
    }

    /// The directories of the plugins that a configuration names by their paths, for ``OutputPathRule``.
    ///
    /// - Parameters:
    ///   - declarations: What `keyturn.lua` declares.
    ///   - directory: The directory of `keyturn.lua`, which paths are relative to.
    /// - Returns: The directories.
    package static func directories(of declarations: [ProviderDeclaration], relativeTo directory: String) -> [String] {
        let surroundings = Surroundings(directory: directory)
        return declarations.filter { $0.kind == "plugin" }.compactMap { $0.settings["path"] }.map {
            URL(filePath: absolute($0, surroundings)).deletingLastPathComponent().path
        }
    }

    /// Ends every plugin's process.
    package func stop() async {
        await withTaskGroup(of: Void.self) { group in
            for entry in entries.values {
                guard let supervisor = entry.supervisor else { continue }
                group.addTask { await supervisor.stop() }
            }
        }
    }

    private func entry(_ name: Name) throws(ControlStoreError) -> Entry {
        guard let entry = entries[name] else {
            throw ControlStoreError(
                .callerNotFound, "there is no provider \"\(name)\"",
                hint: "The providers are \(entries.keys.sorted().map(\.description).joined(separator: ", "))."
            )
        }
        return entry
    }

    private func summary(_ name: Name, _ entry: Entry) async -> ProviderSummary {
        ProviderSummary(
            name: name.description, kind: entry.kind, settings: entry.settings,
            isReachable: entry.guarded.isReachable,
            heldKeys: entry.cache?.heldKeys ?? 0, process: await entry.supervisor?.pid,
            calls: entry.guarded.figures)
    }
}

/// Setting up providers from their declarations.
extension ProviderRegistry {
    private static func entry(
        _ declaration: ProviderDeclaration, _ plugins: [PluginRecord], _ surroundings: Surroundings
    ) -> Entry {
        do throws(ProviderError) {
            return switch declaration.kind {
            case "plugin": try plugin(declaration, plugins, surroundings)
            case "kms-v2": try endpoint(declaration)
            case "local": try file(declaration, surroundings)
            default:
                throw ProviderError(
                    .providerMisconfigured,
                    "provider \"\(declaration.name)\" has the kind \(quoted(declaration.kind)), which there is not",
                    hint: "The kinds are kms-v2, local and plugin."
                )
            }
        } catch {
            return Entry(
                kind: declaration.kind, settings: declaration.settings,
                guarded: GuardedProvider(UnusableProvider(error: error), name: declaration.name), cache: nil,
                supervisor: nil)
        }
    }

    private static func plugin(
        _ declaration: ProviderDeclaration, _ plugins: [PluginRecord], _ surroundings: Surroundings
    ) throws(ProviderError) -> Entry {
        var settings = ProviderSettings(declaration)
        let (file, sha256) = try pluginFile(&settings, plugins, surroundings)
        let deadline = try settings.takeDuration("deadline", or: standardDeadline)
        let lifetime = try settings.takeDuration("cache_ttl", or: standardLifetime)
        var environment = PluginLaunch.cleanEnvironment
        for word in (settings.take("environment") ?? "").split(separator: " ").map(String.init) {
            environment[word] = surroundings.environment[word]
        }
        let secret = try settings.takeSecret(from: surroundings.secrets)
        let name = declaration.name
        let supervisor = PluginSupervisor(
            PluginLaunch(
                name: name, file: file, sha256: sha256, environment: environment,
                runtimeDirectory: surroundings.runtimeDirectory, secret: secret, log: { surroundings.log(name, $0, $1) }
            ))
        let inner = PluginProvider(name: name, settings: settings.remaining, supervisor: supervisor)
        let guarded = GuardedProvider(inner, name: name, deadline: deadline)
        return Entry(
            kind: "plugin", settings: settings.remaining, guarded: guarded,
            cache: CachingProvider(guarded, lifetime: lifetime), supervisor: supervisor, deadline: deadline)
    }

    /// The file by the catalogue, or by a path and a hash in the configuration itself.
    private static func pluginFile(
        _ settings: inout ProviderSettings, _ plugins: [PluginRecord], _ surroundings: Surroundings
    ) throws(ProviderError) -> (PluginFile, String) {
        if let path = settings.take("path") {
            let sha256 = try settings.require("sha256", example: "the 64 digits that sha256sum prints")
            return (try PluginFile(path: absolute(path, surroundings)), sha256.lowercased())
        }
        let name = try settings.require("plugin", example: "the name it was registered by")
        guard let record = plugins.first(where: { $0.name.description == name }) else {
            throw settings.refuse(
                "no plugin \(quoted(name)) is registered", "Register it with \"keyturn plugin register \(name) PATH\".")
        }
        return (try PluginFile(path: record.path), record.sha256)
    }

    private static func endpoint(_ declaration: ProviderDeclaration) throws(ProviderError) -> Entry {
        var settings = ProviderSettings(declaration)
        let endpoint = try settings.require("endpoint", example: "unix:///run/kms/plugin.sock")
        let deadline = try settings.takeDuration("deadline", or: standardDeadline)
        let lifetime = try settings.takeDuration("cache_ttl", or: standardLifetime)
        var users: Set<UInt32> = [0, geteuid()]
        if let user = settings.take("user") { users = [try self.user(user, settings)] }
        try settings.finish(known: ["cache_ttl", "deadline", "endpoint", "user"])
        let socket = try ProviderSocket(endpoint: endpoint, users: users)
        let inner = KMSv2Provider(name: declaration.name, socket: socket)
        let guarded = GuardedProvider(inner, name: declaration.name, deadline: deadline)
        return Entry(
            kind: "kms-v2", settings: ["endpoint": endpoint], guarded: guarded,
            cache: CachingProvider(guarded, lifetime: lifetime), supervisor: nil)
    }

    /// A second root key file beside the instance's own.
    private static func file(
        _ declaration: ProviderDeclaration, _ surroundings: Surroundings
    ) throws(ProviderError) -> Entry {
        var settings = ProviderSettings(declaration)
        let path = absolute(try settings.require("file", example: "other-root.key"), surroundings)
        try settings.finish(known: ["file"])
        let guarded = GuardedProvider(try LocalProvider(opening: path), name: declaration.name)
        return Entry(kind: "local", settings: ["file": path], guarded: guarded, cache: nil, supervisor: nil)
    }

    private static func user(_ text: String, _ settings: ProviderSettings) throws(ProviderError) -> uid_t {
        if let number = uid_t(text) { return number }
        if let known = getpwnam(text) { return known.pointee.pw_uid }
        throw settings.refuse("there is no user \(quoted(text))", "Name a user or its number.")
    }

    private static func absolute(_ path: String, _ surroundings: Surroundings) -> String {
        path.hasPrefix("/") ? path : surroundings.directory + "/" + path
    }
}
