internal import Frames
internal import KeyModel

/// A session of scripts whose variables persist: one Lua worker, started with the first script.
///
/// Without a script a session costs nothing but its memory: no process, no thread, no descriptor. A thread runs only while a
/// script does. The worker ends with the session, with the process, or with a script that has to be killed.
package actor ScriptSession {
    /// What a session's scripts find.
    package struct Settings: Sendable {
        /// The program `keyturn-lua`; nil looks for it as ``ConfigurationLoader`` does.
        package var workerPath: String?
        /// The functions of the host, such as `keyrings.list`, to which `secret.prompt` is added.
        package var functions: [String]
        /// The texts that `use` finds.
        package var library: ScriptLibrary
        /// The most memory of the Lua state, in bytes.
        package var memoryBytes: Int64
        /// The most output of one script that is kept, in bytes.
        package var outputBytes: Int64

        /// Makes settings.
        package init(
            workerPath: String? = nil, functions: [String], library: ScriptLibrary = ScriptLibrary(),
            memoryBytes: Int64 = 64 << 20, outputBytes: Int64 = 1 << 20
        ) {
            self.workerPath = workerPath
            self.functions = functions
            self.library = library
            self.memoryBytes = memoryBytes
            self.outputBytes = outputBytes
        }
    }

    private let settings: Settings
    private let host: any ScriptHost
    private var worker: SessionWorker?
    private var exchange: WorkerExchange?
    private var runs: Int64 = 0
    private var isClosed = false

    /// Makes a session; starts nothing.
    package init(_ settings: Settings, host: any ScriptHost) {
        self.settings = settings
        self.host = host
    }

    /// The session's process; nil while there is none.
    package var processID: Int32? { worker?.pid }

    /// Runs a text of Lua.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - name: What messages call it.
    ///   - isInteractive: Whether it is tried as an expression first, its first value becomes `_`, and a text that goes on is
    ///     no error but ``ScriptResult/isIncomplete``.
    ///   - arguments: What the script finds in `arg`.
    ///   - limits: What it may use up.
    /// - Returns: What it gave back.
    /// - Throws: ``RaisedError`` for what the script raised; ``ScriptingError`` with `callerScriptMalformed` for what is no Lua,
    ///   `callerLimitExceeded`, `callerInterrupted`, `callerBusy`, or `internalWorkerLost`, after which the next script finds
    ///   no variables.
    /// - Important: Cancelling interrupts the script; what it has called already may have had its effect.
    package func run(
        text: String, name: String, isInteractive: Bool, arguments: [String] = [], limits: ScriptLimits = .interactive
    ) async throws -> ScriptResult {
        guard exchange == nil else { throw ScriptingError(.callerBusy, "the session already runs a script") }
        guard !isClosed else { throw ScriptingError(.callerBusy, "the session is closed") }
        runs += 1
        let request: FrameValue = [
            "kind": "run", "id": .integer(runs), "sources": [.string(name), .string(text)],
            "is_interactive": .bool(isInteractive), "arguments": .array(arguments.map(FrameValue.string)),
            "limits": limits.frame,
        ]
        let worker = worker ?? SessionWorker(settings)
        self.worker = worker
        let exchange = WorkerExchange(worker: worker, id: runs, request: request, limits: limits, host: host)
        self.exchange = exchange
        defer {
            self.exchange = nil
            if !worker.isUsable { self.worker = nil }
        }
        return try await exchange.perform()
    }

    /// Ends the script that is running within 250 ms; its variables stay where it could be stopped in time.
    package func interrupt() { exchange?.interrupt() }

    /// Kills the worker at once; the next script finds no variables.
    package func kill() {
        guard let exchange else {
            worker = nil
            return
        }
        exchange.kill()
    }

    /// Ends the session and its worker.
    package func close() {
        isClosed = true
        kill()
    }
}
