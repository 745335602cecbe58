internal import CProcess
internal import Foundation
internal import Frames
internal import KeyModel

/// A client's session with a daemon, over its socket; whoever opens it closes it.
///
/// A request is sent once and never again: where the daemon goes away meanwhile, the request fails and says so. What the
/// client takes long to show is left in the socket, so that the daemon notices.
package actor SocketChannel: ControlChannel {
    private let connection: SocketConnection
    private let place: String
    /// The daemon's process; nil where the kernel does not say.
    package let process: Int32?
    private var pending: [Int64: Pending] = [:]
    private var lastID: Int64 = 0
    private var hasSaidHello = false
    private var greeting: CheckedContinuation<Void, Never>?
    /// Why no request can be performed any more.
    private var ending: ControlError?

    /// A request that was sent.
    private struct Pending {
        let what: String
        let client: any ControlClient
        let continuation: CheckedContinuation<Answer, any Error>
    }

    /// Connects to the daemon that listens at a path, and says who is there.
    ///
    /// - Parameters:
    ///   - path: The socket.
    ///   - hello: What the client says of itself.
    ///   - owner: The user that the daemon must run as, beside root and our own; nil for the owner of the socket's
    ///     directory.
    /// - Returns: A channel that is ready for requests.
    /// - Throws: ``ControlError`` with `storeDaemonUnreachable` where no daemon answers or another user's does,
    ///   `callerNotAllowed` where the system or the daemon does not let us in.
    package static func connect(
        to path: SocketPath, hello: SessionHello, owner: UInt32? = nil
    ) async throws -> SocketChannel {
        try await channel(SocketConnector(path: path, owner: owner).connect(), hello: hello, at: path)
    }

    /// Connects where a daemon listens; nil where none does.
    ///
    /// - Throws: As ``connect(to:hello:owner:)``, but where nobody listens.
    package static func connectIfListening(
        to path: SocketPath, hello: SessionHello, owner: UInt32? = nil
    ) async throws -> SocketChannel? {
        guard let socket = try SocketConnector(path: path, owner: owner).connectIfListening() else { return nil }
        return try await channel(socket, hello: hello, at: path)
    }

    private static func channel(
        _ socket: Int32, hello: SessionHello, at path: SocketPath
    ) async throws -> SocketChannel {
        let loop: EventLoop
        do { loop = try EventLoop() } catch {
            _ = Glibc.close(socket)
            throw error
        }
        let process = PeerLookup.Credentials(of: socket)?.pid
        let connection: SocketConnection
        do { connection = try SocketConnection(socket, on: loop) } catch {
            loop.stop()
            throw error
        }
        let channel = SocketChannel(connection, to: process, at: path.path)
        Task {
            await channel.read()
            loop.stop()
        }
        try await channel.greet(hello)
        return channel
    }

    private init(_ connection: SocketConnection, to process: Int32?, at place: String) {
        self.connection = connection
        self.process = process
        self.place = place
    }

    /// Sends a request and waits for its end; the daemon refuses a second one meanwhile, save a ping.
    ///
    /// - Throws: ``ControlError``, the daemon's own or `storeDaemonUnreachable`.
    package func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        if let ending {
            request.closeDescriptors()
            throw ending
        }
        lastID += 1
        let id = lastID
        let bytes = try frame(of: request, id)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                pending[id] = Pending(what: request.what, client: client, continuation: continuation)
                if !connection.send(bytes, descriptors: request.descriptors) { request.closeDescriptors() }
            }
        } onCancel: {
            Task { await self.cancel(id) }
        }
    }

    /// Asks whatever is being performed to end.
    package func cancel() async { for id in pending.keys { cancel(id) } }

    /// Asks the daemon to kill the session's worker.
    package func killScript() async { send(.killScript) }

    /// Ends the session; a request that is being performed fails with `callerInterrupted`.
    package func close() async {
        send(.close)
        end(ControlError(.callerInterrupted, "the session was closed"))
        connection.closeWhenSent()
    }

    // MARK: Writing

    private func frame(of request: ControlRequest, _ id: Int64) throws(ControlError) -> [UInt8] {
        let count = request.descriptors.count
        do throws(FrameError) {
            guard count <= Wire.descriptors else {
                throw FrameError(.callerValueTooLarge, "\(count) descriptors, the limit is \(Wire.descriptors)")
            }
            let message = ClientMessage.request(id: id, request, descriptors: count)
            return try FrameEncoder(limits: Wire.requestLimits).frame(message.frame)
        } catch {
            request.closeDescriptors()
            throw ControlError(
                .callerUsage, "the request is too large to be sent: \(error.message)", hint: "Send less at once.")
        }
    }

    private func cancel(_ id: Int64) { if pending[id] != nil { send(.cancel(id: id)) } }

    private func send(_ message: ClientMessage) {
        do throws(FrameError) {
            connection.send(try FrameEncoder(limits: Wire.requestLimits).frame(message.frame))
        } catch {
            end(ControlError(.callerUsage, "what was typed is too large to be sent: \(error.message)"))
            connection.close()
        }
    }

    // MARK: Reading

    private func greet(_ hello: SessionHello) async throws(ControlError) {
        connection.endWhenSilent(after: .now + .seconds(30))
        send(.hello(version: Wire.version, hello))
        await withCheckedContinuation { continuation in
            if hasSaidHello || ending != nil { continuation.resume() } else { greeting = continuation }
        }
        connection.endWhenSilent(after: nil)
        if let ending { throw ending }
    }

    /// Reads to the end; questions are asked meanwhile.
    private func read() async {
        var stream = MessageStream(connection, limits: Wire.answerLimits)
        await withDiscardingTaskGroup { group in
            do throws(ControlError) {
                while let value = try await stream.next() { await take(try DaemonMessage(value), in: &group) }
                end(gone(connection.ending == .silent ? "it does not answer" : "it closed the connection"))
            } catch {
                end(connection.ending == .hungUp ? gone("it was cut off") : error)
            }
            connection.close()
        }
    }

    private func take(_ message: DaemonMessage, in group: inout DiscardingTaskGroup) async {
        switch message {
        case .hello:
            hasSaidHello = true
            resumeGreeting()
        case .event(let id, let event): await pending[id]?.client.show(event)
        case .question(let id, let number, let question):
            guard let client = pending[id]?.client else { return }
            group.addTask { await self.send(.answer(question: number, await client.answer(question))) }
        case .answer(let id, let answer): pending.removeValue(forKey: id)?.continuation.resume(returning: answer)
        case .failure(let id?, let error): pending.removeValue(forKey: id)?.continuation.resume(throwing: error)
        case .failure(nil, let error): end(error)
        }
    }

    /// Ends the session; the first reason counts.
    private func end(_ error: ControlError) {
        if ending == nil { ending = error }
        for request in pending.values { request.continuation.resume(throwing: ending ?? error) }
        pending = [:]
        resumeGreeting()
    }

    private func resumeGreeting() {
        greeting?.resume()
        greeting = nil
    }

    private func gone(_ why: String) -> ControlError {
        let what = pending.values.map(\.what).sorted().first.map { " while it worked on \($0)" } ?? ""
        return ControlError(
            .storeDaemonUnreachable, "the daemon at \(quoted(place)) went away\(what): \(why)",
            hint: "Nothing is sent again by itself; what was recorded is shown by \"keyturn runs\" once it is back."
        )
    }
}

