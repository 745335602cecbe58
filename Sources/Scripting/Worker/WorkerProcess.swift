internal import CProcess
internal import Glibc

/// A running `keyturn-lua` and our end of its socket; ends with its scope, killed and reaped.
///
/// A worker that is left behind, since this process was killed, ends by itself when it finds its socket closed.
struct WorkerProcess: ~Copyable {
    /// How a worker ended.
    enum Ending: Equatable {
        /// By itself.
        case exit(status: Int32)
        /// By a signal that was not ours.
        case signal(Int32)
        /// By us, since it would not end.
        case killed
    }

    /// What an exchange of bytes can come to.
    enum Transfer: Equatable {
        /// As many bytes as were moved.
        case moved(Int)
        /// The other end is closed.
        case closed
        /// The time is over.
        case late
    }

    /// The process.
    let pid: pid_t
    /// Our end of the socket.
    let channel: Int32

    /// Starts a worker with a clean environment, no input or output but the socket on descriptor 3, and its own group.
    ///
    /// - Throws: ``ScriptingError`` with `internalWorkerMissing`.
    init(path: String) throws(ScriptingError) {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw cannotStart(errno) }
        defer { _ = close(ends[1]) }
        var pid: pid_t = 0
        let failure = spawn(path, socket: ends[1], pid: &pid)
        guard failure == 0 else {
            _ = close(ends[0])
            throw cannotStart(failure)
        }
        self.pid = pid
        channel = ends[0]
    }

    deinit {
        _ = close(channel)
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }

    /// Sends bytes until all are gone, the worker has closed its end, or the time is over.
    func send(_ bytes: [UInt8], until deadline: ContinuousClock.Instant) -> Transfer {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard isReady(POLLOUT, until: deadline) else { return .late }
            let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
            let count = rest.withUnsafeBytes { Glibc.send(channel, $0.baseAddress, $0.count, flags) }
            if count > 0 {
                rest.removeFirst(count)
            } else if errno != EAGAIN, errno != EINTR {
                return .closed
            }
        }
        return .moved(bytes.count)
    }

    /// Receives the next bytes into a buffer.
    func receive(into buffer: inout [UInt8], until deadline: ContinuousClock.Instant) -> Transfer {
        while true {
            guard isReady(POLLIN, until: deadline) else { return .late }
            let count = buffer.withUnsafeMutableBytes {
                recv(channel, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
            }
            if count > 0 { return .moved(count) }
            if count == 0 || (errno != EAGAIN && errno != EINTR) { return .closed }
        }
    }

    /// What a wait for both a worker and the host came to.
    struct Signs {
        /// Whether bytes can be received, or the worker has closed its end.
        var isReadable = false
        /// Whether the bell has been rung; it is silent again.
        var isRung = false
    }

    /// Waits until bytes can be received, where that is of interest, the bell is rung, or the time is over.
    func wait(bell: Int32, reads: Bool, atMost time: Duration) -> Signs {
        // Without interest poll(2) still tells that the other end is closed.
        var entries = [
            pollfd(fd: channel, events: reads ? Int16(POLLIN) : 0, revents: 0),
            pollfd(fd: bell, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&entries, 2, Int32(clamping: time.wholeMilliseconds)) > 0 else { return Signs() }
        if entries[1].revents != 0 {
            var rung = (0 as UInt64, 0 as UInt64)
            _ = read(bell, &rung, 16)
        }
        return Signs(isReadable: entries[0].revents != 0, isRung: entries[1].revents != 0)
    }

    /// The processor time that the worker has used since it began.
    var processorTime: Duration { .nanoseconds(kt_process_nanoseconds(pid)) }

    /// Waits a second for a worker that has closed its end, then kills it.
    consuming func end() -> Ending {
        let pid = self.pid
        let channel = self.channel
        discard self
        _ = close(channel)
        var status: Int32 = 0
        for _ in 0..<500 {
            if waitpid(pid, &status, WNOHANG) == pid { return Self.ending(status) }
            poll(nil, 0, 2)
        }
        kill(pid, SIGKILL)
        waitpid(pid, &status, 0)
        return .killed
    }

    /// Waits until the socket can be used; false when the time is over.
    private func isReady(_ events: Int32, until deadline: ContinuousClock.Instant) -> Bool {
        while true {
            let left = deadline - .now
            guard left > .zero else { return false }
            var entry = pollfd(fd: channel, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: left.wholeMilliseconds))
            if count > 0 { return true }
        }
    }

    /// Reads a status as wait(2) gives it.
    private static func ending(_ status: Int32) -> Ending {
        let signal = status & 0x7F
        return signal == 0 ? .exit(status: status >> 8 & 0xFF) : .signal(signal)
    }
}

private func cannotStart(_ number: Int32) -> ScriptingError {
    ScriptingError(
        .internalWorkerMissing, "cannot start the Lua worker: \(String(cString: strerror(number)))",
        hint: "Check that keyturn-lua is installed beside keyturn and may be executed.")
}

/// Starts the program; returns 0, or the number of the error.
private func spawn(_ path: String, socket: Int32, pid: inout pid_t) -> Int32 {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_adddup2(&actions, socket, 3)
    for descriptor in 0...2 as ClosedRange<Int32> {
        posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    resetSignals(&attributes)
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("keyturn-lua"), nil]
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup("LC_ALL=C"), nil]
    defer { (arguments + environment).forEach { free($0) } }
    return posix_spawn(&pid, path, &actions, &attributes, &arguments, &environment)
}

/// Gives the worker every signal as a fresh process has it, and a group, so that Ctrl-C is ours alone.
private func resetSignals(_ attributes: inout posix_spawnattr_t) {
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
    posix_spawnattr_setflags(&attributes, Int16(flags))
}
