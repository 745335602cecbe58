internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Rotation

/// Shows a caller how far a run is until it ends, waits for people, or the caller has seen enough.
struct RunWatch {
    /// When a caller stops watching by itself.
    enum Until: String, CaseIterable {
        /// When the run has ended or needs an operator.
        case end
        /// Also when it waits for people.
        case people
        /// At once.
        case none
    }

    let invocation: Invocation
    let run: Int64
    let until: Until

    private static let pollInterval = Duration.milliseconds(250)

    /// Watches; on the way out the run's history is the answer.
    ///
    /// - Throws: What stopped the run where it was driven here, or ``ControlError`` with `callerInterrupted`.
    func answer() async throws -> Answer {
        if until != .none {
            if let (stream, task) = await invocation.service.driver.watch(run) {
                try await follow(stream, task)
            } else {
                try await poll()
            }
        }
        return try await history()
    }

    private func history() async throws -> Answer {
        let history = try await invocation.engine().runHistory(run)
        return try history.answer()
    }

    private func follow(_ stream: AsyncStream<RunSnapshot>, _ task: Task<RunRecord, any Error>) async throws {
        var meter = RateMeter()
        let (ended, signal) = AsyncStream.makeStream(of: RunSnapshot?.self, bufferingPolicy: .unbounded)
        invocation.scope.onCancel { signal.finish() }
        let forward = Task {
            for await snapshot in stream { signal.yield(snapshot) }
            signal.finish()
        }
        defer { forward.cancel() }
        for await case let snapshot? in ended {
            await invocation.client.show(.progress(meter.progress(of: snapshot)))
            if until == .people, snapshot.state == .waiting || snapshot.state == .paused,
                await invocation.service.keepsRuns
            {
                return
            }
        }
        guard invocation.scope.isCancelled else { return try await sayHowItWasLeft(task) }
        // Where the process is about to end, the run ends with it, at its next batch; else it goes on without the watcher.
        guard await invocation.service.keepsRuns else { return try await sayHowItWasLeft(task) }
        throw ControlError(
            .callerInterrupted, "run \(run) is no longer watched; it goes on",
            hint: "Watch it again with runs.watch(\(run)), end it with runs.cancel(\(run)).")
    }

    /// Waits for the run to be left, and says how to go on with it where it is not over.
    private func sayHowItWasLeft(_ task: Task<RunRecord, any Error>) async throws {
        let result = await task.result
        do {
            let left = try await invocation.engine().runHistory(run).run
            switch result {
            case .success where left.state.isOpen:
                await note("run \(run) stopped in \(left.phase.rawValue); go on with: keyturn run resume \(run)")
            case .failure where left.state.isOpen:
                await note(
                    "run \(run) stopped in \(left.phase.rawValue); what was committed stays. Once the cause is gone, go on "
                        + "with: keyturn run resume \(run)")
            case .failure: await note("run \(run) has ended: \(left.state.rawValue)")
            case .success: break
            }
        } catch is any CodedError {
            await note("run \(run) stopped, and the database cannot be asked how it was left")
        }
        _ = try result.get()
    }

    /// Watches a run that another process drives, by what it records.
    private func poll() async throws {
        var meter = RateMeter()
        while true {
            let engine = try await invocation.engine()
            let history = try await engine.runHistory(run)
            let state = history.run.state
            await invocation.client.show(.progress(meter.progress(of: history)))
            if !state.isOpen || state == .needsOperator { return }
            if until == .people, state == .waiting || state == .paused { return }
            // Nobody drives it, so that it would never move.
            if try await engine.liveLease() == nil { return }
            if invocation.scope.isCancelled {
                throw ControlError(.callerInterrupted, "run \(run) is no longer watched; it goes on where it is driven")
            }
            try await Task.sleep(for: Self.pollInterval)
        }
    }

    private func note(_ text: String) async { await invocation.client.show(.note(text)) }
}

/// Works out how fast a run goes on from when it said what.
struct RateMeter {
    private var subject = ""
    private var begun: (at: ContinuousClock.Instant, done: Int64)?

    mutating func progress(of snapshot: RunSnapshot) -> ControlEvent.Progress {
        let waits = snapshot.state == .paused || snapshot.state == .waiting
        return progress(
            run: snapshot.run, phase: snapshot.phase.rawValue, subject: snapshot.column ?? "", done: snapshot.rowsDone,
            total: snapshot.rowsExpected,
            waiting: waits
                ? snapshot.message.map { "\(snapshot.state.rawValue): \($0)" } ?? snapshot.state.rawValue : nil)
    }

    mutating func progress(of history: RunHistory) -> ControlEvent.Progress {
        let (run, parts) = (history.run, history.progress.filter { $0.phase == history.run.phase })
        let waits = run.state == .paused || run.state == .waiting
        return progress(
            run: run.id, phase: run.phase.rawValue, subject: "", done: parts.reduce(0) { $0 + $1.counts.read },
            total: parts.reduce(0) { $0 + $1.expectedRows },
            waiting: waits ? run.message.map { "\(run.state.rawValue): \($0)" } ?? run.state.rawValue : nil)
    }

    private mutating func progress(
        run: Int64, phase: String, subject: String, done: Int64, total: Int64, waiting: String?
    ) -> ControlEvent.Progress {
        let now = ContinuousClock.now
        if self.subject != phase || begun == nil {
            self.subject = phase
            begun = (now, done)
        }
        let seconds = begun.map { (now - $0.at) / .seconds(1) } ?? 0
        let moved = Double(done - (begun?.done ?? done))
        let rate = seconds > 0.2 ? max(0, moved / seconds) : 0
        let left = rate > 0 && total > done ? Int64(Double(total - done) / rate * 1000) : nil
        return ControlEvent.Progress(
            run: run, phase: phase, subject: subject, done: done, total: total > 0 ? max(total, done) : nil, rate: rate,
            leftMilliseconds: left, waiting: waiting)
    }
}
