package import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
package import Logging
internal import Rotation
internal import Storage

/// Serves one instance to every caller: the daemon's heart, and what a command hosts within itself.
///
/// It opens the instance once, drives runs in the background, and opens a session for each caller.
package actor InstanceService: ControlService {
    /// How long the service lives.
    package enum Life: Sendable {
        /// As long as the daemon: it holds the instance's lock, resumes runs, and takes a changed configuration when asked.
        case daemon
        /// As long as one command or console: it takes the lock for a run only, and reads the configuration as it stands.
        case command
    }

    /// The table of what can be called.
    package nonisolated let api: API
    /// Drives runs.
    package nonisolated let driver: RunDriver
    /// Told what is worth knowing later.
    package nonisolated let logger: Logger
    nonisolated let source: any InstanceSource
    nonisolated let webhooks: any WebhookPoster
    nonisolated let scripts: (any ScriptEngine)?
    nonisolated let calls = CallLedger()
    nonisolated let tokens = PlanTokens()
    nonisolated let files = CallerFiles()
    private let life: Life
    private var refusals = RefusalMeter()
    private var opened: Instance?
    private var opening: Task<Instance, any Error>?
    private var lock: HeldLock?
    private var replaced: (@Sendable (Configuration) async -> Void)?
    /// The replacement that was asked for last; the next one waits for it.
    private var replacing: Task<Void, Never>?
    private var isStopped = false
    /// What there is to say of keys that their providers have turned.
    var turnedKeyProblems: [String] = []

    /// Makes a service; opens nothing yet.
    package init(
        _ source: any InstanceSource, api: API, life: Life, webhooks: any WebhookPoster,
        scripts: (any ScriptEngine)? = nil, logger: Logger
    ) {
        self.source = source
        self.api = api
        self.life = life
        self.webhooks = webhooks
        self.scripts = scripts
        self.logger = logger
        driver = RunDriver(directory: source.directory, holdsLock: life == .daemon, logger: logger)
    }

    /// Whether runs go on when a session ends.
    package var keepsRuns: Bool { life == .daemon }

    /// Takes the instance's lock, opens it, and brings what a crash left into order.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`, or whatever stands in the way.
    package func start() async throws {
        if life == .daemon { lock = try await HeldLock.take(source.directory, until: .now) }
        let instance = try await self.instance()
        do { try await bringIntoOrder(instance) } catch {
            logger.warning("audit log not brought into order", metadata: ["reason": "\(Self.reason(of: error))"])
        }
    }

    /// Takes up runs that stand open and that nobody drives, until it is cancelled.
    package func run() async throws {
        var hasDriven = false
        while !Task.isCancelled {
            do { try await resumeOpenRun() } catch is CancellationError { break } catch {
                logger.warning("no run resumed", metadata: ["reason": "\(Self.reason(of: error))"])
            }
            let drives = await driver.run != nil
            await writeCalls(atEnd: hasDriven && !drives)
            hasDriven = drives
            try await Task.sleep(for: .seconds(5))
        }
    }

    /// Finishes the batch in hand, leaves the run ready to be resumed, and closes the database.
    ///
    /// - Returns: The run that was left open; nil where there is none.
    @discardableResult
    package func stop() async -> RunRecord? {
        isStopped = true
        let left = await driver.stop()
        if opened != nil { await writeLastCalls() }
        await opened?.context.engine.close()
        await source.close()
        opened = nil
        lock = nil
        return left.flatMap { $0.state.isOpen ? $0 : nil }
    }

    /// Opens a session for a peer.
    ///
    /// - Throws: ``ControlError`` with `callerNotAllowed` where no role lets the peer in.
    package func openSession(for peer: Peer, hello: SessionHello) async throws -> any ControlChannel {
        // A command of one's own asks at its first call, so that what it opens is what the call needs.
        if life == .daemon {
            let instance = try await self.instance()
            guard role(of: peer, in: instance.configuration) != nil else {
                let refusal = Invocation.refusal(of: "a session", to: peer, holding: nil, needing: .viewer)
                await audit(refusal: "session.open", "{}", by: peer, why: refusal.message, in: instance)
                throw refusal
            }
        }
        return Session(self, peer: peer, hello: hello)
    }

    /// The instance, opened at the first call.
    ///
    /// - Parameters:
    ///   - configuration: What to open, where it was read already.
    ///   - beginsJournal: Whether a journal that is missing is begun anew.
    /// - Returns: The instance.
    /// - Throws: Whatever stands in the way.
    package func instance(_ configuration: Configuration? = nil, beginsJournal: Bool = false) async throws -> Instance {
        if let opened { return opened }
        // Whoever waits for another's opening gets the hooks as well.
        if let opening { return withHooks(try await opening.value) }
        let task = Task { [source] in
            let read = if let configuration { configuration } else { try await source.configuration() }
            return try await source.open(read, beginsJournal: beginsJournal)
        }
        opening = task
        defer { opening = nil }
        let instance = withHooks(try await task.value)
        opened = instance
        return instance
    }

    /// The configuration that holds: the loaded one, else the file's.
    func configuration() async throws -> Configuration {
        if let opened { return opened.configuration }
        return try await source.configuration()
    }

    /// Takes a changed configuration up for a command of its own, as every command on it would; a daemon is asked to.
    ///
    /// - Throws: ``ControlStoreError`` with `callerConfigurationConflict` or `storeSetBack`, or what stands in the way.
    func takeUp(_ configuration: Configuration, for peer: Peer) async throws {
        guard life == .command, let instance = opened else { return }
        let present = try await instance.context.control.read { try $0.configurationHash() }
        guard present != configuration.hash else { return }
        let engine = try await instance.engine(for: peer.description)
        try await engine.requireCurrent()
        let arguments = FrameValue.map(["hash": .string(configuration.hash)]).json()
        let outcome = try await AuditLog(instance.context).intent("configuration.load", arguments, by: peer)
        outcome.note("taken up by a command, nothing granted")
        do {
            try await engine.apply(configuration) { try outcome.record(in: $0) }
            try await outcome.finish()
        } catch {
            try await outcome.fail(.failed, ControlError(wrapping: error).message)
            throw error
        }
    }

    /// Works by another configuration of the same database from now on.
    package func replace(_ configuration: Configuration) async {
        await inTurn { service in
            guard await service.work(by: configuration) else { return }
            await service.replaced?(configuration)
        }
    }

    /// Works by the configuration that holds with what has come about since, such as a plugin that was registered.
    package func refreshProviders() async {
        await inTurn { service in
            guard let present = await service.opened?.configuration else { return }
            _ = await service.work(by: present)
        }
    }

    /// Does one replacement after the other, in the order in which they were asked for.
    private func inTurn(_ body: @escaping @Sendable (InstanceService) async -> Void) async {
        let before = replacing
        let task = Task {
            await before?.value
            await body(self)
        }
        replacing = task
        await task.value
    }

    /// Has the open instance work by a configuration; false where there is none, or none any more.
    private func work(by configuration: Configuration) async -> Bool {
        guard !isStopped, var instance = opened else { return false }
        await collectCalls()
        do {
            instance = try await source.instance(instance, takingUp: configuration)
        } catch {
            logger.error(
                "providers stay as they were; restart the daemon", metadata: ["reason": "\(Self.reason(of: error))"])
            instance.configuration = configuration
        }
        guard !isStopped else { return false }
        opened = withHooks(instance)
        return true
    }

    /// Has something done with each configuration that is taken up from now on.
    func onReplace(_ body: @escaping @Sendable (Configuration) async -> Void) { replaced = body }

    /// An instance whose runs perform the hooks of its configuration.
    private func withHooks(_ instance: Instance) -> Instance {
        var instance = instance
        let configuration = instance.configuration
        instance.context.hooks = configuration.hooks.isEmpty ? nil : ScriptedHooks(self, configuration)
        return instance
    }

    /// What a peer may do.
    nonisolated func role(of peer: Peer, in configuration: Configuration) -> Role? {
        Permissions(configuration, directory: source.directory).role(of: peer)
    }

    /// Records that a call was not let through; one that cannot be recorded is refused all the same.
    func audit(
        refusal call: String, _ arguments: String, by peer: Peer, why: String, in instance: Instance
    ) async {
        guard refusals.admits(peer.uid) else {
            logger.warning("refusal not recorded, too many", metadata: ["call": "\(call)", "uid": "\(peer.uid)"])
            return
        }
        do {
            try await AuditLog(instance.context).refusal(call, arguments, by: peer, why: why)
        } catch {
            logger.error("refusal not recorded", metadata: ["call": "\(call)", "uid": "\(peer.uid)"])
        }
    }

    /// Says of a crash's calls what is known of them, and makes requests again that only the journal holds.
    func bringIntoOrder(_ instance: Instance) async throws {
        let engine = try await instance.engine(for: "keyturn")
        try await engine.requireCurrent()
        for call in try await AuditLog(instance.context).reconcile() {
            guard let wish = RunWish(call) else { continue }
            do { try await engine.ask(wish.request, of: wish.run) } catch let error as RotationError
                where error.code == .callerRunState
            {
                // The run has ended by itself meanwhile.
            }
        }
    }

    private func resumeOpenRun() async throws {
        guard await driver.run == nil, let instance = opened else { return }
        let engine = try await instance.engine(for: "keyturn")
        guard let run = try await instance.context.control.read({ try $0.openRun() }), run.state != .needsOperator,
            try await engine.liveLease() == nil
        else { return }
        // The scheduler goes on with what it began, within windows.
        let declared = Set(instance.configuration.schedules.map(\.name))
        let occurrence = try await instance.context.control.read { try $0.occurrence(of: run) }
        if let occurrence, declared.contains(occurrence.id.schedule) { return }
        try await engine.requireCurrent()
        logger.notice("run resumed", metadata: ["run.id": "\(run.id)", "phase": "\(run.phase.rawValue)"])
        _ = try await driver.launch(engine, DriveOptions()) { run.id }
    }

    static func reason(of error: any Error) -> String { (error as? any CodedError)?.message ?? "\(error)" }
}

/// A request to a run that only the node's journal holds.
struct RunWish {
    let run: Int64
    let request: RunRequest

    init?(_ call: PendingAudit) {
        guard let arguments = FrameValue(json: call.arguments), case .integer(let run)? = arguments["run"] else {
            return nil
        }
        switch call.call {
        case "runs.pause": request = .pause
        case "runs.cancel": request = .cancel
        default: return nil
        }
        self.run = run
    }
}

/// Lets so many refusals of one user a minute into the audit log, so that nobody fills the database by being refused.
struct RefusalMeter {
    private var counts: [UInt32: Int] = [:]
    private var begun = ContinuousClock.now
    private static let most = 60

    mutating func admits(_ uid: UInt32) -> Bool {
        if ContinuousClock.now - begun > .seconds(60) {
            counts = [:]
            begun = .now
        }
        counts[uid, default: 0] += 1
        return counts[uid, default: 0] <= Self.most
    }
}
