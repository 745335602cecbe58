internal import Frames
internal import KeyModel
package import Scripting

/// A session that runs scripts within the process and knows a single function, `selftest.echo`; for trying the worker.
package actor LocalScriptChannel: ControlChannel {
    /// The function that scripts can call.
    package static let function = "selftest.echo"

    private let session: ScriptSession
    private let output = ClientOutput()

    /// Makes a session; starts no worker.
    package init(workerPath: String? = nil) {
        session = ScriptSession(
            ScriptSession.Settings(workerPath: workerPath, functions: [Self.function]), host: output)
    }

    /// The worker's process; nil while there is none.
    package var workerID: Int32? { get async { await session.processID } }

    /// Performs a script or a ping.
    package func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        switch request {
        case .ping: return Answer(.null)
        case .script(let script): return try await run(script, for: client)
        case .call, .complete, .describe:
            throw ControlError(.callerNotFound, "this session only runs scripts")
        }
    }

    /// Interrupts the script.
    package func cancel() async { await session.interrupt() }

    /// Kills the worker.
    package func killScript() async { await session.kill() }

    /// Ends the session.
    package func close() async { await session.close() }

    private func run(_ script: Script, for client: any ControlClient) async throws -> Answer {
        await output.begin(client)
        do {
            let limits = ScriptLimits(limiting: script.timeLimit)
            let result = try await session.run(
                text: script.text, name: script.name, isInteractive: script.isInteractive,
                arguments: script.arguments, limits: limits)
            if result.isIncomplete { throw ControlError(.callerIncomplete, "the text goes on") }
            return Answer(result)
        } catch let error as ControlError { throw error } catch { throw ControlError(ofScript: error) }
    }
}

extension ScriptLimits {
    /// The usual limits, both times cut to what a script asks for.
    package init(limiting time: Duration?) {
        self = .interactive
        guard let time else { return }
        processorTime = min(processorTime, time)
        self.time = min(self.time, time)
    }
}

/// Hands output to the client of the script in hand.
private actor ClientOutput: ScriptHost {
    private var client: (any ControlClient)?

    func begin(_ client: any ControlClient) { self.client = client }

    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue { .array(arguments) }

    func output(_ text: String) async { await client?.show(.output(text)) }
}
