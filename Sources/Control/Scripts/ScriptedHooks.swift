internal import ControlStore
internal import Frames
internal import KeyModel
internal import Rotation
internal import Scripting

/// The hooks of a configuration: Lua functions, each called in a worker of its own, whose calls join the run.
struct ScriptedHooks: RunHooks {
    private let service: InstanceService
    private let configuration: Configuration

    init(_ service: InstanceService, _ configuration: Configuration) {
        self.service = service
        self.configuration = configuration
    }

    var hooks: [HookDeclaration] { configuration.hooks }

    func perform(_ hook: HookDeclaration, on occasion: HookOccasion) async throws {
        let script = try await service.source.script(of: configuration)
        let scope = CallScope()
        // A hook that is killed leaves no call behind.
        defer { scope.cancel() }
        let granted = try await service.grantedHost(
            .hook, name: "\(hook.stage.rawValue) hook of run \(occasion.run.id)",
            client: HookClient(occasion: occasion),
            scope: scope)
        let host = HookHost(api: service.api, run: occasion.run.id, stage: hook.stage, granted: granted)
        try await withTaskCancellationHandler {
            let result = try await script.call(
                hook, argument: occasion.frame(hook), functions: service.api.entries.map(\.name), host: host)
            if result.outputWasCut { occasion.output("\n(output truncated)\n") }
        } onCancel: {
            scope.cancel()
        }
    }
}

/// Refuses a hook what would cut into its own run, and lets the rest through to what was granted.
private struct HookHost: ScriptHost {
    let api: API
    let run: Int64
    let stage: HookDeclaration.Stage
    let granted: any ScriptHost

    /// What would stop the run in the middle of it.
    private static let ownRun: Set<String> = ["runs.pause", "runs.resume", "runs.cancel"]

    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
        let turnsKeys = name.hasPrefix("rotations.")
        if turnsKeys || Self.ownRun.contains(name), try api.entry(name).isMutating {
            throw ControlError(
                .callerNotAllowed, "a hook of run \(run) cannot call \(name): the run is open",
                hint: "Raise an error to stop the run; start others once it has ended.")
        }
        return try await granted.call(name, joined(arguments, of: try api.entry(name)))
    }

    /// What a hook before or after a run makes belongs to that run, where it may belong to one and names none.
    private func joined(_ arguments: [FrameValue], of entry: Entry) -> [FrameValue] {
        guard stage == .before || stage == .after,
            let parameter = entry.parameters.first(where: { $0.kind == .run && !$0.isRequired })
        else { return arguments }
        var named: [String: FrameValue] = [:]
        if arguments.count == 1, case .map(let given) = arguments[0] {
            named = given
        } else if !arguments.isEmpty, arguments != [.array([])] {
            return arguments  // By place.
        }
        named[parameter.name] = named[parameter.name] ?? .integer(run)
        return [.map(named)]
    }

    func output(_ text: String) async { await granted.output(text) }
}

/// Writes what happens during a hook's calls into its output; nobody can be asked.
private struct HookClient: ControlClient {
    let occasion: HookOccasion

    func show(_ event: ControlEvent) async {
        switch event {
        case .output(let text): occasion.output(text)
        case .note(let text), .warning(let text): occasion.output("\(text)\n")
        case .review, .progress: break
        }
    }

    func answer(_ question: Question) async -> String? { nil }
}

extension HookOccasion {
    /// What the function gets.
    func frame(_ hook: HookDeclaration) -> FrameValue {
        var facts: [String: FrameValue] = [
            "id": .integer(run.id), "attempt": .string(attempt), "stage": .string(hook.stage.rawValue),
            "kind": .string(run.kind.rawValue), "urgency": .string(run.urgency.rawValue),
            "keyring": .string(run.keyring.description), "phase": .string(run.phase.rawValue),
            "state": .string(outcome.rawValue), "actor": .string(run.actor),
            "started_at": .string(run.startedAt.description),
            "old_keys": .array(run.oldKeys.map { .string($0.description) }),
        ]
        if let key = run.newKey { facts["new_key"] = .string(key.description) }
        if let message { facts["message"] = .string(message) }
        return .map(facts)
    }
}
