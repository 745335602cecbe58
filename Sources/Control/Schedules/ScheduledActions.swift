internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Logging
internal import Rotation
internal import Scheduling
internal import Scripting
internal import Synchronization

/// What occurrences do on an instance: calls under the grant of its configuration, each audited as the schedule's.
///
/// A run that an occurrence begins has the occurrence for its actor, so that after a crash it is found again even where its number
/// was not recorded with the occurrence.
final class ScheduledActions: OccurrenceActions {
    private let service: InstanceService
    /// The occurrences whose runs were asked to stop at the end of a window.
    private let stopping = Mutex<Set<OccurrenceRecord.ID>>([])

    private static let pollInterval = Duration.milliseconds(500)
    /// How long a run that nobody drives is left alone before it is taken up again.
    private static let resumeInterval = Duration.seconds(5)

    init(_ service: InstanceService) { self.service = service }

    func perform(
        _ request: OccurrenceRequest, started: @escaping @Sendable (Int64) async throws -> Void
    ) async throws -> OccurrenceOutcome {
        stopping.withLock { _ = $0.remove(request.id) }
        do {
            switch request.schedule.action {
            case .rotate: return try await turn("rotations.rotate", request, started)
            case .rewrap: return try await turn("rotations.rewrap", request, started)
            case .verify:
                let keyring = request.schedule.keyring.map { ["name": FrameValue.string($0.description)] } ?? [:]
                return try await check("keyrings.verify", keyring, request, "values need attention: keyrings.verify()")
            case .backup: return try await check("backups.create", [:], request, "the backup is not good")
            case .drill: return try await check("backups.drill", [:], request, "the backup did not pass its drill")
            case .function: return try await callFunction(request)
            }
        } catch let error as ControlError where Self.needsPeople.contains(error.codeName) {
            return .needsOperator([error.message, error.hint].compactMap(\.self).joined(separator: "; "))
        }
    }

    func checkpoint(_ request: OccurrenceRequest) async throws {
        // A run that is only being begun stops as soon as it is there; what makes none goes on to its end.
        stopping.withLock { _ = $0.insert(request.id) }
        guard let run = try await ownRun(request), run.state.isOpen else { return }
        // One that a person has paused stays theirs; it is asked to stop once they let it go on.
        guard run.state != .paused, run.request == .none else { return }
        try await call("runs.pause", ["run": .integer(run.id)], request)
    }

    func keyFacts() async throws -> [Name: KeyFacts] {
        var facts = try await service.instance().context.control.read { try $0.keyFacts(countingRows: true) }
        var load = 0.0
        guard getloadavg(&load, 1) == 1 else { return facts }
        let share = load / Double(max(ProcessInfo.processInfo.activeProcessorCount, 1))
        for name in facts.keys { facts[name]?.load = share }
        return facts
    }

    func occupant() async throws -> String? {
        let instance = try await service.instance()
        let declared = Set(instance.configuration.schedules.map(\.name))
        return try await instance.context.control.read { session in
            guard let run = try session.openRun() else { return nil }
            if let own = try session.occurrence(of: run), declared.contains(own.id.schedule) { return nil }
            return "run \(run.id) of \(run.actor)"
        }
    }

    /// What another attempt cannot help: a call that was not granted, a thing that is not there.
    private static let needsPeople = Set(
        [ControlError.Code.callerNotAllowed, .callerNotFound, .callerUsage].map(\.rawValue))

    // MARK: Runs

    /// Begins a run, or goes on with the one that an earlier attempt began, and waits for its end.
    private func turn(
        _ name: String, _ request: OccurrenceRequest, _ started: @Sendable (Int64) async throws -> Void
    ) async throws -> OccurrenceOutcome {
        if let run = try await ownRun(request), run.state != .failed {
            try await started(run.id)
            if run.state == .needsOperator || run.state == .paused, try await isOurs(run.id, request) {
                try await resume(run.id, request)
            }
            return try await follow(run.id, request)
        }
        let keyring = request.schedule.keyring.map { FrameValue.string($0.description) } ?? .null
        try await call(name, ["keyring": keyring, "wait": "none"], request)
        guard let run = try await ownRun(request) else {
            throw ControlError(.internalProtocol, "\(name) began no run")
        }
        try await started(run.id)
        return try await follow(run.id, request)
    }

    private func follow(_ run: Int64, _ request: OccurrenceRequest) async throws -> OccurrenceOutcome {
        let control = try await service.instance().context.control
        var triedAt = ContinuousClock.now
        while true {
            let record = try await control.read { try $0.run(run) }
            switch record.state {
            case .done: return .succeeded("run \(run)")
            case .doneWithExceptions: return .succeeded("run \(run), with exceptions")
            case .failed: return .failed(record.message ?? "run \(run) has failed")
            case .cancelled where try await control.read({ try $0.hasMadeWay(run) }):
                return .madeWay("run \(run) made way for an emergency")
            case .cancelled: return .cancelled("run \(run) was cancelled")
            case .needsOperator:
                return .needsOperator("run \(run) needs an operator: \(record.message ?? "it has stopped")")
            case .paused:
                // What a person has paused waits for a person, whatever windows do meanwhile.
                if isStopping(request), try await isOurs(run, request) { return .paused }
            case .waiting: break
            case .open where isStopping(request) && record.request == .none:
                try await call("runs.pause", ["run": .integer(run)], request)
            case .open:
                if ContinuousClock.now - triedAt > Self.resumeInterval {
                    triedAt = .now
                    if try await isAbandoned(run) { try await resume(run, request) }
                }
            }
            try await Task.sleep(for: Self.pollInterval)
        }
    }

