internal import CProcess
internal import Foundation
internal import Synchronization

/// What is told that a descriptor is ready or that a time has come.
protocol EventHandler: AnyObject, Sendable {
    /// The descriptor can be read or written, or its other end is gone; it is not watched again until it is armed.
    func becameReady(readable: Bool, writable: Bool)
    /// The deadline that was set has passed, and is set no more.
    func deadlinePassed()
}

/// One thread that wakes whatever waits for a descriptor or for a time.
///
/// It does nothing else: reading, decoding and working happen where the one that was woken runs, so that a flood on one
/// descriptor does not hold up the others.
final class EventLoop: Sendable {
    private struct State {
        var handlers: [UInt64: any EventHandler] = [:]
        var deadlines: [UInt64: ContinuousClock.Instant] = [:]
        var rounds: [CheckedContinuation<Void, Never>] = []
        var lastToken: UInt64 = 0
        var isStopped = false
    }

    private let queue: Int32
    private let waker: Int32
    private let state = Mutex(State())

    /// Starts the thread; it ends with ``stop()``.
    ///
    /// - Throws: ``ControlError`` with `callerLimitExceeded` where the system gives no descriptors.
    init() throws {
        let queue = kt_events_make()
        let waker = kt_events_make_waker()
        guard queue >= 0, waker >= 0, kt_events_add(queue, waker, 0) == 0, kt_events_arm(queue, waker, 0, 1, 0) == 0
        else {
            let reason = String(cString: strerror(errno))
            for descriptor in [queue, waker] where descriptor >= 0 { close(descriptor) }
            throw ControlError(.callerLimitExceeded, "cannot watch sockets: \(reason)")
        }
        self.queue = queue
        self.waker = waker
        let thread = Thread { self.run() }
        thread.name = "keyturn-socket"
        thread.start()
    }

    deinit {
        close(queue)
        close(waker)
    }

    /// Ends the thread; whoever is still watched hears nothing more.
    func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            state.handlers = [:]
            state.deadlines = [:]
            defer { state.rounds = [] }
            return state.rounds
        }
        waiting.forEach { $0.resume() }
        kt_events_wake(waker)
    }

    /// Begins to watch a descriptor, for nothing yet.
    ///
    /// - Returns: The token by which it is armed and removed; nil where the system watches no more.
    func add(_ descriptor: Int32, _ handler: any EventHandler) -> UInt64? {
        state.withLock { state in
            state.lastToken += 1
            guard kt_events_add(queue, descriptor, state.lastToken) == 0 else { return nil }
            state.handlers[state.lastToken] = handler
            return state.lastToken
        }
    }

    /// Watches a descriptor for the next event.
    func arm(_ token: UInt64, _ descriptor: Int32, readable: Bool, writable: Bool) {
        _ = kt_events_arm(queue, descriptor, token, readable ? 1 : 0, writable ? 1 : 0)
    }

    /// Ceases to watch a descriptor, before it is closed.
    func remove(_ token: UInt64, _ descriptor: Int32) {
        _ = kt_events_remove(queue, descriptor)
        state.withLock { state in
            state.handlers[token] = nil
            state.deadlines[token] = nil
        }
    }

    /// Sets or lifts the one deadline of a handler.
    func setDeadline(_ token: UInt64, _ deadline: ContinuousClock.Instant?) {
        let isEarlier = state.withLock { state in
            guard state.handlers[token] != nil else { return false }
            let earliest = state.deadlines.values.min()
            state.deadlines[token] = deadline
            guard let deadline else { return false }
            return earliest.map { deadline < $0 } ?? true
        }
        if isEarlier { kt_events_wake(waker) }
    }

    /// Returns once the thread has come round; proves that it lives.
    func comeRound() async {
        await withCheckedContinuation { continuation in
            let isStopped = state.withLock { state in
                if !state.isStopped { state.rounds.append(continuation) }
                return state.isStopped
            }
            if isStopped { continuation.resume() }
            kt_events_wake(waker)
        }
    }

    private func run() {
        var events = [kt_event](repeating: kt_event(), count: 64)
        while true {
            let patience = state.withLock { $0.isStopped ? nil : timeout($0.deadlines.values.min()) }
            guard let patience else { return }
            let count = Int(kt_events_wait(queue, &events, Int32(events.count), patience))
            for event in events.prefix(max(0, count)) { deliver(event) }
            endRound()
        }
    }

    private func deliver(_ event: kt_event) {
        guard event.token != 0 else {
            kt_events_quiet(waker)
            return arm(0, waker, readable: true, writable: false)
        }
        let handler = state.withLock { $0.handlers[event.token] }
        handler?.becameReady(readable: event.is_readable != 0, writable: event.is_writable != 0)
    }

    /// Wakes whoever waits for a time that has come, or for the thread itself.
    private func endRound() {
        let now = ContinuousClock.now
        let (late, rounds) = state.withLock { state in
            let late = state.deadlines.filter { $0.value <= now }.map(\.key)
            for token in late { state.deadlines[token] = nil }
            defer { state.rounds = [] }
            return (late.compactMap { state.handlers[$0] }, state.rounds)
        }
        late.forEach { $0.deadlinePassed() }
        rounds.forEach { $0.resume() }
    }

    private func timeout(_ deadline: ContinuousClock.Instant?) -> Int32 {
        guard let deadline else { return -1 }
        let (seconds, attoseconds) = (deadline - .now).components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return Int32(clamping: min(seconds, 86_400) * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}
