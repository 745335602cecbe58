internal import CProcess
internal import Glibc
internal import Synchronization

/// A connected socket: bytes in as somebody asks for them, bytes out in order, neither of which ever blocks a thread.
///
/// What waits to be sent is bounded by its users: they look at ``hasRoom`` or wait for it. A peer that takes nothing for
/// the stall limit is cut off.
final class SocketConnection: EventHandler {
    /// Why a connection ended.
    enum Ending: Hashable, Sendable {
        /// We closed it, or said all there was to say.
        case closed
        /// The other end closed it.
        case hungUp
        /// The other end said nothing in time.
        case silent
        /// The other end took nothing in time.
        case stalled
        /// The other end sent more descriptors than it may.
        case tooManyDescriptors
    }

    /// How much waits and how long.
    struct Limits: Sendable {
        /// How many bytes wait to be sent before users hold back.
        var queuedBytes = 1 << 20
        /// How long nothing may be taken while bytes wait.
        var stall: Duration = .seconds(300)
    }

    private struct State {
        var descriptor: Int32
        var token: UInt64 = 0
        var output = OutputQueue()
        var received: [Int32] = []
        var receiver: CheckedContinuation<Void, Never>?
        var waiters: [RoomWaiter] = []
        var silence: ContinuousClock.Instant?
        var stall: ContinuousClock.Instant?
        var closesWhenSent = false
        var ending: Ending?
    }

    /// Somebody who waits until less is queued.
    private struct RoomWaiter {
        let continuation: CheckedContinuation<Bool, Never>
        let until: ContinuousClock.Instant?

        func isLate(at now: ContinuousClock.Instant) -> Bool { until.map { $0 <= now } ?? false }
    }

    private let loop: EventLoop
    private let limits: Limits
    private let state: Mutex<State>

    /// Takes over a connected, non-blocking socket.
    ///
    /// - Throws: ``ControlError`` with `callerLimitExceeded` where the system watches no more; the socket is closed then.
    init(_ descriptor: Int32, on loop: EventLoop, limits: Limits = Limits()) throws {
        self.loop = loop
        self.limits = limits
        state = Mutex(State(descriptor: descriptor))
        guard let token = loop.add(descriptor, self) else {
            let reason = String(cString: strerror(errno))
            Glibc.close(descriptor)
            throw ControlError(.callerLimitExceeded, "cannot watch a socket: \(reason)")
        }
        state.withLock { $0.token = token }
    }

    /// Why it ended; nil while it lives.
    var ending: Ending? { state.withLock { $0.ending } }

    /// Whether less is queued than the limit.
    var hasRoom: Bool { state.withLock { $0.output.count < limits.queuedBytes } }

    // MARK: Reading

    /// Waits for the next bytes; nil once the connection has ended.
    ///
    /// One task receives at a time.
    func receive() async -> [UInt8]? {
        while true {
            switch state.withLock({ take(&$0) }) {
            case .bytes(let bytes): return bytes
            case .nothing: await becomeReadable()
            case .end(let ending):
                close(ending)
                return nil
            }
        }
    }

    /// Hands over the oldest descriptors that came, which the caller closes; nil where there are not as many.
    func takeDescriptors(_ count: Int) -> [Int32]? {
        state.withLock { state in
            guard count <= state.received.count else { return nil }
            defer { state.received.removeFirst(count) }
            return Array(state.received.prefix(count))
        }
    }

    /// Whether descriptors came that nobody has taken.
    var holdsDescriptors: Bool { state.withLock { !$0.received.isEmpty } }

    /// Ends the connection unless it is called again, with nil, before that instant.
    func endWhenSilent(after instant: ContinuousClock.Instant?) {
        state.withLock { state in
            state.silence = instant
            setDeadline(state)
        }
    }

    // MARK: Writing

    /// Sends bytes, or queues what the other end does not take at once.
    ///
    /// - Parameters:
    ///   - bytes: Whole frames.
    ///   - descriptors: Go with the first byte; they stay the caller's where this returns false, and are closed otherwise.
    /// - Returns: False where the connection has ended.
    @discardableResult
    func send(_ bytes: [UInt8], descriptors: [Int32] = []) -> Bool {
        let waiters: [RoomWaiter]? = state.withLock { state in
            guard state.ending == nil, !state.closesWhenSent else { return nil }
            state.output.append(bytes, descriptors: descriptors)
            flush(&state)
            arm(state)
            return waitersWithRoom(&state)
        }
        waiters?.forEach { $0.continuation.resume(returning: true) }
        return waiters != nil
    }

