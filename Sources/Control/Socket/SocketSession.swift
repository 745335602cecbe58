internal import Frames
internal import Glibc
internal import KeyModel
internal import Logging

/// The daemon's side of one connection: reads messages, hands requests to the channel, and sends what comes of them.
///
/// One request is performed at a time; a ping is answered at once, also meanwhile. Reading goes on while a request is
/// performed, so that it can be cancelled and its client's death be noticed; it pauses while much waits to be sent.
actor SocketSession {
    /// How long it waits for what.
    struct Patience: Sendable {
        /// For the hello.
        var hello: Duration = .seconds(10)
        /// For a client that reads slowly, before events are dropped.
        var slowReader: Duration = .seconds(1)
    }

    private let connection: SocketConnection
    private let patience: Patience
    private let logger: Logger
    private var channel: (any ControlChannel)?
    /// The request that is performed.
    private var current: Int64?
    private var questions: [Int64: CheckedContinuation<String?, Never>] = [:]
    private var lastQuestion: Int64 = 0
    private var isCancelling = false
    private var isKilling = false
    private var isStopping = false
    private var isGreeting = false
    private var droppedEvents = 0

    /// Serves a connection that was just made.
    init(_ connection: SocketConnection, patience: Patience, logger: Logger) {
        self.connection = connection
        self.patience = patience
        self.logger = logger
    }

    /// Serves it to its end.
    ///
    /// - Parameters:
    ///   - service: Opens the channel.
    ///   - peer: Finds out who is there, by the way that the hello names.
    func run(_ service: any ControlService, peer: @Sendable (Peer.Way) async -> Peer) async {
        do {
            let hello = try await readHello()
            let peer = await peer(hello.way)
            let channel = try await service.openSession(for: peer, hello: hello)
            self.channel = channel
            log(.debug, "session opened", peer)
            send(.hello(version: Wire.version))
            let problem = await withDiscardingTaskGroup { group in
                do throws(ControlError) {
                    try await serve(channel, in: &group)
                    return nil as ControlError?
                } catch {
                    return error
                }
            }
            await channel.close()
            if let problem { throw problem }
            log(.debug, "session closed", peer)
        } catch {
            fail(error)
        }
        connection.closeWhenSent()
    }

    /// Tells a client why it is not served at all.
    static func refuse(_ connection: SocketConnection, _ error: ControlError) {
        let message = DaemonMessage.failure(id: nil, error)
        do { connection.send(try FrameEncoder(limits: Wire.answerLimits).frame(message.frame)) } catch {}
        connection.close()
    }

    /// Performs no more requests; the one that is performed is asked to end.
    func stop() async {
        isStopping = true
        guard current != nil else {
            sendFailure(nil, Self.stopping)
            return connection.closeWhenSent()
        }
        await channel?.cancel()
    }

    // MARK: Reading

    private func readHello() async throws(ControlError) -> SessionHello {
        connection.endWhenSilent(after: .now + patience.hello)
        var stream = MessageStream(connection, limits: Wire.helloLimits)
        guard let value = try await stream.next() else { throw Self.nothingSaid }
        guard case .hello(let version, let hello) = try ClientMessage(value) else {
            throw wireError("the first message is no hello")
        }
        connection.endWhenSilent(after: nil)
        guard version == Wire.version else {
            throw ControlError(
                .storeDaemonUnreachable,
                "the daemon speaks version \(Wire.version) of the protocol, this client version \(version)",
                hint: "Use the same version of keyturn for both; after an upgrade, restart the daemon."
            )
        }
        try stream.finish()
        return hello
    }

    /// Reads requests until the client goes, and ends what it has begun.
    private func serve(_ channel: any ControlChannel, in group: inout DiscardingTaskGroup) async throws(ControlError) {
        defer { endRequests(channel, in: &group) }
        var stream = MessageStream(connection, limits: Wire.requestLimits)
        while let value = try await stream.next() {
            let message = try ClientMessage(value)
            if case .close = message { return }
            try take(message, channel, in: &group)
            // A flood of requests takes turns with other sessions, and waits where nobody reads what came of them.
            await Task.yield()
            if !connection.hasRoom { _ = await connection.waitForRoom() }
        }
    }

    private func endRequests(_ channel: any ControlChannel, in group: inout DiscardingTaskGroup) {
        for question in questions.values { question.resume(returning: nil) }
        questions = [:]
        if current != nil { group.addTask { await channel.cancel() } }
    }

    private func take(
        _ message: ClientMessage, _ channel: any ControlChannel, in group: inout DiscardingTaskGroup
    ) throws(ControlError) {
        switch message {
        case .hello: throw wireError("a second hello")
        case .request(let id, .ping, _): greet(id, channel, in: &group)
        case .request(let id, let request, let count): try begin(id, request, count, channel, in: &group)
        case .answer(let question, let text): questions.removeValue(forKey: question)?.resume(returning: text)
        case .cancel(let id): if id == current { cancel(channel, in: &group) }
        case .killScript: kill(channel, in: &group)
        case .close: break
        }
    }

    // MARK: Requests

    /// Answers a ping: at once, and where nothing else goes on with what a prompt says.
    private func greet(_ id: Int64, _ channel: any ControlChannel, in group: inout DiscardingTaskGroup) {
        guard current == nil, !isGreeting, !isStopping else { return send(.answer(id: id, Answer(.null))) }
        isGreeting = true
        group.addTask { await self.greet(id, channel) }
    }

    private func greet(_ id: Int64, _ channel: any ControlChannel) async {
        let greeting = try? await channel.perform(.ping, for: RequestClient(session: self, id: id))
        isGreeting = false
        send(.answer(id: id, greeting ?? Answer(.null)))
    }

    private func begin(
        _ id: Int64, _ request: ControlRequest, _ descriptorCount: Int, _ channel: any ControlChannel,
        in group: inout DiscardingTaskGroup
    ) throws(ControlError) {
        guard let descriptors = connection.takeDescriptors(descriptorCount) else {
            throw wireError("\(descriptorCount) descriptors were announced and did not come")
        }
        let request = request.handing(descriptors)
        guard current == nil, !isStopping else {
            request.closeDescriptors()
            let busy = ControlError(
                .callerBusy, "the session already performs a request", hint: "Wait for its end, or cancel it.")
            return sendFailure(id, isStopping ? Self.stopping : busy)
        }
        current = id
        group.addTask { await self.perform(id, request, channel) }
    }

    private func perform(_ id: Int64, _ request: ControlRequest, _ channel: any ControlChannel) async {
        let message: DaemonMessage
        do {
            message = .answer(id: id, try await channel.perform(request, for: RequestClient(session: self, id: id)))
        } catch {
            message = .failure(id: id, stopped(ControlError(showing: error, logger)))
        }
        noteDrops(id)
        current = nil
        send(message)
        guard isStopping else { return }
        sendFailure(nil, Self.stopping)
        connection.closeWhenSent()
    }

    private func cancel(_ channel: any ControlChannel, in group: inout DiscardingTaskGroup) {
        guard !isCancelling else { return }
        isCancelling = true
        group.addTask {
            await channel.cancel()
            await self.endedCancelling()
        }
    }

    private func kill(_ channel: any ControlChannel, in group: inout DiscardingTaskGroup) {
        guard !isKilling else { return }
        isKilling = true
        group.addTask {
            await channel.killScript()
            await self.endedKilling()
        }
    }

    private func endedCancelling() { isCancelling = false }

    private func endedKilling() { isKilling = false }

    /// What a request that was cut off by the daemon's end failed with.
    private func stopped(_ error: ControlError) -> ControlError {
        isStopping && error.codeName == ControlError.Code.callerInterrupted.rawValue ? Self.stopping : error
    }

    // MARK: What happens meanwhile

    /// Sends an event; where the client reads slowly it waits a little, then drops what is not the result.
    fileprivate func show(_ event: ControlEvent, of id: Int64) async {
        guard id == current else { return }
        if !connection.hasRoom {
            guard event.isWorthWaiting else { return }
            guard droppedEvents == 0, await connection.waitForRoom(within: patience.slowReader) else {
                droppedEvents += 1
                return
            }
            guard id == current else { return }
        }
        noteDrops(id)
        send(.event(id: id, event))
    }

    private func noteDrops(_ id: Int64) {
        guard droppedEvents > 0 else { return }
        let note = "\(droppedEvents) messages were dropped here: this client read too slowly"
        droppedEvents = 0
        send(.event(id: id, .note(note)))
    }

    /// Asks the client; nil where it declines or goes.
    fileprivate func ask(_ question: Question, of id: Int64) async -> String? {
        guard id == current, connection.ending == nil else { return nil }
        lastQuestion += 1
        let number = lastQuestion
        return await withCheckedContinuation { continuation in
            questions[number] = continuation
            send(.question(id: id, question: number, question))
        }
    }

    // MARK: Writing

    private func send(_ message: DaemonMessage) {
        do throws(FrameError) {
            connection.send(try FrameEncoder(limits: Wire.answerLimits).frame(message.frame))
        } catch {
            tooLarge(message, error)
        }
    }

    /// Says of a message that does not fit a frame that it does not.
    private func tooLarge(_ message: DaemonMessage, _ error: FrameError) {
        let problem = ControlError(
            .callerLimitExceeded, "the answer is too large to be sent: \(error.message)", hint: "Ask for less of it.")
        switch message {
        case .event(let id, _): send(.event(id: id, .note("something that happened is too large to be shown")))
        case .answer(let id, _): sendFailure(id, problem)
        case .question(_, let number, _): questions.removeValue(forKey: number)?.resume(returning: nil)
        case .hello, .failure: connection.close()
        }
    }

    private func sendFailure(_ id: Int64?, _ error: ControlError) { send(.failure(id: id, error)) }

    /// Says why the session ends, to the client where it listens and to the log.
    private func fail(_ error: any Error) {
        guard connection.ending != .hungUp else { return }
        let error = ControlError(showing: error, logger)
        let why = connection.ending.flatMap(Self.text) ?? error.message
        logger.info("session refused or cut off", metadata: ["reason": "\(why)", "code": "\(error.codeName)"])
        sendFailure(nil, error)
    }

    private func log(_ level: Logger.Level, _ event: Logger.Message, _ peer: Peer) {
        logger.log(
            level: level, event,
            metadata: [
                "peer.uid": "\(peer.uid)", "peer.user": "\(peer.user)", "peer.pid": "\(peer.pid)",
                "way": "\(peer.way.rawValue)",
            ])
    }

    private static func text(_ ending: SocketConnection.Ending) -> String? {
        switch ending {
        case .closed, .hungUp: nil
        case .silent: "the client said nothing in time"
        case .stalled: "the client took nothing in time"
        case .tooManyDescriptors: "the client sent more descriptors than it may"
        }
    }

    private static let nothingSaid = ControlError(.internalProtocol, "the client went before it said who it is")

    private static let stopping = ControlError(
        .storeDaemonUnreachable, "the daemon is stopping",
        hint: "A run that it drives stays as it is and goes on when the daemon is back."
    )
}

