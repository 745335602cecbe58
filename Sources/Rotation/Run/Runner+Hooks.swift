internal import ControlStore
internal import KeyModel
internal import Logging
internal import Synchronization

extension Runner {
    /// How an attempt to perform a hook ended.
    private enum HookEnd {
        case done
        case failed(String)
        /// Something was asked of the run meanwhile; the hook was ended.
        case stopped(RunMachine.Event)
    }

    /// What is kept of a hook's output, in bytes.
    private static let outputKept = 64 << 10

    /// Performs the hooks of a stage that must all end well before the run goes on.
    ///
    /// One that ended well in this run already is not performed again.
    ///
    /// - Returns: What was asked of the run meanwhile; nil where all ended well.
    /// - Throws: ``RotationError`` with `callerHookFailed` at the first that did not.
    func performHooks(_ stage: HookDeclaration.Stage, of run: RunRecord) async throws -> RunMachine.Event? {
        for hook in try await hooksLeft(stage, of: run) {
            switch try await perform(hook, of: run, outcome: .open, message: nil, heedsRequests: true) {
            case .done: continue
            case .stopped(let event): return event
            case .failed(let why):
                throw RotationError(
                    .callerHookFailed, "hook \"\(hook.stage.rawValue)\" (\(hook.place)) failed: \(why)",
                    hint: stage == .before
                        ? "Nothing was changed and no key was made; correct the hook and start again."
                        : "Nothing seals with the new key yet; correct the hook, then resume the run.")
            }
        }
        return nil
    }

    /// Refuses to wait for a backup that the hooks were to make; where there are none, a person makes it.
    ///
    /// - Throws: ``RotationError`` with `callerHookFailed` where there is a hook before the run.
    func refuseHooksWithoutBackup(_ run: RunRecord) throws {
        guard let hook = context.hooks?.hooks.first(where: { $0.stage == .before }) else { return }
        throw RotationError(
            .callerHookFailed,
            "hook \"before\" (\(hook.place)) left no verified backup of run \(run.id), which keyring "
                + "\"\(run.keyring)\" demands",
            hint: "Nothing was changed and no key was made; have it call backups.create{run = run.id}, start again.")
    }

    /// Performs the hooks after the work; the run is done whatever becomes of them.
    func performHooksAfter(_ run: RunRecord) async throws -> RunMachine.Event {
        var failures: [String] = []
        for hook in try await hooksLeft(.after, of: run) {
            switch try await perform(hook, of: run, outcome: .done, message: nil, heedsRequests: true) {
            case .done: continue
            case .stopped(let event): return event
            case .failed(let why): failures.append(Self.remark(hook, why))
            }
        }
        return failures.isEmpty ? .phaseDone : .phaseDoneWith(remark: failures.joined(separator: "; "))
    }

    /// Performs the hooks for a failure, and those for the end where the run has ended with it.
    func performFailureHooks(of run: RunRecord, _ machine: inout RunMachine) async throws {
        for hook in context.hooks?.hooks ?? [] where hook.stage == .onFailure {
            try await performLast(hook, of: run, &machine)
        }
        try await performLastHooks(of: run, &machine)
    }

    /// Performs the hooks for the end of a run, however it ended.
    func performLastHooks(of run: RunRecord, _ machine: inout RunMachine) async throws {
        guard !machine.state.isOpen, run.state.isOpen else { return }
        var ending = run
        ending.phase = machine.phase
        for hook in try await hooksLeft(.always, of: run) { try await performLast(hook, of: ending, &machine) }
    }

    private func performLast(_ hook: HookDeclaration, of run: RunRecord, _ machine: inout RunMachine) async throws {
        let end = try await perform(
            hook, of: run, outcome: machine.state, message: machine.message, heedsRequests: false)
        if case .failed(let why) = end { machine.add(remark: Self.remark(hook, why)) }
    }

    private static func remark(_ hook: HookDeclaration, _ why: String) -> String {
        "hook \"\(hook.stage.rawValue)\" (\(hook.place)) failed: \(why)"
    }

