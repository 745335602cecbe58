package import ControlStore
package import Frames
internal import Synchronization

/// The texts of a configuration as they were read, and a way to call the functions that they declare.
///
/// Every call runs in a state of its own that is made from the texts anew, so that none leaves anything to the next.
package final class ConfigurationScript: Sendable {
    /// The texts of the folder `scripts`, for `use` in sessions.
    package let library: ScriptLibrary
    private let texts: ScriptLibrary
    private let workerPath: String
    /// Workers that wait for the next call of a schedule.
    private let idle = Mutex<[SessionWorker]>([])

    private static let mostIdle = 2
    /// The time that the texts may take to be read anew, which is not counted against the function.
    private static let reading = ScriptLimits(processorTime: .seconds(6), time: .seconds(12))

    init(texts: ScriptLibrary, workerPath: String) {
        self.texts = texts
        self.workerPath = workerPath
        library = ScriptLibrary(texts: Array(texts.texts.dropFirst()))
    }

    /// Calls a hook in a worker of its own.
    ///
    /// - Parameters:
    ///   - hook: The hook.
    ///   - argument: What its function gets.
    ///   - functions: The host's functions that it finds.
    ///   - host: Performs its calls and takes what it prints.
    ///   - limits: What it may use up; default: as the hook declares.
    /// - Returns: What it gave back.
    /// - Throws: As ``ScriptSession/run(text:name:isInteractive:arguments:limits:)``.
    /// - Important: Cancelling interrupts it; what it has called already may have had its effect.
    package func call(
        _ hook: HookDeclaration, argument: FrameValue, functions: [String], host: any ScriptHost,
        limits: ScriptLimits? = nil
    ) async throws -> ScriptResult {
        let target: [String: FrameValue] = [
            "word": "hook", "name": .string(hook.stage.rawValue), "index": .integer(Int64(hook.index)),
        ]
        let limits = limits ?? .hook(within: hook.timeout)
        return try await evaluate(target, argument, limits, in: makeWorker(functions), host)
    }

    /// Calls a function of a schedule: without the host, without a clock, without random numbers, so that what it gives back
    /// depends on its argument alone.
    ///
    /// - Parameters:
    ///   - name: The schedule.
    ///   - function: Which of its functions.
    ///   - context: What the function gets.
    /// - Returns: What it gave back; null for nothing.
    /// - Throws: ``RaisedError``, or ``ScriptingError`` with `callerLimitExceeded` beyond 50 ms of the processor.
    package func callSchedule(
        _ name: String, function: ScheduleDeclaration.Function, context: FrameValue
    ) async throws -> FrameValue {
        let worker = idle.withLock { $0.popLast() } ?? makeWorker([])
        let target: [String: FrameValue] = [
            "word": "schedule", "name": .string(name), "function": .string(function.rawValue),
        ]
        let result = try await evaluate(target, context, .schedule, in: worker, SilentHost())
        if worker.isUsable { idle.withLock { if $0.count < Self.mostIdle { $0.append(worker) } } }
        return result.values.first ?? .null
    }

    /// Calls the function that a schedule gives as its action, in a worker of its own.
    ///
    /// - Parameters:
    ///   - name: The schedule.
    ///   - argument: What its function gets.
    ///   - functions: The host's functions that it finds.
    ///   - host: Performs its calls and takes what it prints.
    ///   - limits: What it may use up.
    /// - Returns: What it gave back.
    /// - Throws: As ``ScriptSession/run(text:name:isInteractive:arguments:limits:)``.
    /// - Important: Cancelling interrupts it; what it has called already may have had its effect.
    package func callAction(
        of name: String, argument: FrameValue, functions: [String], host: any ScriptHost,
        limits: ScriptLimits = .hook(within: HookDeclaration.usualTimeout)
    ) async throws -> ScriptResult {
        let target: [String: FrameValue] = ["word": "schedule", "name": .string(name), "function": "action"]
        return try await evaluate(target, argument, limits, in: makeWorker(functions), host)
    }

    private func evaluate(
        _ target: [String: FrameValue], _ argument: FrameValue, _ limits: ScriptLimits, in worker: SessionWorker,
        _ host: any ScriptHost
    ) async throws -> ScriptResult {
        var request = target
        request["kind"] = "evaluate"
        request["id"] = 1
        request["sources"] = texts.frame
        request["argument"] = argument
        request["limits"] = limits.frame
        let whole = ScriptLimits(
            processorTime: limits.processorTime + Self.reading.processorTime, time: limits.time + Self.reading.time,
            calls: limits.calls)
        return try await WorkerExchange(worker: worker, id: 1, request: .map(request), limits: whole, host: host)
            .perform()
    }

    private func makeWorker(_ functions: [String]) -> SessionWorker {
        SessionWorker(ScriptSession.Settings(workerPath: workerPath, functions: functions))
    }
}

/// Takes no calls and shows nothing.
private struct SilentHost: ScriptHost {
    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue { .null }
    func output(_ text: String) async {}
}
