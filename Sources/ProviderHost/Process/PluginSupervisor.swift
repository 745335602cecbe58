internal import Foundation
package import KeyModel
package import PluginKit
internal import PluginWire

/// Where connections to a provider come from.
protocol ConnectionSource: Sendable {
    /// A connection that was open a moment ago; the call has begun on it, and whoever makes it says when it has finished.
    ///
    /// - Returns: The connection.
    /// - Throws: `ProviderError`.
    func connection() async throws(ProviderError) -> ProviderConnection
}

/// How a plugin is to be run.
package struct PluginLaunch: Sendable {
    /// The provider's name, for messages.
    package var name: Name
    /// The file.
    package var file: PluginFile
    /// The SHA-256 that it must have; nil only where a person tries an unregistered file.
    package var sha256: String?
    /// Its whole environment, less what the protocol adds.
    package var environment: [String: String]
    /// Where its private directory is made.
    package var runtimeDirectory: String
    /// What it may use.
    package var limits: ProcessLimits
    /// What each of its processes is given to read once; nil for nothing.
    package var secret: SecretSource?
    /// Takes what it says on standard error: how urgent, 0…7, and what.
    package var log: @Sendable (Int, String) -> Void

    /// The environment of a plugin that is given nothing by name.
    package static let cleanEnvironment = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"]

    /// Describes how to run a plugin.
    package init(
        name: Name, file: PluginFile, sha256: String?, environment: [String: String] = cleanEnvironment,
        runtimeDirectory: String = "/tmp", limits: ProcessLimits = ProcessLimits(), secret: SecretSource? = nil,
        log: @escaping @Sendable (Int, String) -> Void = { _, _ in }
    ) {
        self.name = name
        self.file = file
        self.sha256 = sha256
        self.environment = environment
        self.runtimeDirectory = runtimeDirectory
        self.limits = limits
        self.secret = secret
        self.log = log
    }
}

