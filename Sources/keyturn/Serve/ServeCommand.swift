internal import ArgumentParser
internal import Control
internal import ControlStore
internal import Foundation
internal import Logging
internal import Monitoring
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

    func validate() throws {
        guard (1...3600).contains(stopWithin) else { throw ValidationError("--stop-within is from 1 to 3600 seconds") }
    }

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let directory = try global.directory()
        _ = try directory.read()
        let environment = ProcessInfo.processInfo.environment
        let path = try DaemonSocket.named(global).map { try SocketPath($0) } ?? SocketPath(ofInstance: directory.path)
        let logger = self.logger
        let service = try InstanceService.hosted(on: directory, life: .daemon, logger: logger)
        do {
            let registry = FigureRegistry()
            let figures = try metrics.map { try FigureListener(on: $0, registry) }
            try await service.start()
            let scheduler = try await service.makeScheduler(metrics: ScheduleFiguresRecorder(factory: registry))
            let server = try SocketServer(at: path, environment: environment, service: service, logger: logger)
            let daemon = Daemon(
                service: service, server: server, scheduler: scheduler, figures: figures,
                manager: ServiceManager(environment: environment), logger: logger, patience: .seconds(stopWithin))
            if let figures { logger.notice("figures", metadata: ["address": "127.0.0.1:\(figures.port)"]) }
            logger.notice("listening", metadata: ["socket": "\(path.path)", "version": "\(Version.text)"])
            try await daemon.run(until: interrupt)
        } catch {
            await service.stop()
            throw error
        }
        return Outcome(nil)
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
