package import ControlStore
internal import KeyModel
internal import Logging
package import Rotation
internal import Synchronization

/// Drives runs in the background, one at a time; a run belongs to it, not to whoever started it.
package actor RunDriver {
    /// A run that is being driven here.
    private struct Driven {
        let run: Int64
        let interrupt: Interrupt
        let task: Task<RunRecord, any Error>
        let watchers: Broadcast
    }

    private let directory: InstanceDirectory
    private let logger: Logger
    /// Whether the process holds the instance's lock all along; else each run takes it.
    private let holdsLock: Bool
    private var driven: Driven?
    private var isStopping = false

    init(directory: InstanceDirectory, holdsLock: Bool, logger: Logger) {
        self.directory = directory
        self.holdsLock = holdsLock
        self.logger = logger
    }

    /// The run that is being driven here; nil where none is.
    package var run: Int64? { driven.flatMap { $0.watchers.isFinished ? nil : $0.run } }

    /// Records a run and drives it in the background, under one lock, so that nobody else takes it up in between.
    ///
    /// - Parameters:
    ///   - engine: Drives it.
    ///   - options: How; its interrupt and its report are the driver's own.
    ///   - patience: How long another run, or another process of the node, may take to leave.
    ///   - start: Records the run, or names one that is recorded already.
    /// - Returns: The run's number.
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`, or what `start` throws.
    package func launch(
        _ engine: RotationEngine, _ options: DriveOptions, within patience: Duration = .zero,
        start: @Sendable () async throws -> Int64
    ) async throws -> Int64 {
        guard !isStopping else { throw Self.stopping }
        let deadline = ContinuousClock.now + patience
        let lock = holdsLock ? nil : try await HeldLock.take(directory, until: deadline)
        while driven != nil, patience > .zero, .now < deadline { try await Task.sleep(for: .milliseconds(50)) }
        let run = try await start()
        // What was recorded while everything is being stopped waits for the next start.
        guard !isStopping else { throw Self.stopping(beside: run) }
        begin(run, engine, options, holding: lock, after: driven?.task)
        return run
    }

    /// What a run that is driven here reports from now on, and how it is left; nil where it is not driven here.
    package func watch(_ run: Int64) -> (AsyncStream<RunSnapshot>, Task<RunRecord, any Error>)? {
        guard let driven, driven.run == run else { return nil }
        return (driven.watchers.stream(), driven.task)
    }

    /// Stops the run in hand after its batch, ready to be resumed; nothing is driven afterwards.
    ///
    /// - Returns: The run as it was left; nil where none was in hand.
    @discardableResult
    package func stop() async -> RunRecord? {
        isStopping = true
        guard let driven else { return nil }
        driven.interrupt.set()
        return try? await driven.task.value  // why it stopped stands in its record
    }

    /// Stops a run that is driven here after its batch, though its request could not be recorded.
    ///
    /// - Returns: Whether it is driven here.
    package func interrupt(_ run: Int64) -> Bool {
        guard let driven, driven.run == run else { return false }
        driven.interrupt.set()
        return true
    }

    private func begin(
        _ run: Int64, _ engine: RotationEngine, _ options: DriveOptions, holding lock: HeldLock?,
        after previous: Task<RunRecord, any Error>?
    ) {
        let watchers = Broadcast()
        var options = options
        let interrupt = Interrupt()
        options.interrupt = interrupt
        options.report = { watchers.send($0) }
        let chosen = options
        let task = Task {
            _ = await previous?.result
            defer {
                watchers.finish()
                // Held until here.
                withExtendedLifetime(lock) {}
            }
            return try await engine.drive(run, chosen)
        }
        driven = Driven(run: run, interrupt: interrupt, task: task, watchers: watchers)
        Task { [logger] in
            let result = await task.result
            if case .failure(let error) = result {
                let why = (error as? any CodedError)?.message ?? "\(error)"
                logger.debug("run left", metadata: ["run.id": "\(run)", "reason": "\(why)"])
            }
            forget(run, interrupt)
        }
    }

    private func forget(_ run: Int64, _ interrupt: Interrupt) {
        if driven?.interrupt === interrupt { driven = nil }
    }

    private static func stopping(beside run: Int64) -> ControlError {
        ControlError(
            codeName: ControlStoreError.Code.storeLeaseHeld.rawValue,
            "Keyturn is being stopped: run \(run) is recorded and goes on at the next start", status: 2)
    }

    private static var stopping: ControlError {
        ControlError(
            codeName: ControlStoreError.Code.storeLeaseHeld.rawValue, "cannot start: Keyturn is being stopped",
            hint: "Try again once it is back.", status: 2)
    }
}

/// The instance's lock for as long as somebody refers to it.
final class HeldLock: Sendable {
    private let lock: InstanceLock

    private init(_ lock: consuming InstanceLock) { self.lock = lock }

    /// Takes the lock, waiting until a deadline for a process that holds it.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`.
    static func take(_ directory: InstanceDirectory, until deadline: ContinuousClock.Instant) async throws -> HeldLock {
        while true {
            do {
                return HeldLock(try InstanceLock(taking: directory))
            } catch let error as ControlStoreError where error.code == .storeLeaseHeld && .now < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }
}

/// Hands what a run reports to everybody who watches; one who is slow misses some.
final class Broadcast: Sendable {
    private struct State {
        var continuations: [AsyncStream<RunSnapshot>.Continuation] = []
        var last: RunSnapshot?
        var isFinished = false
    }

    private let state = Mutex(State())

    func stream() -> AsyncStream<RunSnapshot> {
        let (stream, continuation) = AsyncStream.makeStream(of: RunSnapshot.self, bufferingPolicy: .bufferingNewest(64))
        state.withLock { state in
            if let last = state.last { continuation.yield(last) }
            if state.isFinished { continuation.finish() } else { state.continuations.append(continuation) }
        }
        return stream
    }

    /// Whether the run is no longer driven.
    var isFinished: Bool { state.withLock { $0.isFinished } }

    func send(_ snapshot: RunSnapshot) {
        state.withLock { state in
            state.last = snapshot
            // Whoever went away is dropped.
            state.continuations.removeAll { if case .terminated = $0.yield(snapshot) { true } else { false } }
        }
    }

    func finish() {
        state.withLock { state in
            state.isFinished = true
            for continuation in state.continuations { continuation.finish() }
            state.continuations = []
        }
    }
}
