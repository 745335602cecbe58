internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import PluginWire
internal import Synchronization

/// A call that stays open, over which many are made, so that a call is set up once; where a plugin offers that.
///
/// It ends with its connection, when the plugin ends it, when the plugin's answers make no sense, and by itself where
/// the plugin stops to answer; its owner makes another.
final class ProviderSession: Sendable {
    typealias Client = GRPCClient<HTTP2ClientTransport.WrappedChannel>
    typealias Calls = SessionCalls<CheckedContinuation<SessionAnswer, any Error>>

    private let state = Mutex(State())

    private struct State {
        var calls = Calls()
        /// No calls are sent any more.
        var isFinished = false
        /// Why it has ended.
        var ending: (any Error)?
        /// What takes messages; nil until the call is begun.
        var writer: RPCWriter<Keyturn_Provider_V1_SessionRequest>?
        /// Whether somebody sends what there is to send.
        var isSending = false
        /// Whoever keeps this side of the call open.
        var opener: CheckedContinuation<Void, Never>?
        /// Wakes when the time of a call is over.
        var alarm: (end: ContinuousClock.Instant, task: Task<Void, Never>)?
        /// The call that stays open.
        var running: Task<Void, Never>?
    }

    private init() {}

    /// Begins one; calls may be made at once.
    static func open(over client: Client) -> ProviderSession {
        let session = ProviderSession()
        session.state.withLock { state in
            // Ends with the connection.
            state.running = Task.detached { await session.run(over: client) }
        }
        return session
    }

    /// Whether it is for new calls.
    var isOpen: Bool {
        state.withLock { $0.ending == nil && !$0.isFinished && !$0.calls.isWorn }
    }

    /// Sends nothing any more; what is in hand may still be answered.
    func finish() {
        let opener = state.withLock { state in
            state.isFinished = true
            return state.opener.take()
        }
        opener?.resume()
    }

    /// Asks, and waits for the answer until the time is over or the caller is cancelled.
    ///
    /// - Returns: The answer, of the kind of the request.
    /// - Throws: The status that a single call would end with.
    func ask(_ request: SessionRequest, until end: ContinuousClock.Instant) async throws -> SessionAnswer {
        let ticket = state.withLock { $0.calls.ticket() }
        let answer = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                add(request, ticket, until: end, continuation)
                if Task.isCancelled { giveUp(ticket) }
            }
        } onCancel: {
            giveUp(ticket)
        }
        if case .failure(let failure) = answer.answer { throw failure.status }
        return answer
    }

    private func add(
        _ request: SessionRequest, _ ticket: UInt64, until end: ContinuousClock.Instant,
        _ caller: CheckedContinuation<SessionAnswer, any Error>
    ) {
        let ending = state.withLock { state in
            guard state.ending == nil else { return state.ending }
            state.calls.add(request, ticket: ticket, until: end, waiting: caller)
            setAlarm(in: &state, for: end)
            return nil
        }
        if let ending { caller.resume(throwing: Self.failure(of: ending, isItsAnswer: false)) }
        send()
    }

    private func giveUp(_ ticket: UInt64) {
        let caller = state.withLock { $0.calls.giveUp(ticket: ticket) }
        caller?.resume(throwing: CancellationError())
        leaveWhereWorn()
    }

    /// Ends where nobody waits and nothing is to be expected.
    private func leaveWhereWorn() {
        let running = state.withLock { $0.calls.isWorn && $0.calls.isEmpty ? $0.running : nil }
        running?.cancel()
    }
}

/// The time that calls have.
extension ProviderSession {
    private func setAlarm(in state: inout State, for end: ContinuousClock.Instant) {
        if let alarm = state.alarm, alarm.end <= end { return }
        state.alarm?.task.cancel()
        let task = Task.detached { [weak self] in
            do { try await Task.sleep(until: end, clock: .continuous) } catch { return }
            self?.giveUpOverdue()
        }
        state.alarm = (end, task)
    }

    private func giveUpOverdue() {
        let overdue = state.withLock { state in
            state.alarm = nil
            let overdue = state.calls.giveUp(overdueAt: ContinuousClock.now)
            if let next = state.calls.nextEnd { setAlarm(in: &state, for: next) }
            return overdue
        }
        for caller in overdue {
            caller.resume(throwing: RPCError(code: .deadlineExceeded, message: "it did not answer in time"))
        }
        leaveWhereWorn()
    }
}