    /// Waits until there is room.
    ///
    /// - Returns: False where there was none in time, or the connection has ended.
    func waitForRoom(within patience: Duration? = nil) async -> Bool {
        await withCheckedContinuation { continuation in
            let answer: Bool? = state.withLock { state in
                if state.ending != nil { return false }
                if state.output.count < limits.queuedBytes { return true }
                state.waiters.append(RoomWaiter(continuation: continuation, until: patience.map { .now + $0 }))
                setDeadline(state)
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    // MARK: Ending

    /// Ends the connection; the first reason counts.
    func close(_ ending: Ending = .closed) {
        let (receiver, waiters) = state.withLock { end(&$0, ending) }
        receiver?.resume()
        waiters.forEach { $0.resume(returning: false) }
    }

    /// Ends the connection once everything that is queued is sent; nothing more is queued or received.
    func closeWhenSent() {
        let isSent = state.withLock { state in
            state.closesWhenSent = true
            return state.output.isEmpty
        }
        if isSent { close() }
    }

    // MARK: What the loop tells

    func becameReady(readable: Bool, writable: Bool) {
        var receiver: CheckedContinuation<Void, Never>?
        var ready: [RoomWaiter] = []
        let isDone = state.withLock { state in
            guard state.ending == nil else { return false }
            if readable {
                receiver = state.receiver
                state.receiver = nil
            }
            if writable { flush(&state) }
            ready = waitersWithRoom(&state)
            setDeadline(state)
            arm(state)
            return state.closesWhenSent && state.output.isEmpty
        }
        receiver?.resume()
        ready.forEach { $0.continuation.resume(returning: true) }
        if isDone { close() }
    }

    func deadlinePassed() {
        let now = ContinuousClock.now
        var late: [RoomWaiter] = []
        let ending: Ending? = state.withLock { state in
            if let silence = state.silence, silence <= now { return .silent }
            if let stall = state.stall, stall <= now { return .stalled }
            late = state.waiters.filter { $0.isLate(at: now) }
            state.waiters.removeAll { $0.isLate(at: now) }
            setDeadline(state)
            return nil
        }
        late.forEach { $0.continuation.resume(returning: false) }
        if let ending { close(ending) }
    }

    // MARK: Under the lock

    private enum Taken {
        case bytes([UInt8]), nothing, end(Ending)
    }

    private func take(_ state: inout State) -> Taken {
        if let ending = state.ending { return .end(ending) }
        var came = [Int32](repeating: -1, count: Int(KT_SOCKET_DESCRIPTORS))
        var cameCount = 0
        var isTruncated: Int32 = 0
        var failure: Int32 = 0
        var got = 0
        let bytes = withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { room in
            got = kt_socket_receive(state.descriptor, room.baseAddress, room.count, &came, &cameCount, &isTruncated)
            failure = errno
            return Array(room.prefix(max(0, got)))
        }
        state.received += came.prefix(cameCount)
        if isTruncated != 0 || state.received.count > Int(KT_SOCKET_DESCRIPTORS) { return .end(.tooManyDescriptors) }
        if got > 0 { return .bytes(bytes) }
        return got < 0 && failure == EAGAIN ? .nothing : .end(.hungUp)
    }

    private func flush(_ state: inout State) {
        let before = state.output.count
        guard state.output.send(to: state.descriptor) else {
            // The reader learns of the end, after what came before it.
            state.output = OutputQueue()
            state.stall = nil
            return setDeadline(state)
        }
        if state.output.isEmpty {
            state.stall = nil
        } else if state.output.count < before || state.stall == nil {
            state.stall = .now + limits.stall
        }
        setDeadline(state)
    }

    private func waitersWithRoom(_ state: inout State) -> [RoomWaiter] {
        guard state.output.count < limits.queuedBytes else { return [] }
        defer { state.waiters = [] }
        return state.waiters
    }

    private func setDeadline(_ state: State) {
        guard state.ending == nil else { return }
        let all = [state.silence, state.stall].compactMap { $0 } + state.waiters.compactMap(\.until)
        loop.setDeadline(state.token, all.min())
    }

    private func arm(_ state: State) {
        guard state.ending == nil else { return }
        let wantsBytes = state.receiver != nil
        guard wantsBytes || !state.output.isEmpty else { return }
        loop.arm(state.token, state.descriptor, readable: wantsBytes, writable: !state.output.isEmpty)
    }

    private func end(
        _ state: inout State, _ ending: Ending
    ) -> (CheckedContinuation<Void, Never>?, [CheckedContinuation<Bool, Never>]) {
        guard state.ending == nil else { return (nil, []) }
        state.ending = ending
        loop.remove(state.token, state.descriptor)
        Glibc.close(state.descriptor)
        state.received.forEach { _ = Glibc.close($0) }
        state.received = []
        state.output = OutputQueue()
        defer {
            state.receiver = nil
            state.waiters = []
        }
        return (state.receiver, state.waiters.map(\.continuation))
    }

    private func becomeReadable() async {
        await withCheckedContinuation { continuation in
            let hasEnded = state.withLock { state in
                guard state.ending == nil else { return true }
                precondition(state.receiver == nil, "two tasks receive from one socket")
                state.receiver = continuation
                arm(state)
                return false
            }
            if hasEnded { continuation.resume() }
        }
    }
}
