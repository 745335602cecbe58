internal import Frames
internal import Scripting
internal import Synchronization

/// Runs the scripts of sessions in Lua workers, one a session, started with its first script.
package struct LuaScripts: ScriptEngine {
    private let workerPath: String?

    /// Makes an engine.
    ///
    /// - Parameter workerPath: The program `keyturn-lua`; nil looks for it.
    package init(workerPath: String? = nil) { self.workerPath = workerPath }

    /// Makes what runs the scripts of one session.
    package func makeSession() -> any ScriptRunner { LuaRunner(workerPath: workerPath) }
}

/// One session's worker, and whoever its calls are for just now.
private actor LuaRunner: ScriptRunner {
    private let workerPath: String?
    private let host = CurrentHost()
    private var session: ScriptSession?

    init(workerPath: String?) { self.workerPath = workerPath }

    func run(_ script: Script, api: API, host current: any ScriptHost) async throws -> Answer {
        let session =
            session
            ?? ScriptSession(.init(workerPath: workerPath, functions: api.entries.map(\.name)), host: host)
        self.session = session
        host.use(current)
        defer { host.use(nil) }
        let result = try await session.run(
            text: script.text, name: script.name, isInteractive: script.isInteractive, arguments: script.arguments)
        guard !result.isIncomplete else { throw ControlError(.callerIncomplete, "the text goes on") }
        if result.outputWasCut { await current.output("… more was printed than is kept\n") }
        let value = result.values.count == 1 ? result.values[0] : .array(result.values)
        return Answer(result.values.isEmpty ? .null : value)
    }

    func cancel() async { await session?.interrupt() }

    func kill() async { await session?.kill() }

    func close() async { await session?.close() }
}

/// Hands a worker's calls to the request that runs its script.
private final class CurrentHost: ScriptHost {
    private let current = Mutex<(any ScriptHost)?>(nil)

    func use(_ host: (any ScriptHost)?) { current.withLock { $0 = host } }

    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
        guard let host = current.withLock({ $0 }) else {
            throw ControlError(.callerScriptFailed, "no script of the session is running")
        }
        return try await host.call(name, arguments)
    }

    func output(_ text: String) async { await current.withLock { $0 }?.output(text) }
}
