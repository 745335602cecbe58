internal import Frames
internal import Glibc
internal import Synchronization

/// The worker of a session and what wakes the thread that talks to it; started by that thread, ended with the value.
final class SessionWorker: Sendable {
    private struct State: ~Copyable {
        var process: WorkerProcess?
        var pid: pid_t?
        var hasEnded = false
    }

    private let path: String?
    private let opening: FrameValue
    private let state = Mutex(State())
    /// Readable where something was posted.
    var bell: Int32 { ends.0 }
    /// A pair of sockets that holds a byte for each thing that was posted.
    private let ends: (Int32, Int32)

    /// Describes a worker; starts nothing.
    convenience init(_ settings: ScriptSession.Settings) {
        self.init(
            path: settings.workerPath,
            opening: [
                "kind": "session", "sources": settings.library.frame,
                "functions": .array((settings.functions + ["secret.prompt"]).map(FrameValue.string)),
                "limits": [
                    "memory_bytes": .integer(settings.memoryBytes), "output_bytes": .integer(settings.outputBytes),
                    "cpu_ms": .integer(86_400_000),
                ],
            ])
    }

    /// Describes a worker; starts nothing.
    init(path: String?, opening: FrameValue) {
        self.path = path
        self.opening = opening
        var ends: [Int32] = [-1, -1]
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        _ = socketpair(AF_UNIX, Int32(kind), 0, &ends)
        self.ends = (ends[0], ends[1])
    }

    deinit {
        for end in [ends.0, ends.1] where end >= 0 { _ = close(end) }
    }

    /// The process; nil before the first run and after the end.
    var pid: pid_t? { state.withLock { $0.pid } }

    /// Whether another run may use it.
    var isUsable: Bool { state.withLock { !$0.hasEnded } }

    /// Wakes the thread.
    func ring() {
        var one: UInt8 = 1
        // A full one rings, too.
        _ = Glibc.send(ends.1, &one, 1, Int32(MSG_NOSIGNAL))
    }

    /// Takes the process for one exchange, started where it was not; whoever takes it puts it back where it may be used again.
    func take() throws(ScriptingError) -> WorkerProcess {
        if let process = state.withLock({ $0.process.take() }) { return process }
        guard bell >= 0 else {
            throw ScriptingError(.internalWorkerMissing, "cannot start the Lua worker: too many open files")
        }
        let process = try WorkerProcess(path: try WorkerLocation.find(path))
        var frame: [UInt8] = []
        do throws(FrameError) { frame = try FrameEncoder().frame(opening) } catch {
            throw ScriptingError(.callerLimitExceeded, "the Lua worker cannot begin: \(error.message)")
        }
        _ = process.send(frame, until: .now + .seconds(5))
        let pid = process.pid
        state.withLock { $0.pid = pid }
        return process
    }

    /// Whether the process waits for another run.
    var isIdle: Bool { state.withLock { $0.process != nil } }

    /// Notes that the process has ended.
    func end() {
        state.withLock {
            $0.hasEnded = true
            $0.pid = nil
        }
    }

    /// Puts the process back for the next exchange.
    func put(_ process: consuming WorkerProcess) {
        var process: WorkerProcess? = consume process
        state.withLock { $0.process = process.take() }
    }
}
