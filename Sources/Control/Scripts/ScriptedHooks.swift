internal import ControlStore
internal import Frames
internal import Glibc
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
        let host = HookHost(service, occasion, grant: try await service.grant(of: configuration))
        let result = try await script.call(
            hook, argument: occasion.frame(hook), functions: service.api.entries.map(\.name), host: host)
        if result.outputWasCut { occasion.output("\n(output truncated)\n") }
    }
}

/// Performs a hook's calls under the grant of its configuration, and refuses what would cut into its own run.
private struct HookHost: ScriptHost {
    private let service: InstanceService
    private let occasion: HookOccasion
    private let grant: Set<String>
    private let scope = CallScope()

    init(_ service: InstanceService, _ occasion: HookOccasion, grant: Set<String>) {
        self.service = service
        self.occasion = occasion
        self.grant = grant
    }

    /// What would turn keys, or stop the run, in the middle of it.
    private static let ownRun: Set<String> = ["runs.pause", "runs.resume", "runs.cancel"]

    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
        let entry = try service.api.entry(name)
        if entry.isMutating, entry.namespace == "rotations" || Self.ownRun.contains(name) {
            throw ControlError(
                .callerNotAllowed, "a hook of run \(occasion.run.id) cannot call \(name): the run is open",
                hint: "Raise an error to stop the run; start others once it has ended.")
        }
        let peer = Peer(uid: geteuid(), gid: getegid(), pid: getpid(), user: "hook", groups: [], way: .hook)
        let dispatch = Dispatch(
            service, peer, SessionHello(way: .hook, isInteractive: false), HookClient(occasion: occasion), scope,
            grant: grant)
        do {
            return try await dispatch.perform(Call(name, arguments, confirmation: .given)).value
        } catch {
            throw ControlError(wrapping: error)
        }
    }

    func output(_ text: String) async { occasion.output(text) }
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
