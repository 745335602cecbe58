package import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Rotation
package import Scripting
internal import Storage

/// One caller's session: checks and performs what it asks for, one request at a time.
actor Session: ControlChannel {
    private let service: InstanceService
    private let peer: Peer
    private let hello: SessionHello
    private var scope: CallScope?
    private var runner: (any ScriptRunner)?
    private let seen = SeenAnswers()
    private let secrets = PromptedSecrets()

    init(_ service: InstanceService, peer: Peer, hello: SessionHello) {
        self.service = service
        self.peer = peer
        self.hello = hello
    }

    func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        if case .ping = request { return Answer(await service.greeting(for: peer)) }
        guard scope == nil else {
            throw ControlError(
                .callerBusy, "the session already performs a request", hint: "Wait for it, or open another.")
        }
        let scope = CallScope()
        self.scope = scope
        defer { self.scope = nil }
        do {
            switch request {
            case .ping: return Answer(await service.greeting(for: peer))
            case .describe: return Answer(service.api.description)
            case .complete(let text, let cursor):
                return Answer(await Completion(service, peer, runner).candidates(text: text, cursor: cursor))
            case .call(let call):
                return try await Dispatch(service, peer, hello, client, scope, secrets: secrets).perform(call)
            case .script(let script): return try await run(script, for: client, scope)
            }
        } catch {
            throw ControlError(wrapping: error)
        }
    }

    func cancel() async {
        scope?.cancel()
        await runner?.cancel()
    }

    func killScript() async { await runner?.kill() }

    func close() async {
        scope?.cancel()
        await runner?.close()
        runner = nil
    }

    private func run(_ script: Script, for client: any ControlClient, _ scope: CallScope) async throws -> Answer {
        guard let scripts = service.scripts else {
            throw ControlError(
                .callerScriptFailed, "scripts cannot be run here: Keyturn was built without its script engine",
                hint: "Use \"keyturn call\" for single calls.")
        }
        let runner = self.runner ?? scripts.makeSession()
        self.runner = runner
        // A script that is killed leaves no call behind.
        defer { scope.cancel() }
        let dispatch = Dispatch(service, peer, hello, client, scope, secrets: secrets)
        let host = SessionHost(
            dispatch: dispatch, confirmation: script.confirmation, client: client, seen: seen, secrets: secrets)
        // Asked to end before the script has begun, it ends as well: the task remembers.
        let running = Task { [api = service.api] in try await runner.run(script, api: api, host: host) }
        scope.onCancel { running.cancel() }
        return seen.recalled(try await running.value)
    }
}

extension InstanceService {
    /// What a hook or a schedule of the configuration calls through: what was granted, and everything that only looks.
    ///
    /// Its calls are audited as the instance's own, by the way they came; none is confirmed, since the grant was.
    ///
    /// - Parameters:
    ///   - way: `hook` or `schedule`.
    ///   - name: Which one, for the audit log: `before hook of run 7`.
    ///   - client: Gets its output and its progress.
    ///   - scope: Ends its calls.
    ///   - fence: Throws, inside the transaction of an effect, where its caller may not act any more.
    /// - Returns: The host.
    /// - Throws: What stands in the way of opening the instance.
    package func grantedHost(
        _ way: Peer.Way, name: String, client: any ControlClient, scope: CallScope,
        fence: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> any ScriptHost {
        let dispatch = try await grantedDispatch(way, name: name, client: client, scope: scope, fence: fence)
        return SessionHost(
            dispatch: dispatch, confirmation: .given, client: client, seen: SeenAnswers(), secrets: PromptedSecrets())
    }

    /// What takes single calls of a hook or a schedule, under the same grant.
    func grantedDispatch(
        _ way: Peer.Way, name: String, client: any ControlClient, scope: CallScope,
        fence: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) async throws -> Dispatch {
        let instance = try await self.instance()
        let grant = try await instance.context.control.read { try $0.grant(of: instance.configuration.hash) }
        let peer = Peer(uid: geteuid(), gid: getegid(), pid: getpid(), user: name, groups: [], way: way)
        let hello = SessionHello(way: way, isInteractive: false)
        return Dispatch(self, peer, hello, client, scope, grant: Set(grant?.calls ?? []), fence: fence)
    }
}

/// Performs the calls of a session's scripts under the session's own rights.
struct SessionHost: ScriptHost {
    let dispatch: Dispatch
    let confirmation: Confirmation
    let client: any ControlClient
    let seen: SeenAnswers
    let secrets: PromptedSecrets

    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
        if name == "secret.prompt" { return try await prompt(arguments) }
        do {
            let answer = try await dispatch.perform(Call(name, arguments, confirmation: confirmation))
            seen.note(answer)
            return answer.value
        } catch {
            throw ControlError(wrapping: error)
        }
    }

    func output(_ text: String) async { await client.show(.output(text)) }

    /// Asks the person at the console for something secret, which stands in no text and no history.
    private func prompt(_ arguments: [FrameValue]) async throws -> FrameValue {
        var text = "Secret"
        if case .string(let given)? = arguments.first { text = given }
        guard dispatch.isInteractive, let answer = await client.answer(Question(text, isSecret: true)) else {
            throw ControlError(
                .callerNotConfirmed, "nobody is there to type a secret", hint: "Run it in a console on a terminal.")
        }
        try secrets.note(answer)
        return .string(answer)
    }
}
