internal import CProcess
internal import Dispatch
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import PluginWire
internal import Synchronization

/// Watches a child: reads its output, drains its errors, notices its end and reaps its guard, which has ended whatever the
/// child had started.
final class ChildWatch: Sendable {
    let pid: pid_t

    private let child: kt_child
    private let log: @Sendable (LineDrain.Line) -> Void
    private let state = Mutex(State())

    /// How many milliseconds the thread of a watch that nobody holds any more may go on.
    private static let pollTime: Int32 = 500
    /// How long a guard may take to end what it guards.
    private static let guardTime = Duration.seconds(5)

    private struct State {
        var output = Data()
        var isOutputClosed = false
        var ending: ProcessEnding?
        var isInputOpen = true
        var drain = LineDrain()
        var lastLine: String?
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter = 0
    }

    init(_ child: kt_child, log: @escaping @Sendable (LineDrain.Line) -> Void) {
        self.child = child
        self.log = log
        pid = child.pid
        Pipes.makeNonBlocking(child.output)
        Pipes.makeNonBlocking(child.errors)
        // A thread of its own, not sources of Dispatch, which touches freed memory where the other end of a pipe hangs up.
        Thread.detachNewThread { [weak self] in
            Self.watch(child) { self }
        }
    }

    deinit { state.withLock { if $0.isInputOpen { close(child.input) } } }

    var ending: ProcessEnding? { state.withLock { $0.ending } }

    /// Lets go of its standard input, by which it knows that it shall end.
    func closeInput() {
        state.withLock { state in
            if state.isInputOpen { close(child.input) }
            state.isInputOpen = false
        }
    }

    /// Sends a signal to its whole group, while its leader is not reaped.
    func signal(_ number: Int32) { send(number, to: -child.guard) }

    /// Has its guard kill it with everything that it started, and waits until all is gone.
    func kill() async {
        send(SIGHUP, to: child.guard)
        // A plugin of the same user may have stopped it.
        send(SIGCONT, to: child.guard)
        closeInput()
        if await hasEnded(within: Self.guardTime) { return }
        signal(SIGKILL)
        await waitUntilEnded()
    }

    private func send(_ number: Int32, to process: pid_t) {
        state.withLock { state in
            guard state.ending == nil else { return }
            _ = Foundation.kill(process, number)
        }
    }

    func waitUntilEnded() async {
        while ending == nil { await change() }
    }

    /// Whether it ends within a time.
    func hasEnded(within time: Duration) async -> Bool {
        let deadline = ContinuousClock.now + time
        while ending == nil, .now < deadline { await change(before: deadline) }
        return ending != nil
    }

    /// The first line that it prints.
    ///
    /// - Throws: `ProviderError` where it prints none in time, prints too much, or ends; exit codes 126 and 127 are
    ///   `providerMisconfigured`, since trying again cannot help.
    func firstLine(within time: Duration, of path: String) async throws(ProviderError) -> Data {
        let deadline = ContinuousClock.now + time
        while true {
            let (output, ending, isClosed, last) = state.withLock {
                ($0.output, $0.ending, $0.isOutputClosed, $0.lastLine)
            }
            if let end = output.firstIndex(of: UInt8(ascii: "\n")), end < Handshake.maximumCount {
                return output[..<end]
            }
            guard output.count < Handshake.maximumCount else {
                throw refuse(path, "prints more than 4 KiB before its handshake", last, .providerMisconfigured)
            }
            if let ending {
                let isFinal = [.exited(126), .exited(127), .exited(64)].contains(ending)
                throw refuse(
                    path, "printed no handshake: \(ending.words)", last,
                    isFinal ? .providerMisconfigured : .providerUnavailable)
            }
            guard .now < deadline else {
                let what = isClosed ? "closed its standard output without" : "printed no"
                throw refuse(path, "\(what) handshake within \(time.components.seconds) s", last, .providerUnavailable)
            }
            await change(before: deadline)
        }
    }

    private func refuse(
        _ path: String, _ why: String, _ last: String?, _ code: ProviderError.Code
    ) -> ProviderError {
        let said = last.map { "; its last words: \(quoted($0))" } ?? ""
        return ProviderError(
            code, "the plugin \(quoted(path)) \(why)\(said)",
            hint: "Run \"keyturn plugin test\" on it; its standard error says more."
        )
    }
}

