internal import Frames
internal import KeyModel
internal import Scripting
internal import Synchronization

/// Runs the scripts of sessions in Lua workers, one a session.
package struct LuaScripts: ScriptEngine {
    private let folder: String?
    private let workerPath: String?

    /// Makes an engine.
    ///
    /// - Parameters:
    ///   - folder: The folder in which `use` finds texts; nil for none.
    ///   - workerPath: The program `keyturn-lua`; nil looks for it.
    package init(folder: String? = nil, workerPath: String? = nil) {
        self.folder = folder
        self.workerPath = workerPath
    }

    /// Makes what runs the scripts of one session.
    package func makeSession() -> any ScriptRunner { LuaRunner(folder: folder, workerPath: workerPath) }
}

/// The scripts of one session.
private actor LuaRunner: ScriptRunner {
    private let folder: String?
    private let workerPath: String?
    private let relay = HostRelay()
    private var session: ScriptSession?
    /// What looks for names to complete, which the next script waits for.
    private var completing: Task<[String], Never>?

    init(folder: String?, workerPath: String?) {
        self.folder = folder
        self.workerPath = workerPath
    }

    func run(_ script: Script, api: API, host: any ScriptHost) async throws -> Answer {
        _ = await completing?.value
        do {
            let session = try self.session ?? makeSession(api)
            self.session = session
            relay.serve(host)
            let result = try await session.run(
                text: script.text, name: script.name, isInteractive: script.isInteractive,
                arguments: script.arguments, limits: ScriptLimits(limiting: script.timeLimit))
            if result.isIncomplete { throw ControlError(.callerIncomplete, "the text goes on") }
            let answer = await Answer(result, for: host)
            return EntryAsValue(answer.value, in: api)?.answer ?? answer
        } catch let error as ControlError { throw error } catch {
            let error = ControlError(ofScript: error)
            guard error.hint == nil, let hint = MissingName(error.message, in: script.text)?.hint(in: api) else {
                throw error
            }
            throw ControlError(codeName: error.codeName, error.message, hint: hint, status: error.status)
        }
    }

    func names(of path: [String]) async -> [String] {
        guard let session, completing == nil, await session.processID != nil else { return [] }
        // Whoever asks may stop waiting; the worker is left to end by itself.
        let task = Task { await Self.names(of: path, in: session) }
        completing = task
        defer { completing = nil }
        return await task.value
    }

    private static func names(of path: [String], in session: ScriptSession) async -> [String] {
        // The pairs as they lie there: no metamethod is called.
        let steps = path.map { "t = type(t) == 'table' and rawget(t, '\($0)') or nil" }.joined(separator: "\n")
        let text = """
            local t, names = _G, {}
            \(steps)
            if type(t) ~= 'table' then return names end
            for name in next, t do
                if type(name) == 'string' and #name <= 64 and #names < 500 then names[#names + 1] = name end
            end
            return names
            """
        let limits = ScriptLimits(processorTime: .milliseconds(20), time: .seconds(5), calls: 1)
        let result = try? await session.run(text: text, name: "completion", isInteractive: false, limits: limits)
        guard case .array(let names)? = result?.values.first else { return [] }
        return names.compactMap { if case .string(let name) = $0 { name } else { nil } }.sorted()
    }

    func cancel() async { await session?.interrupt() }

    func kill() async { await session?.kill() }

    func close() async { await session?.close() }

    private func makeSession(_ api: API) throws -> ScriptSession {
        let library = try folder.map { folder throws(ScriptingError) in try ScriptLibrary(folder: folder) }
        return ScriptSession(
            ScriptSession.Settings(
                workerPath: workerPath, functions: api.entries.map(\.name), library: library ?? ScriptLibrary()),
            host: relay)
    }
}

/// Hands a session's calls to the host of the script in hand.
private final class HostRelay: ScriptHost {
    private let host = Mutex<(any ScriptHost)?>(nil)

    func serve(_ host: any ScriptHost) { self.host.withLock { $0 = host } }

    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
        guard let host = host.withLock({ $0 }) else { return .null }
        return try await host.call(name, arguments)
    }

    func output(_ text: String) async { await host.withLock { $0 }?.output(text) }
}

extension Answer {
    /// What a script handed back, after telling that its output was cut where it was.
    fileprivate init(_ result: ScriptResult, for host: any ScriptHost) async {
        if result.outputWasCut { await host.output("\n(output truncated)\n") }
        self.init(result)
    }
}