extension ControlRequest {
    fileprivate var what: String {
        switch self {
        case .call(let call): quoted(call.name)
        case .script(let script): "the script \(quoted(script.name))"
        case .complete: "a completion"
        case .describe: "the list of entries"
        case .ping: "a ping"
        }
    }

    fileprivate var descriptors: [Int32] { if case .call(let call) = self { call.descriptors } else { [] } }
}

/// Connects to a daemon and looks who it is.
package struct SocketConnector: Sendable {
    /// What was found at the path.
    package enum Finding: Hashable, Sendable {
        /// Nobody listens.
        case nobody
        /// Somebody does.
        case somebody
    }

    /// The socket.
    package let path: SocketPath
    /// The user that the daemon must run as, beside root and our own.
    package let owner: UInt32?

    /// Names a daemon's socket.
    package init(path: SocketPath, owner: UInt32? = nil) {
        self.path = path
        self.owner = owner
    }

    /// Looks whether somebody listens.
    ///
    /// - Throws: ``ControlError`` with `callerNotAllowed` where the system does not let us look.
    package func look() throws(ControlError) -> Finding {
        let socket = SocketPath.makeSocket(isBlocking: false)
        guard socket >= 0 else { throw failed() }
        defer { close(socket) }
        guard path.withAddress({ Glibc.connect(socket, $0, $1) }) != 0 else { return .somebody }
        switch errno {
        case ENOENT, ENOTDIR, ECONNREFUSED: return .nobody
        case EAGAIN: return .somebody
        default: throw failed()
        }
    }

    /// Connects; waits at most five seconds where many do.
    ///
    /// - Throws: ``ControlError`` with `storeDaemonUnreachable` or `callerNotAllowed`.
    func connect() throws(ControlError) -> Int32 {
        guard let socket = try connectIfListening() else { throw failed() }
        return socket
    }

    /// Connects; nil, with `errno` set, where nobody listens.
    ///
    /// - Throws: As ``connect()``.
    func connectIfListening() throws(ControlError) -> Int32? {
        let socket = SocketPath.makeSocket(isBlocking: true)
        guard socket >= 0 else { throw failed() }
        kt_socket_limit_waiting(socket, 5)
        guard path.withAddress({ Glibc.connect(socket, $0, $1) }) == 0 else {
            let number = errno
            close(socket)
            errno = number
            if [ENOENT, ENOTDIR, ECONNREFUSED].contains(number) { return nil }
            throw failed()
        }
        do { try check(socket) } catch {
            close(socket)
            throw error
        }
        _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
        return socket
    }

    /// Makes sure that whoever listens is who may: root, we, or the owner.
    private func check(_ socket: Int32) throws(ControlError) {
        guard let daemon = PeerLookup.Credentials(of: socket) else { throw failed() }
        var facts = stat()
        let owner = owner ?? (stat(path.directory, &facts) == 0 ? facts.st_uid : nil)
        guard daemon.uid == 0 || daemon.uid == geteuid() || daemon.uid == owner else {
            throw ControlError(
                .storeDaemonUnreachable,
                "what listens at \(quoted(path.path)) is process \(daemon.pid) of uid \(daemon.uid), not the instance's daemon",
                hint: "Find out who put it there; nothing was sent to it."
            )
        }
    }

    private func failed() -> ControlError {
        let number = errno
        let message = "cannot reach a daemon at \(quoted(path.path)): \(String(cString: strerror(number)))"
        switch number {
        case EACCES, EPERM:
            return ControlError(
                .callerNotAllowed, message, hint: "Its directory and its mode decide who may connect; ask its owner.")
        case ENOENT, ECONNREFUSED, ENOTDIR:
            return ControlError(
                .storeDaemonUnreachable, message, hint: "Start it with \"keyturn serve\", or give --embedded.")
        default:
            return ControlError(.storeDaemonUnreachable, message, hint: "See whether it runs, and what its log says.")
        }
    }
}