/// Keeps one plugin's process: starts it when it is needed, again when it ended, and stops it.
package actor PluginSupervisor: ConnectionSource {
    /// A process with the connection to it.
    private final class Running: Sendable {
        let process: PluginProcess
        let connection: ProviderConnection
        let image: PluginImage

        init(_ process: PluginProcess, _ connection: ProviderConnection, _ image: PluginImage) {
            self.process = process
            self.connection = connection
            self.image = image
        }

        var isAlive: Bool { process.ending == nil && !connection.isClosed }
    }

    private enum State {
        case idle
        case starting(Task<Result<Running, ProviderError>, Never>)
        case running(Running)
        case refused(ProviderError)
        case stopped
    }

    private var launch: PluginLaunch
    private var state = State.idle
    private var restarts = RestartPolicy()
    private let begin = ContinuousClock.now

    /// Waits for a start at most this long before a call fails instead.
    private static let patience = Duration.seconds(1)

    /// Makes a supervisor; nothing is started before the first call.
    package init(_ launch: PluginLaunch) { self.launch = launch }

    deinit {
        // Whoever lets go of it without a word still leaves no process behind.
        if case .running(let running) = state { Task.detached { await Self.end(running) } }
    }

    /// The process id; nil where none runs.
    package var pid: Int32? {
        guard case .running(let running) = state, running.isAlive else { return nil }
        return running.process.pid
    }

    /// What the running plugin said of itself, with the hash of its file; nil where none runs.
    package var greeting: (kind: String, version: String, sha256: String)? {
        guard case .running(let running) = state else { return nil }
        let handshake = running.process.handshake
        return (
            WireText.escaped(handshake.kind, limit: 63), WireText.escaped(handshake.version, limit: 63),
            running.image.sha256
        )
    }

    /// Whether the running plugin answers over sessions; false where none runs.
    package var offersSession: Bool {
        guard case .running(let running) = state else { return false }
        return running.process.handshake.capabilities.contains(Handshake.session)
    }

    /// A connection to the process, which is started where none runs; the start takes its own time.
    func connection() async throws(ProviderError) -> ProviderConnection {
        if let present { return present }
        let started = try await running().connection
        if let present { return present }
        started.begin()
        return started
    }

    /// The connection to the process that runs, with a call begun on it.
    private var present: ProviderConnection? {
        guard case .running(let running) = state, running.isAlive else { return nil }
        running.connection.begin()
        return running.connection
    }

    /// Starts it now, where none runs.
    ///
    /// - Throws: `ProviderError`.
    package func start() async throws(ProviderError) { _ = try await running() }

    /// Lets go of the process's standard input and nothing else, for a trial of what it does then.
    package func letGo() {
        if case .running(let running) = state { running.process.closeInput() }
    }

    /// Sends bytes to the process's socket, for a trial of what it does with them.
    ///
    /// - Throws: `ProviderError` where it cannot be reached.
    package func sendRaw(_ bytes: some Sequence<UInt8>) async throws(ProviderError) {
        let running = try await running()
        let descriptor = try ProviderSocket(path: running.process.socket, users: [geteuid()]).connect()
        _ = Pipes.write(Data(bytes), to: descriptor)
        close(descriptor)
    }

    /// Ends the process for good.
    package func stop() async {
        let last = state
        state = .stopped
        switch last {
        case .running(let running): await Self.end(running)
        case .starting(let task): if case .success(let running) = await task.value { await Self.end(running) }
        case .idle, .refused, .stopped: break
        }
    }

    /// Puts another file, or the changed one, in the place of what runs: starts it, proves it, switches, and ends the old one
    /// once its calls are answered.
    ///
    /// The new process must unwrap what it wraps, what the old one wrapped, and what is stored.
    ///
    /// - Parameters:
    ///   - file: The file to run from now on; nil for the one that was set up, as it is now.
    ///   - sha256: The hash that it must have; nil for the one that was set up.
    ///   - settings: The provider's settings, for the proof.
    ///   - stored: Keys of the database that it must be able to unwrap.
    ///   - patience: The time that calls in hand have to be answered by the old process.
    /// - Throws: `ProviderError`; then the old process goes on.
    package func reload(
        _ file: PluginFile? = nil, sha256: String? = nil, settings: [String: String], proving stored: [StoredKey] = [],
        patience: Duration = .seconds(3)
    ) async throws(ProviderError) {
        var next = launch
        next.file = file ?? launch.file
        next.sha256 = sha256 ?? launch.sha256
        let present = try? await running()
        let new = try await Self.start(next)
        do throws(ProviderError) {
            let proof = ReloadProof(
                name: launch.name, settings: settings, new: new.connection, old: present?.connection)
            try await proof.run(stored)
            if case .stopped = state {
                throw ProviderError(.providerUnavailable, "provider \"\(launch.name)\" is stopped")
            }
        } catch {
            await Self.end(new)
            throw error
        }
        let old = state
        launch = next
        state = .running(new)
        restarts = RestartPolicy()
        switch old {
        case .running(let running): await Self.end(running, after: patience)
        case .starting(let task): if case .success(let running) = await task.value { await Self.end(running) }
        case .idle, .refused, .stopped: break
        }
    }

    private func running() async throws(ProviderError) -> Running {
        while true {
            switch state {
            case .running(let running) where running.isAlive: return running
            case .running(let running): await ended(running)
            case .refused(let error): throw error
            case .stopped:
                throw ProviderError(.providerUnavailable, "provider \"\(launch.name)\" is stopped")
            case .starting(let task): return try await task.value.get()
            case .idle:
                try await waitForTurn()
                guard case .idle = state else { continue }
                return try await startOne()
            }
        }
    }

    private func startOne() async throws(ProviderError) -> Running {
        let task = Task { [launch] in await Self.attempt(launch) }
        state = .starting(task)
        let result = await task.value
        guard case .starting(let current) = state, current == task else { return try result.get() }
        switch result {
        case .success(let running): state = .running(running)
        case .failure(let error) where error.code == .providerMisconfigured: state = .refused(error)
        case .failure:
            state = .idle
            restarts.ended(at: begin.duration(to: .now))
        }
        return try result.get()
    }

    /// Notes that a process ended by itself, or lost its connection, and makes sure that it is gone.
    private func ended(_ running: Running) async {
        guard case .running(let current) = state, current === running else { return }
        state = .idle
        restarts.ended(at: begin.duration(to: .now))
        await Self.end(running)
    }

    /// Waits for the pause after an end where it is short; where it is long, a call fails rather than hangs.
    private func waitForTurn() async throws(ProviderError) {
        switch restarts.decision(at: begin.duration(to: .now), jitter: .random(in: 0...1)) {
        case .start: return
        case .wait(let pause) where pause <= Self.patience: try? await Task.sleep(for: pause)
        case .wait(let pause):
            throw ProviderError(
                .providerUnavailable,
                "provider \"\(launch.name)\" ended by itself and is started again in \(pause.components.seconds + 1) s")
        case .leave:
            throw ProviderError(
                .providerUnavailable,
                "provider \"\(launch.name)\" ended \(RestartPolicy.mostEnds) times within 10 minutes and is left alone",
                hint: "Look at what it says on standard error; \"keyturn plugin reload\" starts it again."
            )
        }
    }

    private static func attempt(_ launch: PluginLaunch) async -> Result<Running, ProviderError> {
        do throws(ProviderError) { return .success(try await start(launch)) } catch { return .failure(error) }
    }

    private static func start(_ launch: PluginLaunch) async throws(ProviderError) -> Running {
        let image = try launch.file.load(expecting: launch.sha256)
        let process = try await PluginProcess.start(
            image, environment: launch.environment, secret: try await launch.secret?.held(),
            beneath: launch.runtimeDirectory, limits: launch.limits
        ) { [log = launch.log] in log($0.urgency, $0.text) }
        do throws(ProviderError) {
            let socket = try ProviderSocket(path: process.socket, users: [geteuid()])
            let connection = try await ProviderConnection.open(socket, to: Set(process.handshake.capabilities))
            return Running(process, connection, image)
        } catch {
            await process.stop()
            throw error
        }
    }

    /// Asks over the wire, then by its standard input, then by signals; first it has some time for the calls in hand.
    private static func end(_ running: Running, after patience: Duration = .zero) async {
        let deadline = ContinuousClock.now + patience
        while running.isAlive, running.connection.callsInHand > 0, .now < deadline {
            try? await Task.sleep(for: .milliseconds(10))
        }
        running.connection.finishSession()
        if running.isAlive {
            let client = Keyturn_Provider_V1_KeyProvider.Client(wrapping: running.connection.client)
            _ = try? await client.shutdown(
                Keyturn_Provider_V1_ShutdownRequest(), options: ProviderConnection.options(within: .seconds(1)))
        }
        await running.process.stop()
        running.connection.close()
    }
}