    private func isStopping(_ request: OccurrenceRequest) -> Bool { stopping.withLock { $0.contains(request.id) } }

    /// Whether a run that stands still does so at nobody's wish but the occurrence's own.
    private func isOurs(_ run: Int64, _ request: OccurrenceRequest) async throws -> Bool {
        let pauser = try await service.instance().context.control.read { try $0.pauser(of: run) }
        return pauser.map { $0.hasPrefix(request.id.actor) } ?? true
    }

    private func isAbandoned(_ run: Int64) async throws -> Bool {
        guard await service.driver.run != run else { return false }
        return try await service.instance().engine(for: "keyturn").liveLease() == nil
    }

    /// Lets a run go on, save where a person has asked it to stop: then it is driven to where it stops.
    private func resume(_ run: Int64, _ request: OccurrenceRequest) async throws {
        let instance = try await service.instance()
        let asked = try await instance.context.control.read { try $0.run(run).request }
        let isOurs = try await isOurs(run, request)
        guard asked == .cancel || asked == .pause && !isOurs else {
            try await call("runs.resume", ["run": .integer(run), "wait": "none"], request)
            return
        }
        let engine = try await instance.engine(for: "keyturn")
        _ = try await service.driver.launch(engine, DriveOptions(waitsForPeople: false)) { run }
    }

    /// The latest run that the occurrence has begun.
    private func ownRun(_ request: OccurrenceRequest) async throws -> RunRecord? {
        try await service.instance().context.control.read { session in
            try session.latestRun(ofActor: request.id.actor, or: request.run)
        }
    }

    // MARK: Calls

    private func check(
        _ name: String, _ arguments: [String: FrameValue], _ request: OccurrenceRequest, _ problem: String
    ) async throws -> OccurrenceOutcome {
        let answer = try await call(name, arguments, request)
        return answer.isGood ? .succeeded(nil) : .needsOperator(problem)
    }

    private func callFunction(_ request: OccurrenceRequest) async throws -> OccurrenceOutcome {
        let scope = CallScope()
        defer { scope.cancel() }
        let configuration = try await service.configuration()
        let script = try await service.source.script(of: configuration)
        let host = try await service.grantedHost(
            .schedule, name: request.id.actor, client: ScheduleClient(request, service.logger), scope: scope,
            fence: request.fence)
        return try await withTaskCancellationHandler {
            do {
                _ = try await script.callAction(
                    of: request.id.schedule.description, argument: request.frame,
                    functions: service.api.entries.map(\.name), host: host,
                    limits: .hook(within: configuration.timeout(of: request.id.schedule)))
                return .succeeded(nil)
            } catch let error as CancellationError { throw error } catch { throw ControlError(ofScript: error) }
        } onCancel: {
            scope.cancel()
        }
    }

    @discardableResult
    private func call(
        _ name: String, _ arguments: [String: FrameValue], _ request: OccurrenceRequest
    ) async throws -> Answer {
        let scope = CallScope()
        let dispatch = try await service.grantedDispatch(
            .schedule, name: request.id.actor, client: ScheduleClient(request, service.logger), scope: scope,
            fence: request.fence)
        return try await withTaskCancellationHandler {
            do {
                return try await dispatch.perform(Call(name, named: arguments, confirmation: .given))
            } catch let error as CancellationError { throw error } catch { throw ControlError(wrapping: error) }
        } onCancel: {
            scope.cancel()
        }
    }
}

/// Writes what happens during a schedule's calls into the log; nobody can be asked.
private struct ScheduleClient: ControlClient {
    private let request: OccurrenceRequest
    private let logger: Logger

    init(_ request: OccurrenceRequest, _ logger: Logger) {
        self.request = request
        self.logger = logger
    }

    func show(_ event: ControlEvent) async {
        let schedule: Logger.Metadata = ["schedule": "\(request.id.schedule)"]
        switch event {
        case .output(let text), .note(let text):
            logger.info("schedule says", metadata: schedule.merging(["text": "\(text)"]) { $1 })
        case .warning(let text):
            logger.warning("schedule warns", metadata: schedule.merging(["text": "\(text)"]) { $1 })
        case .review, .progress: break
        }
    }

    func answer(_ question: Question) async -> String? { nil }
}

extension OccurrenceRequest {
    /// Keeps whoever has lost the schedules' lease from doing what another process does by now.
    fileprivate var fence: @Sendable (ControlSession) throws -> Void {
        { [epoch] session in try session.checkSchedulerLease(epoch: epoch) }
    }

    /// What a function gets.
    fileprivate var frame: FrameValue {
        var facts: [String: FrameValue] = [
            "schedule": .string(id.schedule.description), "nominal": .string(id.nominal.description),
            "attempt": .integer(attempt), "reason": .string(reason), "tz": .string(schedule.rules.zone.name),
        ]
        if let keyring = schedule.keyring { facts["keyring"] = .string(keyring.description) }
        return .map(facts)
    }
}

extension OccurrenceRecord.ID {
    /// The occurrence as the one who acts.
    var actor: String { "schedule \(schedule) of \(nominal)" }
}

extension ControlSession {
    /// The occurrence that a run belongs to and that goes on with it by itself; nil for runs of people.
    ///
    /// - Throws: `StorageError` or `ControlStoreError`.
    func occurrence(of run: RunRecord) throws -> OccurrenceRecord? {
        try openOccurrences().first {
            $0.state != .needsOperator && ($0.run == run.id || run.actor.hasPrefix($0.id.actor))
        }
    }
}
