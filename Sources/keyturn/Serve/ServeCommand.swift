internal import ArgumentParser
internal import Backups
internal import Control
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Logging
internal import Monitoring
internal import ProviderHost
internal import Rotation
internal import Scheduling
internal import Terminal

/// Implements `keyturn serve`.
struct ServeCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Be the instance's daemon: serve consoles and commands, drive runs, work the schedules.",
        discussion: """
            It listens on INSTANCE/run/keyturn.sock, or where --socket says; every command uses it from then on. The first \
            SIGTERM or SIGINT stops it after the batch in hand, a second one at once; a run that was left open goes on at the \
            next start. SIGHUP takes up keyturn.lua as it stands, on behalf of the daemon's user.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Option(name: .long, help: "The least that is logged: trace, debug, info, notice, warning, error, critical.")
    var logLevel: LogLevel = .info

    @Option(name: .long, help: "How it is logged: text or json; else text on a terminal and json elsewhere.")
    var logFormat: LogFormat?

    @Option(name: .long, help: "How many seconds a stop may take before what is left is cut off, 1 to 3600.")
    var stopWithin = 30

    @Option(name: .long, help: "Where to offer figures for Prometheus, on this machine alone: 127.0.0.1:PORT.")
    var metrics: String?

    @Option(name: .long, help: "Serve KMS v2 on unix:///…, so that a cluster's keys turn by the keyring's schedules.")
    var kmsV2: String?

    @Option(name: .long, help: "The keyring that wraps a cluster's keys; its core is kr1.")
    var kmsV2Keyring: String?

    @Option(name: .long, help: "The user that may connect for KMS v2, beside root and the daemon's own.")
    var kmsV2User: String?

    @Option(
        name: .long, help: "How many seconds lie between two looks for keys that a KMS v2 plugin turned, 1 to 86400.")
    var keysLookedAtEvery = 60

    func validate() throws {
        guard (kmsV2 == nil) == (kmsV2Keyring == nil) else {
            throw ValidationError("--kms-v2 and --kms-v2-keyring belong together")
        }
        guard kmsV2User == nil || kmsV2 != nil else { throw ValidationError("--kms-v2-user needs --kms-v2") }
        guard (1...86_400).contains(keysLookedAtEvery) else {
            throw ValidationError("--keys-looked-at-every is from 1 to 86400 seconds")
        }
        guard (1...3600).contains(stopWithin) else { throw ValidationError("--stop-within is from 1 to 3600 seconds") }
    }

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let hangUp = ReloadSignal()
        let directory = try global.directory()
        _ = try directory.read()
        let environment = ProcessInfo.processInfo.environment
        let path = try DaemonSocket.named(global).map { try SocketPath($0) } ?? SocketPath(ofInstance: directory.path)
        let logger = self.logger
        let providers = HostedProviders()
        let service = try InstanceService.hosted(on: directory, life: .daemon, providers: providers, logger: logger)
        do {
            let registry = FigureRegistry()
            let figures = try metrics.map { try FigureListener(on: $0, registry) }
            try await service.start()
            let instance = try await service.instance()
            if instance.configuration.backup != nil {
                try BackupService(instance, actor: Parts.actor).clearLeftovers()
            }
            let scheduler = try await service.makeScheduler(metrics: ScheduleFiguresRecorder(factory: registry))
            let cluster = try await cluster(service, logger)
            let server = try SocketServer(at: path, environment: environment, service: service, logger: logger)
            let daemon = Daemon(
                service: service, server: server, scheduler: scheduler, figures: figures,
                manager: ServiceManager(environment: environment), logger: logger,
                keyWatch: KeyWatch(
                    service: service, providers: providers, logger: logger, pause: .seconds(keysLookedAtEvery)),
                cluster: cluster, patience: .seconds(stopWithin))
            if let figures { logger.notice("figures", metadata: ["address": "127.0.0.1:\(figures.port)"]) }
            logger.notice("listening", metadata: ["socket": "\(path.path)", "version": "\(Version.text)"])
            try await daemon.run(until: interrupt, reloadingAt: hangUp)
        } catch {
            await service.stop()
            throw error
        }
        return Outcome(nil)
    }

    /// The socket for a cluster's keys, where one is asked for.
    private func cluster(_ service: InstanceService, _ logger: Logger) async throws -> ClusterService? {
        guard let kmsV2, let kmsV2Keyring else { return nil }
        var users: Set<UInt32> = [0, geteuid()]
        if let kmsV2User {
            guard let known = getpwnam(kmsV2User) else {
                throw CommandError(
                    .callerUsage, "there is no user \(quoted(kmsV2User))", hint: "Name a user of this machine.",
                    status: .usage)
            }
            users.insert(known.pointee.pw_uid)
        }
        let keyring = ServedKeyring(service: service, keyring: try Name(kmsV2Keyring))
        // Says at the start what a cluster would only learn from a status.
        _ = try await keyring.keyID()
        let server = try KMSv2Server(endpoint: kmsV2, users: users, backend: keyring)
        return ClusterService(server: server, endpoint: kmsV2, logger: logger)
    }

    private var logger: Logger {
        let isTerminal = TerminalSize.isTerminal(STDERR_FILENO)
        let form = logFormat?.form ?? (isTerminal ? .text : .json)
        let log = LineLog(.init(STDERR_FILENO), form: form, level: logLevel.level)
        return Logger(label: "keyturn") { _ in log }
    }
}

/// The least that is logged.
enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}

/// How it is logged.
enum LogFormat: String, CaseIterable, ExpressibleByArgument {
    case text, json

    var form: LineLog.Form { self == .text ? .text : .json }
}
