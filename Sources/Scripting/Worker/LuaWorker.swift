internal import Foundation
internal import Frames

/// Puts one request to a fresh worker and hands out its answer; whatever the worker does, it is gone afterwards.
struct LuaWorker: Sendable {
    /// The program.
    let path: String
    /// How long the exchange may last; a worker that is late is killed.
    let time: Duration

    /// Starts a worker, asks, and reaps it.
    ///
    /// Runs on a thread of its own, since it blocks. Cancelling does not shorten it; it ends within the time given.
    ///
    /// - Parameters:
    ///   - request: What the worker is to do.
    ///   - purpose: The same in words, for messages: `reading keyturn.lua`.
    /// - Returns: The answer, also where it reports a failure of the script.
    /// - Throws: ``ScriptingError`` with `internalWorkerMissing`, `internalWorkerFailed` or `callerLimitExceeded`.
    func ask(_ request: FrameValue, purpose: String) async throws(ScriptingError) -> FrameValue {
        let answer: Result<FrameValue, ScriptingError> = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    returning: Result { () throws(ScriptingError) in try askBlocking(request, purpose: purpose) })
            }
        }
        return try answer.get()
    }

    private func askBlocking(_ request: FrameValue, purpose: String) throws(ScriptingError) -> FrameValue {
        let deadline = ContinuousClock.now + time
        let worker = try WorkerProcess(path: path)
        // A worker that closes its end early may have said why before.
        if worker.send(try encode(request, purpose), until: deadline) == .late { throw late(purpose) }
        var reader = FrameReader()
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            switch worker.receive(into: &buffer, until: deadline) {
            case .late: throw late(purpose)
            case .closed: throw failure(worker.end(), purpose)
            case .moved(let count): reader.append(buffer[..<count])
            }
            if let answer = try decode(&reader, purpose) { return answer }
        }
    }

    private func encode(_ request: FrameValue, _ purpose: String) throws(ScriptingError) -> [UInt8] {
        do throws(FrameError) { return try FrameEncoder().frame(request) } catch {
            throw ScriptingError(.callerLimitExceeded, "the Lua worker cannot begin \(purpose): \(error.message)")
        }
    }

    private func decode(_ reader: inout FrameReader, _ purpose: String) throws(ScriptingError) -> FrameValue? {
        do throws(FrameError) { return try reader.next() } catch {
            throw ScriptingError(
                .internalWorkerFailed, "the Lua worker sent what is no answer while \(purpose): \(error.message)",
                cause: error)
        }
    }

    private func late(_ purpose: String) -> ScriptingError {
        let seconds = Double(time.wholeMilliseconds) / 1000
        return ScriptingError(
            .callerLimitExceeded, "the Lua worker did not end within \(seconds) s while \(purpose) and was killed",
            hint: "Look for a loop without end in the script.")
    }

    private func failure(_ ending: WorkerProcess.Ending, _ purpose: String) -> ScriptingError {
        let how =
            switch ending {
            case .exit(let status): "ended with status \(status)"
            case .signal(let number): "was killed by signal \(number)"
            case .killed: "closed its socket and had to be killed"
            }
        return ScriptingError(
            .internalWorkerFailed, "the Lua worker \(how) while \(purpose)",
            hint: ending == .exit(status: 127) ? "Check that liblua5.4 is installed." : nil)
    }
}
