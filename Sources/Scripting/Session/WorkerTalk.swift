internal import Frames
internal import KeyModel

/// The thread's side of a run: frames in, frames out, and the time.
struct WorkerTalk {
    /// How a run ended.
    enum Ending {
        /// The worker said so and can be used again.
        case answered(Result<ScriptResult, any Error>)
        /// The worker closed its end.
        case closed
        /// The worker has to go.
        case killed(any Error)
    }

    private let exchange: WorkerExchange
    private let started = ContinuousClock.now
    private let processorTimeBefore: Duration
    private var reader = FrameReader()
    private var calls = 0
    private var outputBytes = 0
    /// The host's call in hand.
    private var waiting: (call: Int64, task: Task<Void, Never>, since: ContinuousClock.Instant)?
    private var waited = Duration.zero
    private var isPrinting = false
    /// Set once the run was asked to end; what the worker wants after that is not done.
    private var killAt: ContinuousClock.Instant?

    /// More than any honest worker sends: its own limit, and a frame.
    private static let mostOutput = 9 << 20
    private static let tick = Duration.milliseconds(100)

    init(_ exchange: WorkerExchange, start: Duration) {
        self.exchange = exchange
        processorTimeBefore = start
    }

    /// Talks to the worker until the run has ended.
    mutating func run(_ process: borrowing WorkerProcess) -> Ending {
        defer { waiting?.task.cancel() }
        do throws(FrameError) {
            let frame = try FrameEncoder().frame(exchange.request)
            // A worker that closes its end early may have said why before.
            if process.send(frame, until: .now + .seconds(5)) == .late {
                return .killed(lost("did not read its script"))
            }
        } catch {
            return .answered(
                .failure(ScriptingError(.callerLimitExceeded, "the script cannot be run: \(error.message)")))
        }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            if let ending = takePost(process) ?? checkTime(process) { return ending }
            do throws(FrameError) {
                while mayGoOn, let frame = try reader.next() {
                    if let ending = take(frame) { return ending }
                }
            } catch {
                return .killed(lost("sent what is no frame (\(error.message))"))
            }
            let signs = process.wait(bell: exchange.worker.bell, reads: mayGoOn, atMost: untilNextCheck)
            guard signs.isReadable else { continue }
            switch process.receive(into: &buffer, until: .now + Self.tick) {
            case .moved(let count): reader.append(buffer[..<count])
            case .closed: return .closed
            case .late: break
            }
        }
    }

    /// What to say where the worker ended by itself.
    func loss(_ ending: WorkerProcess.Ending) -> ScriptingError {
        switch ending {
        case .exit(status: 75): limitReached("took too much processor time")
        case .exit(let status): lost("ended with status \(status)")
        case .signal(let number): lost("was killed by signal \(number)")
        case .killed: lost("closed its socket")
        }
    }

    /// How long nothing can become due.
    private var untilNextCheck: Duration {
        let due = killAt ?? started + exchange.limits.time + ScriptLimits.grace
        return max(.milliseconds(1), min(Self.tick, due - .now))
    }

    /// Whether the next frame can be dealt with.
    private var mayGoOn: Bool { !isPrinting }

    private mutating func takePost(_ process: borrowing WorkerProcess) -> Ending? {
        let post = exchange.takePost()
        if post.isKilled { return .killed(lost("was killed on request")) }
        for mail in post.mail {
            switch mail {
            case .printed: isPrinting = false
            case .reply(let call, let frame):
                guard let entry = waiting, entry.call == call else { continue }
                waited += .now - entry.since
                waiting = nil
                guard killAt == nil else { continue }
                if process.send(frame, until: .now + .seconds(5)) == .late { return .killed(lost("does not read")) }
            }
        }
        if post.isInterrupted, killAt == nil { interrupt(process) }
        return nil
    }

    private mutating func interrupt(_ process: borrowing WorkerProcess) {
        killAt = .now + ScriptLimits.grace
        waiting?.task.cancel()
        // Output is thrown away from here on, so that the worker is not held up by whoever reads it.
        isPrinting = false
        guard let frame = try? FrameEncoder().frame(["kind": "cancel", "id": .integer(exchange.id)]) else { return }
        _ = process.send(frame, until: .now + Self.tick)
    }

    /// Ends a worker that does not end by itself.
    private func checkTime(_ process: borrowing WorkerProcess) -> Ending? {
        let now = ContinuousClock.now
        if let killAt {
            guard now >= killAt else { return nil }
            let what = "the script was interrupted and could not be stopped; its worker was killed, variables gone"
            return .killed(ScriptingError(.callerInterrupted, what, hint: Self.goesOn))
        }
        let limits = exchange.limits
        let elapsed = now - started
        if elapsed > limits.time + ScriptLimits.grace { return .killed(limitReached("took too long")) }
        let present = waiting.map { now - $0.since } ?? .zero
        if elapsed - waited - present > limits.computingTime + ScriptLimits.grace {
            return .killed(limitReached("took too long"))
        }
        let used = process.processorTime - processorTimeBefore
        if used > limits.processorTime + ScriptLimits.grace {
            return .killed(limitReached("took too much processor time"))
        }
        return nil
    }

    private mutating func take(_ frame: FrameValue) -> Ending? {
        switch frame["kind"] {
        case "output": return takeOutput(frame)
        case "call": return takeCall(frame)
        case "done" where frame["id"] == .integer(exchange.id):
            return WorkerAnswer(frame, interrupted: killAt != nil).result.map(Ending.answered) ?? unknown
        default: break
        }
        if let error = frame["error"], frame["ok"] == false {
            return .killed(ScriptFailure(error, file: "the script").error)
        }
        return unknown
    }

    private var unknown: Ending { .killed(lost("answered in a form that is not known")) }

    private mutating func takeOutput(_ frame: FrameValue) -> Ending? {
        guard case .string(let text) = frame["text"] else { return unknown }
        outputBytes += text.utf8.count
        guard outputBytes <= Self.mostOutput else { return .killed(lost("printed without end")) }
        guard killAt == nil else { return nil }
        isPrinting = true
        // A thread reaches asynchronous code by a task only; the thread waits for it.
        Task { [exchange] in
            await exchange.host.output(text)
            exchange.send(.printed)
        }
        return nil
    }

    private mutating func takeCall(_ frame: FrameValue) -> Ending? {
        guard case .integer(let call) = frame["id"], case .string(let name) = frame["name"],
            case .array(let arguments) = frame["arguments"], waiting == nil
        else { return unknown }
        calls += 1
        guard calls <= exchange.limits.calls else { return .killed(limitReached("called the host too often")) }
        guard killAt == nil else { return nil }
        let task = Task { [exchange] in
            let reply = await HostReply(exchange.host, name, arguments)
            exchange.send(.reply(call: call, frame: reply.frame(call: call)))
        }
        waiting = (call, task, .now)
        return nil
    }

    private func lost(_ how: String) -> ScriptingError {
        ScriptingError(
            .internalWorkerLost, "worker lost, variables gone: it \(how)",
            hint: Self.goesOn)
    }

    /// What a session's person should know of a worker that is gone.
    private static let goesOn = "The session goes on with a fresh worker; define again what you need."

    private func limitReached(_ how: String) -> ScriptingError {
        ScriptingError(
            .callerLimitExceeded, "the script \(how) and could not be stopped; its worker was killed, variables gone",
            hint: "Look for a loop without end in it.")
    }
}

