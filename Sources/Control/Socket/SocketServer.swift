internal import CProcess
internal import Foundation
internal import KeyModel
package import Logging
internal import Synchronization

/// Takes connections on a Unix socket and serves each as a session of the service.
package final class SocketServer: Sendable {
    /// How much it takes on and how long it waits.
    package struct Limits: Sendable {
        /// The most sessions.
        package var sessions = 512
        /// The most sessions of one user, so that none keeps the others out.
        package var sessionsOfUser = 448
        /// How long a client may take to say who it is.
        package var hello: Duration = .seconds(10)
        /// How long a script waits for a client that reads slowly, before its output is dropped.
        package var slowReader: Duration = .seconds(1)
        /// How long a client may take nothing while something waits for it.
        package var stall: Duration = .seconds(300)
        /// How many bytes wait for a client before they hold up or are dropped.
        package var queuedBytes = 1 << 20

        /// Makes the usual limits.
        package init() {}
    }

    private struct State {
        var sessions: [UInt64: (session: SocketSession, connection: SocketConnection, uid: UInt32)] = [:]
        var last: UInt64 = 0
        var isStopping = false
    }

    private let service: any ControlService
    private let limits: Limits
    private let logger: Logger
    private let loop: EventLoop
    private let listener: ListeningSocket
    private let acceptor: Acceptor
    private let state = Mutex(State())

    /// Listens at a path, or on the socket that the service manager hands over.
    ///
    /// - Parameters:
    ///   - path: Where to listen; its directory is made, mode 0750, where it is missing.
    ///   - environment: The process's, for the manager's socket.
    ///   - service: Opens the sessions.
    ///   - limits: How much it takes on.
    ///   - logger: For the daemon's log.
    /// - Throws: ``ControlError`` that names what is in the way.
    package init(
        at path: SocketPath, environment: [String: String] = [:], service: any ControlService,
        limits: Limits = Limits(), logger: Logger
    ) throws {
        self.service = service
        self.limits = limits
        self.logger = logger
        listener = try ListeningSocket(fromManager: environment) ?? ListeningSocket(at: path)
        loop = try EventLoop()
        acceptor = try Acceptor(listener.descriptor, on: loop)
    }

    /// How many sessions there are.
    package var sessionCount: Int { state.withLock { $0.sessions.count } }

    /// Takes connections until ``stop()`` and returns when the last session has ended.
    ///
    /// Cancelling cuts the sessions off.
    package func run() async {
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                while let socket = await acceptor.next() { admit(socket, in: &group) }
                await stopSessions()
            }
            loop.stop()
        } onCancel: {
            stop()
            for (_, entry) in state.withLock({ $0.sessions }) { entry.connection.close() }
        }
    }

    /// Takes no more connections; sessions end as soon as what they perform has ended, which it is asked to.
    package func stop() {
        state.withLock { $0.isStopping = true }
        listener.removeFile()
        acceptor.stop()
    }

    /// Returns once the thread that wakes the sessions has come round; what a watchdog asks.
    package func comeRound() async { await loop.comeRound() }

    private func stopSessions() async {
        for (_, entry) in state.withLock({ $0.sessions }) { await entry.session.stop() }
    }

    private func admit(_ socket: Int32, in group: inout DiscardingTaskGroup) {
        guard let credentials = PeerLookup.Credentials(of: socket) else {
            close(socket)
            return
        }
        do {
            var output = SocketConnection.Limits()
            output.queuedBytes = limits.queuedBytes
            output.stall = limits.stall
            let connection = try SocketConnection(socket, on: loop, limits: output)
            let patience = SocketSession.Patience(hello: limits.hello, slowReader: limits.slowReader)
            let session = SocketSession(connection, patience: patience, logger: logger)
            guard let number = register(session, connection, credentials.uid) else {
                return refuse(connection, credentials)
            }
            group.addTask { [service] in
                await session.run(service) { way in await PeerLookup().peer(credentials, by: way) }
                self.state.withLock { _ = $0.sessions.removeValue(forKey: number) }
            }
        } catch {
            logger.error("a connection was refused", metadata: ["reason": "\(error)"])
        }
    }

    private func register(_ session: SocketSession, _ connection: SocketConnection, _ uid: UInt32) -> UInt64? {
        state.withLock { state in
            let ofUser = state.sessions.values.count { $0.uid == uid }
            guard state.sessions.count < limits.sessions, ofUser < limits.sessionsOfUser, !state.isStopping else {
                return nil
            }
            state.last += 1
            state.sessions[state.last] = (session, connection, uid)
            return state.last
        }
    }

    private func refuse(_ connection: SocketConnection, _ credentials: PeerLookup.Credentials) {
        logger.warning(
            "a connection was refused",
            metadata: [
                "reason": "too many sessions", "peer.uid": "\(credentials.uid)", "peer.pid": "\(credentials.pid)",
            ])
        SocketSession.refuse(
            connection,
            ControlError(
                .callerLimitExceeded, "the daemon has as many sessions as it takes",
                hint: "Close consoles that are not used, then try again."))
    }
}

/// Hands out the connections that clients make.
private final class Acceptor: EventHandler {
    private struct State {
        var token: UInt64 = 0
        var waiting: CheckedContinuation<Void, Never>?
        var isStopped = false
    }

    private let descriptor: Int32
    private let loop: EventLoop
    private let state = Mutex(State())

    init(_ descriptor: Int32, on loop: EventLoop) throws {
        self.descriptor = descriptor
        self.loop = loop
        guard let token = loop.add(descriptor, self) else {
            throw ControlError(.callerLimitExceeded, "cannot watch a socket: \(String(cString: strerror(errno)))")
        }
        state.withLock { $0.token = token }
    }

    /// Waits for the next connection; nil once it is stopped.
    func next() async -> Int32? {
        while !state.withLock({ $0.isStopped }) {
            let socket = kt_socket_accept(descriptor)
            if socket >= 0 { return socket }
            switch errno {
            case EAGAIN: await wait(forConnection: true)
            // Out of descriptors or memory: others have to end first.
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: await wait(forConnection: false)
            default: continue
            }
        }
        return nil
    }

    func stop() {
        let waiting = state.withLock { state in
            if !state.isStopped { loop.remove(state.token, descriptor) }
            state.isStopped = true
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }

    func becameReady(readable: Bool, writable: Bool) { wake() }

    func deadlinePassed() { wake() }

    private func wake() {
        let waiting = state.withLock { state in
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }

    private func wait(forConnection: Bool) async {
        await withCheckedContinuation { continuation in
            let isStopped = state.withLock { state in
                guard !state.isStopped else { return true }
                state.waiting = continuation
                if forConnection {
                    loop.arm(state.token, descriptor, readable: true, writable: false)
                } else {
                    loop.setDeadline(state.token, .now + .milliseconds(100))
                }
                return false
            }
            if isStopped { continuation.resume() }
        }
    }
}