    /// The hooks of a stage that have not ended well in this run; what a crash cut off is recorded as unknown.
    private func hooksLeft(_ stage: HookDeclaration.Stage, of run: RunRecord) async throws -> [HookDeclaration] {
        guard let all = context.hooks?.hooks.filter({ $0.stage == stage }), !all.isEmpty else { return [] }
        let attempts = try await context.control.read { try $0.hookAttempts(of: run.id) }
        for attempt in attempts where attempt.state == .begun {
            try await finish(attempt, as: .unknown, message: "the process ended while the hook ran", output: "")
        }
        return all.filter { hook in
            !attempts.contains { $0.state == .done && $0.hook.stage == hook.stage && $0.hook.index == hook.index }
        }
    }

    /// Performs a hook under a new number, recorded before it begins and after it ends.
    private func perform(
        _ hook: HookDeclaration, of run: RunRecord, outcome: RunState, message: String?, heedsRequests: Bool
    ) async throws -> HookEnd {
        guard let hooks = context.hooks else { return .done }
        let attempt = HookAttempt(id: Self.newAttempt(), run: run.id, hook: hook, startedAt: context.now())
        let held = try await lease.current()
        try await context.control.write { session in
            try session.checkLease(held)
            try session.save(attempt)
            try session.addStep(
                "hook \(hook.stage.rawValue) (\(hook.place)) begins, attempt \(attempt.id)", in: run.phase, of: run.id,
                at: attempt.startedAt)
        }
        let output = HookOutput(limit: Self.outputKept)
        let occasion = HookOccasion(attempt: attempt.id, run: run, outcome: outcome, message: message) {
            output.add($0)
        }
        do {
            let event = try await watching(run, heedsRequests) { try await hooks.perform(hook, on: occasion) }
            guard let event else {
                try await finish(attempt, as: .done, message: nil, output: output.text)
                return .done
            }
            try await finish(attempt, as: .failed, message: "ended on request", output: output.text)
            return .stopped(event)
        } catch let error as ControlStoreError where error.code == .storeLeaseLost {
            throw error
        } catch is CancellationError where Task.isCancelled {
            throw CancellationError()
        } catch {
            let why = (error as? any CodedError)?.message ?? "\(error)"
            try await finish(attempt, as: .failed, message: why, output: output.text)
            return .failed(why)
        }
    }

    private func finish(
        _ attempt: HookAttempt, as state: HookAttempt.State, message: String?, output: String
    ) async throws {
        var attempt = attempt
        attempt.state = state
        attempt.message = message
        attempt.output = output
        attempt.finishedAt = context.now()
        let held = try await lease.current()
        try await context.control.write { [attempt] session in
            try session.checkLease(held)
            try session.save(attempt)
        }
    }

    /// Does something while the lease is kept, and ends it where the run is to stop.
    ///
    /// - Returns: Why it was ended; nil where it came to its own end.
    private func watching(
        _ run: RunRecord, _ heedsRequests: Bool, _ body: @escaping @Sendable () async throws -> Void
    ) async throws -> RunMachine.Event? {
        try await withThrowingTaskGroup(of: RunMachine.Event?.self) { group in
            group.addTask {
                try await body()
                return nil
            }
            group.addTask {
                while true {
                    try await Task.sleep(for: Self.pollInterval)
                    _ = try await lease.current()
                    if interrupt.isSet { return .interrupted }
                    if heedsRequests, let event = try await pending(run) { return event }
                }
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    private static func newAttempt() -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// What a hook printed, as far as there is room.
private final class HookOutput: Sendable {
    private let limit: Int
    private let kept = Mutex("")

    init(limit: Int) { self.limit = limit }

    /// The output; without zeros, which not every database stores in a text.
    var text: String { kept.withLock { $0.replacing("\0", with: "\u{FFFD}") } }

    func add(_ text: String) {
        kept.withLock { kept in
            guard kept.utf8.count < limit else { return }
            kept += text
            guard kept.utf8.count > limit else { return }
            kept = String(decoding: kept.utf8.prefix(limit), as: UTF8.self) + "\n(truncated)\n"
        }
    }
}
