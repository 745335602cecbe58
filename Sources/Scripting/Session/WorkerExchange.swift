internal import Foundation
internal import Frames
internal import KeyModel
internal import Synchronization

/// One run in a session's worker: what is said to and by it, and how it is made to end.
///
/// A thread of its own blocks on the worker's socket; the host's answers, which come from elsewhere, wake it by a bell.
final class WorkerExchange: Sendable {
    /// What is posted to the thread.
    enum Mail: Sendable {
        /// The host's answer to the call of this number, as a frame.
        case reply(call: Int64, frame: [UInt8])
        /// The output that was handed on has been taken.
        case printed
    }

    /// What was posted and not yet looked at.
    struct Post: Sendable {
        var mail: [Mail] = []
        var isInterrupted = false
        var isKilled = false
    }

    let worker: SessionWorker
    let id: Int64
    let request: FrameValue
    let limits: ScriptLimits
    let host: any ScriptHost
    private let post = Mutex(Post())

    init(worker: SessionWorker, id: Int64, request: FrameValue, limits: ScriptLimits, host: any ScriptHost) {
        self.worker = worker
        self.id = id
        self.request = request
        self.limits = limits
        self.host = host
    }

    /// Runs to the end; cancelling interrupts it.
    func perform() async throws -> ScriptResult {
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation {
                (continuation: CheckedContinuation<Result<ScriptResult, any Error>, Never>) in
                Thread.detachNewThread { continuation.resume(returning: Result { try self.performBlocking() }) }
            }
        } onCancel: {
            interrupt()
        }
        return try outcome.get()
    }

    /// Asks the run to end; after 250 ms its worker is killed.
    func interrupt() { change { $0.isInterrupted = true } }

    /// Has the worker killed.
    func kill() { change { $0.isKilled = true } }

    /// Posts to the thread.
    func send(_ mail: Mail) { change { $0.mail.append(mail) } }

    /// What was posted since the last look.
    func takePost() -> Post {
        post.withLock { post in
            defer { post.mail = [] }
            return post
        }
    }

    private func change(_ body: (inout Post) -> Void) {
        post.withLock { body(&$0) }
        worker.ring()
    }

    private func performBlocking() throws -> ScriptResult {
        do {
            let process = try worker.take()
            var talk = WorkerTalk(self, start: process.processorTime)
            let ending = talk.run(process)
            switch ending {
            case .answered(let answer):
                worker.put(process)
                return try answer.get()
            case .closed: throw talk.loss(process.end())
            case .killed(let error): throw error
            }
        } catch {
            if !(worker.isIdle) { worker.end() }
            throw error
        }
    }
}