/// The call that stays open.
extension ProviderSession {
    /// Why answers are taken no more.
    private struct Senseless: Error {}

    private func run(over client: Client) async {
        do {
            try await Keyturn_Provider_V1_KeyProvider.Client(wrapping: client).session(
                options: ProviderConnection.options(within: nil),
                requestProducer: { writer in
                    self.state.withLock { $0.writer = writer }
                    self.send()
                    await self.stayOpen()
                },
                onResponse: { response in
                    for try await message in response.messages { try self.take(message) }
                })
            end(RPCError(code: .unavailable, message: "it ended the session"))
        } catch {
            end(error)
        }
    }

    /// Sends what there is to send, one message after the other, unless somebody does so already.
    private func send() {
        let writer = state.withLock { state in
            guard !state.isSending, state.calls.canSend, let writer = state.writer else {
                return nil as RPCWriter<Keyturn_Provider_V1_SessionRequest>?
            }
            state.isSending = true
            return writer
        }
        guard let writer else { return }
        // Begins in this thread, and seldom has to wait; where it has, whoever asks can still give up.
        Task.immediateDetached {
            while let message = self.nextMessage() {
                // The call then ends by itself, and says why.
                do { try await writer.write(message) } catch { return }
            }
        }
    }

    private func nextMessage() -> Keyturn_Provider_V1_SessionRequest? {
        state.withLock { state in
            let message = state.isFinished ? nil : state.calls.nextMessage()
            if message == nil { state.isSending = false }
            return message
        }
    }

    /// Waits until the session is finished or ends.
    private func stayOpen() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isFinished || Task.isCancelled { return true }
                    state.opener = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.opener.take() }?.resume()
        }
    }

    private func take(_ message: SessionAnswer) throws {
        let outcome = state.withLock { $0.calls.take(message) }
        switch outcome {
        case .answer(let answer, let caller): caller.resume(returning: answer)
        case .late: break
        case .unknown: throw Self.senseless("it answered a request that is not in hand")
        case .otherKind(let caller):
            // The caller is told once nobody finds the session open any more.
            let status = Self.senseless("it answered with something else than was asked for")
            end(status, blamesCaller: false)
            caller.resume(throwing: status)
            throw status
        }
        send()
        leaveWhereWorn()
    }

    private static func senseless(_ why: String) -> RPCError {
        RPCError(code: .internalError, message: why, cause: Senseless())
    }

    /// Ends it for all who wait.
    ///
    /// - Parameters:
    ///   - ending: Why.
    ///   - blamesCaller: Whether an answer that makes no sense is that of the one call in hand, where there is only one.
    private func end(_ ending: any Error, blamesCaller: Bool = true) {
        let (callers, alarm) = state.withLock { state in
            if state.ending == nil { state.ending = ending }
            (state.running, state.writer) = (nil, nil)
            return (state.calls.giveUpAll(), state.alarm.take()?.task)
        }
        alarm?.cancel()
        let failure = Self.failure(of: ending, isItsAnswer: blamesCaller && callers.count == 1)
        for caller in callers { caller.resume(throwing: failure) }
    }

    /// What calls in hand fail with.
    ///
    /// - Parameters:
    ///   - ending: Why the session ends.
    ///   - isItsAnswer: Whether what makes no sense is the answer to the call.
    /// - Returns: A status, as a single call has it.
    private static func failure(of ending: any Error, isItsAnswer: Bool) -> any Error {
        if ending is CancellationError { return RPCError(code: .unavailable, message: "the session was ended") }
        guard let status = ending as? RPCError, status.code != .unavailable else { return ending }
        // gRPC has INTERNAL for what breaks its own rules, such as a message that is too large.
        guard status.code == .internalError || (status.isAboutAnswer && status.code != .unknown) else {
            return RPCError(code: .unavailable, message: "it ended the session: \(status.message)")
        }
        guard !isItsAnswer else { return status }
        return RPCError(code: .unavailable, message: "it gave an answer that makes no sense, to this call or another")
    }
}
