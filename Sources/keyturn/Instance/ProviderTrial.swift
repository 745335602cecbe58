internal import Foundation
internal import KeyModel
internal import PluginConformance
internal import PluginKit
internal import ProviderHost
internal import Providers

/// What `keyturn plugin test` does with its subject.
struct ProviderTrial {
    private let subject: String
    private let settings: [String: String]
    private let environment: [String: String]
    private let deadline: Duration
    private let secret: SecretSource?
    private let turnsKeys: Bool
    private let name: Name

    init(
        subject: String, settings: [String: String], environment: [String], deadline: Duration, secret: SecretSource?,
        turnsKeys: Bool
    ) throws {
        self.subject = subject
        self.settings = settings
        self.environment = PluginLaunch.environment(naming: environment)
        self.deadline = deadline
        self.secret = secret
        self.turnsKeys = turnsKeys
        name = try Name("tested")
    }

    func run() async throws -> [ConformanceResult] {
        guard let key = KeyID(1) else { return [] }
        let binding = WrapBinding(instance: "plugin test", keyring: try Name("test"), key: key)
        if subject == "local" { return try await local(binding) }
        if subject.hasPrefix("unix:") { return try await endpoint(binding) }
        return try await program(binding)
    }

    private func program(_ binding: WrapBinding) async throws -> [ConformanceResult] {
        let launch = PluginLaunch(
            name: name, file: try PluginFile(path: subject), sha256: nil, environment: environment, secret: secret)
        let supervisor = PluginSupervisor(launch)
        try await supervisor.start()
        let provider = GuardedProvider(
            PluginProvider(name: name, settings: settings, supervisor: supervisor), name: name, deadline: deadline)
        // A wrong PIN, say, is not tried again by one process after the other.
        try await Self.stopWhereNothingCanBeTried(provider)
        let canTurn = try await provider.info().abilities.contains(.rotate)
        let offersSession = await supervisor.offersSession
        let answers = await ProviderConformance(
            provider, binding: binding, deadline: deadline, turnsKeys: turnsKeys
        ).run()
        await supervisor.stop()
        let trial = PluginTrial(
            launch, settings: settings, deadline: deadline, turnsKeys: turnsKeys && canTurn, usesSession: offersSession)
        return answers + (await trial.run(binding: binding))
    }

    /// Refuses a provider whose settings are not as they must be, or that denies everything.
    private static func stopWhereNothingCanBeTried(_ provider: some KeyProvider) async throws {
        do throws(ProviderError) {
            _ = try await provider.describeKey(ProviderCall(deadline: .seconds(60), idempotencyKey: "trial-begin"))
        } catch {
            guard ![.providerMisconfigured, .providerDenied].contains(error.code) else { throw error }
        }
    }

    private func endpoint(_ binding: WrapBinding) async throws -> [ConformanceResult] {
        let socket = try ProviderSocket(endpoint: subject, users: [0, geteuid()])
        let provider = GuardedProvider(KMSv2Provider(name: name, socket: socket), name: name, deadline: deadline)
        return await ProviderConformance(provider, binding: binding, deadline: deadline, tellsUnknownKeys: false).run()
    }

    /// The built-in provider, on a root key file of the trial's own.
    private func local(_ binding: WrapBinding) async throws -> [ConformanceResult] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(at: folder) }
        let time = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
        let provider = try LocalProvider.create(at: folder.appending(path: "root.key").path, time: time)
        return await ProviderConformance(
            GuardedProvider(provider, name: name, deadline: deadline), binding: binding, deadline: deadline,
            turnsKeys: turnsKeys
        ).run()
    }
}

extension PluginLaunch {
    /// A clean environment with the variables that are named.
    static func environment(naming names: [String]) -> [String: String] {
        var environment = cleanEnvironment
        for name in names { environment[name] = ProcessInfo.processInfo.environment[name] }
        return environment
    }
}