/// The client of one request.
private struct RequestClient: ControlClient {
    let session: SocketSession
    let id: Int64

    func show(_ event: ControlEvent) async { await session.show(event, of: id) }

    func answer(_ question: Question) async -> String? { await session.ask(question, of: id) }
}

extension ControlEvent {
    /// Whether it is lost by being dropped; progress is made up for by what follows.
    fileprivate var isWorthWaiting: Bool {
        if case .progress = self { false } else { true }
    }
}

extension ControlRequest {
    /// The request with the descriptors that came beside it.
    func handing(_ descriptors: [Int32]) -> ControlRequest {
        guard case .call(var call) = self else { return self }
        call.descriptors = descriptors
        return .call(call)
    }

    /// Closes the descriptors of a request that is not performed.
    func closeDescriptors() { if case .call(let call) = self { call.descriptors.forEach { _ = Glibc.close($0) } } }
}

extension ControlError {
    /// What a client is told of an error; one that has no words for people is for the log alone.
    init(showing error: any Error, _ logger: Logger) {
        switch error {
        case let error as ControlError: self = error
        case let error as any CodedError: self.init(codeName: error.codeName, error.message, hint: error.hint)
        default:
            logger.error("a request failed unexpectedly", metadata: ["type": "\(type(of: error))"])
            self.init(
                codeName: "internalUnexpected", "the daemon failed in a way that it has no words for",
                hint: "Its log has more.")
        }
    }
}