/// What the host answers to a call.
private struct HostReply {
    private let value: Result<FrameValue, any Error>

    init(_ host: any ScriptHost, _ name: String, _ arguments: [FrameValue]) async {
        do { value = .success(try await host.call(name, arguments)) } catch { value = .failure(error) }
    }

    func frame(call: Int64) -> [UInt8] {
        do {
            return try FrameEncoder().frame(["kind": "reply", "id": .integer(call), "value": try value.get()])
        } catch let error as FrameError {
            return refusal(call, "callerLimitExceeded", "the answer is too large: \(error.message)", nil)
        } catch let error as any CodedError {
            return refusal(call, error.codeName, error.message, error.hint)
        } catch is CancellationError {
            return refusal(call, "callerInterrupted", "the call was interrupted", nil)
        } catch {
            return refusal(call, "internalFailure", "\(error)", nil)
        }
    }

    private func refusal(_ call: Int64, _ code: String, _ message: String, _ hint: String?) -> [UInt8] {
        var error: [String: FrameValue] = ["code": .string(code), "message": .string(message)]
        if let hint { error["hint"] = .string(hint) }
        let frame: FrameValue = ["kind": "reply", "id": .integer(call), "error": .map(error)]
        return (try? FrameEncoder().frame(frame)) ?? []
    }
}
