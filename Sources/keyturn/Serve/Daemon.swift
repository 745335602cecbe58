internal import Control
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Logging
internal import Monitoring
internal import ProviderHost
internal import Rotation
internal import Scheduling
internal import ServiceLifecycle

/// What a daemon consists of, in the order in which it starts; it stops in the opposite one.
///
/// The engine outlives the socket, so that what a session began ends before the database is closed.
struct Daemon {
    let service: InstanceService
    let server: SocketServer
    let scheduler: Scheduler
    /// Offers figures; nil where nobody asked for them.
    let figures: FigureListener?
    let manager: ServiceManager
    let logger: Logger
    /// Follows keys that are turned outside.
    let keyWatch: KeyWatch
    /// The socket for a cluster's keys; nil where none is served.
    let cluster: ClusterService?
    /// How long a stop may take.
    let patience: Duration

    /// Runs until it is interrupted and everything has stopped; takes up the configuration when it is told to.
    ///
    /// Where that takes longer than the patience, the process ends with 4; nothing is lost by it.
    func run(until interrupt: Interrupt, reloadingAt hangUp: ReloadSignal) async throws {
        var services: [any Service] = [
            EngineService(service: service, logger: logger), ScheduleService(scheduler: scheduler),
            SocketService(server: server), keyWatch,
        ]
        if let cluster { services.append(cluster) }
        if let figures { services.append(FigureService(listener: figures)) }
        if let interval = manager.watchdog {
            services.append(WatchdogService(server: server, manager: manager, interval: interval))
        }
        let group = ServiceGroup(
            configuration: .init(
                services: services.map { .init(service: $0) }, gracefulShutdownSignals: [], cancellationSignals: [],
                logger: quiet))
        hangUp.whenItComes { await reload() }
        defer { hangUp.stop() }
        interrupt.onSet { Task { await stop(group) } }
        manager.becameReady("ready")
        try await group.run()
        logger.notice("stopped")
    }

    private func stop(_ group: ServiceGroup) async {
        logger.notice("stopping", metadata: ["within": "\(patience.components.seconds) s"])
        manager.isStopping("what is in hand ends")
        await group.triggerGracefulShutdown()
        try? await Task.sleep(for: patience)
        logger.error("cut off: what was in hand did not end in time; open runs go on at the next start")
        _exit(ExitStatus.killed.rawValue)
    }

    /// Takes up the configuration as its file stands, as the daemon's own user, whose role decides; its hooks and schedules
    /// get no call that they had not before.
    private func reload() async {
        manager.isReloading()
        do {
            let hello = SessionHello(way: .call, isInteractive: false)
            let channel = try await service.openSession(for: Peer.own(by: .call), hello: hello)
            // Nobody looks at what it would grant.
            let call = Call("configuration.load", named: ["grant": false], confirmation: .given)
            _ = try await channel.perform(.call(call), for: LoggingClient(logger: logger))
            await channel.close()
            logger.notice("configuration taken up")
        } catch {
            let reason = (error as? any CodedError)?.message ?? "\(type(of: error))"
            logger.error("configuration not taken up; the one before it holds", metadata: ["reason": "\(reason)"])
        }
        manager.becameReady("ready")
    }

    /// The group's own remarks, of which only what went wrong matters.
    private var quiet: Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }
}

/// Drives runs until the daemon stops, then ends the batch in hand and closes the instance.
private struct EngineService: Service {
    let service: InstanceService
    let logger: Logger

    func run() async throws {
        do { try await cancelWhenGracefulShutdown { try await service.run() } } catch is CancellationError {}
        guard let left = await service.stop() else { return }
        logger.notice(
            "run left open; it goes on at the next start",
            metadata: ["run.id": "\(left.id)", "phase": "\(left.phase.rawValue)"])
    }
}

/// Works the schedules until the daemon stops; does nothing as long as none is declared.
private struct ScheduleService: Service {
    let scheduler: Scheduler

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                while await !scheduler.hasSchedules { try await Task.sleep(for: .seconds(1)) }
                try await scheduler.run()
            }
        } catch is CancellationError {}
    }
}

/// Offers figures until the daemon stops.
private struct FigureService: Service {
    let listener: FigureListener

    func run() async throws { try await cancelWhenGracefulShutdown { try await listener.run() } }
}

/// Serves sessions until the daemon stops.
private struct SocketService: Service {
    let server: SocketServer

    func run() async throws {
        await withGracefulShutdownHandler {
            await server.run()
        } onGracefulShutdown: {
            server.stop()
        }
    }
}

/// Serves KMS v2 until the daemon stops.
struct ClusterService: Service {
    let server: KMSv2Server
    let endpoint: String
    let logger: Logger

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            do {
                try await server.run {
                    logger.notice("serving KMS v2", metadata: ["endpoint": "\(endpoint)"])
                }
            } catch is CancellationError {}
        }
    }
}

/// Tells the service manager that the daemon lives, as long as the thread of its sockets does.
private struct WatchdogService: Service {
    let server: SocketServer
    let manager: ServiceManager
    let interval: Duration

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while true {
                try await Task.sleep(for: interval)
                await server.comeRound()
                manager.lives()
            }
        }
    }
}

/// A client without a person, whose warnings go into the log.
private struct LoggingClient: ControlClient {
    let logger: Logger

    func show(_ event: ControlEvent) async { if case .warning(let text) = event { logger.warning("\(text)") } }
    func answer(_ question: Question) async -> String? { nil }
}

/// A client without a person.
struct SilentClient: ControlClient {
    func show(_ event: ControlEvent) async {}
    func answer(_ question: Question) async -> String? { nil }
}

/// Collects SIGHUP, which ends a process that has not said otherwise; so the daemon makes it before anything else.
struct ReloadSignal {
    private let source: any DispatchSourceSignal
    private let stream: AsyncStream<Void>
    private let wishes: AsyncStream<Void>.Continuation

    /// Begins to collect; of many signals at once, one more is enough.
    init() {
        (stream, wishes) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        signal(SIGHUP, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGHUP)
        source.setEventHandler { [wishes] in wishes.yield() }
        // A signal that comes before the source is registered would be lost.
        let registered = DispatchSemaphore(value: 0)
        source.setRegistrationHandler { registered.signal() }
        source.resume()
        registered.wait()
    }

    /// Does something at every signal, those collected so far included, one after the other.
    func whenItComes(_ body: @escaping @Sendable () async -> Void) {
        Task { [stream] in for await _ in stream { await body() } }
    }

    func stop() {
        source.cancel()
        wishes.finish()
    }
}