/// What happens on the thread.
extension ChildWatch {
    /// Serves a child's descriptors until they have ended, or until nobody holds the watch any more; then closes them.
    private static func watch(_ child: kt_child, for holder: () -> ChildWatch?) {
        var open = [child.output, child.errors, child.pidfd]
        defer { for descriptor in open { close(descriptor) } }
        while !open.isEmpty {
            var entries = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let count = poll(&entries, nfds_t(entries.count), pollTime)
            guard let watch = holder() else { return }
            guard count > 0 else { continue }
            for entry in entries where entry.revents != 0 && watch.hasEnded(entry.fd) {
                open.removeAll { $0 == entry.fd }
                close(entry.fd)
            }
            if !open.contains(child.output) { watch.noteOutputClosed() }
        }
    }

    /// Serves one descriptor that is ready; true once nothing more will come of it.
    private func hasEnded(_ descriptor: Int32) -> Bool {
        switch descriptor {
        case child.output: readOutput()
        case child.errors: readErrors()
        default: reap()
        }
    }

    private func noteOutputClosed() {
        let isNew = state.withLock { state in
            defer { state.isOutputClosed = true }
            return !state.isOutputClosed
        }
        if isNew { wake() }
    }

    private func readOutput() -> Bool {
        var bytes = Data(count: 4096)
        let count = bytes.withUnsafeMutableBytes { read(child.output, $0.baseAddress, $0.count) }
        guard count > 0 else { return count == 0 || errno != EAGAIN }
        // Beyond the handshake nothing is expected, and nothing is kept.
        state.withLock { state in
            if state.output.count < Handshake.maximumCount { state.output += bytes.prefix(count) }
        }
        wake()
        return false
    }

    private func readErrors() -> Bool {
        var bytes = Data(count: 65536)
        let count = bytes.withUnsafeMutableBytes { read(child.errors, $0.baseAddress, $0.count) }
        guard count > 0 else { return count == 0 || errno != EAGAIN }
        let now = Duration.nanoseconds(Int64(clamping: DispatchTime.now().uptimeNanoseconds))
        let lines = state.withLock { state in
            let lines = state.drain.take(bytes.prefix(count), at: now)
            if let last = lines.last { state.lastLine = last.text }
            return lines
        }
        lines.forEach(log)
        // A flood is drained, but not at the price of a processor.
        if count == 65536 { usleep(2000) }
        return false
    }

    /// Notices the end: what is left of the group is killed before the leader's number can be given to another process.
    private func reap() -> Bool {
        var status: siginfo_t = siginfo_t()
        guard waitid(P_PID, id_t(child.guard), &status, WEXITED | WNOHANG | WNOWAIT) == 0, status.si_signo == SIGCHLD
        else {
            return false
        }
        state.withLock { state in
            // Nothing is left where the guard was not killed itself.
            _ = Foundation.kill(-child.guard, SIGKILL)
            var code: Int32 = 0
            while waitpid(child.guard, &code, 0) < 0, errno == EINTR { continue }
            let signal = code & 0x7F
            state.ending = signal == 0 ? .exited((code >> 8) & 0xFF) : .killed(signal: signal)
        }
        wake()
        return true
    }

    /// Waits until something happens, or until a deadline.
    private func change(before deadline: ContinuousClock.Instant? = nil) async {
        let left = deadline.map { max(.zero, $0 - .now) } ?? .milliseconds(200)
        let seconds = Double(left.components.seconds) + Double(left.components.attoseconds) / 1e18
        await withCheckedContinuation { continuation in
            let number = state.withLock { state in
                state.nextWaiter += 1
                state.waiters[state.nextWaiter] = continuation
                return state.nextWaiter
            }
            DispatchQueue.global().asyncAfter(deadline: .now() + min(seconds, 0.2)) { [weak self] in
                self?.resume(number)
            }
        }
    }

    private func resume(_ number: Int) {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: number) }
        waiter?.resume()
    }

    private func wake() {
        let waiters = state.withLock { state in
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume() }
    }
}
