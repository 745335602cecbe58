internal import ControlStore
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation

/// Moves keyrings under a customer's key: what is left to do is read from the database each time, so that a move that was
/// killed goes on where it stood.
struct BYOKMove: Sendable {
    /// How a keyring was left.
    private struct Left {
        let keyring: Name
        let text: String
        var isDone = true
    }

    private let call: Invocation
    private let subject: BYOKProvider
    private let words: DriveWords

    /// How long a run in hand may take to leave its lock.
    private static let patience = Duration.seconds(30)

    init(_ call: Invocation) async throws {
        self.call = call
        subject = try await BYOKProvider(call)
        words = try DriveWords(call.arguments)
    }

    private var control: ControlStore { call.instance.context.control }

    func proposal() async throws -> Proposal {
        try await demandReady()
        let names = subject.keyrings
        guard !names.isEmpty else {
            throw RotationError(
                .callerPolicyForbids, "keyturn.lua puts no keyring under provider \"\(subject.name)\"",
                hint: "Write provider = \"\(subject.name)\" in the keyrings that are to move.")
        }
        let list = names.map { "\"\($0)\"" }.joined(separator: ", ")
        return Proposal(
            "This wraps the keys of \(list) under the key of \"\(subject.name)\", drops the older wraps, and rotates",
            byTyping: subject.name.description, facts: names.map(\.description) + [subject.settings])
    }

    func perform() async throws -> Answer {
        try await demandReady()
        try await control.write { try call.alongside($0) }
        var left: [Left] = []
        for keyring in subject.keyrings { left.append(try await move(keyring)) }
        let values = left.map { left -> FrameValue in
            ["keyring": .string(left.keyring.description), "state": .string(left.text), "done": .bool(left.isDone)]
        }
        let rows = left.map { [$0.keyring.description, $0.text] }
        return Answer(
            .array(values), [.table(nil, ["keyring", "state"], rows: rows)], isGood: left.allSatisfy(\.isDone))
    }

    /// Refuses before the provider was saved, and while the configuration that was taken up says another one: runs wrap under
    /// that, whatever the file says by now.
    private func demandReady() async throws {
        try await subject.demandSaved()
        for keyring in subject.keyrings {
            let present = try await control.read { try $0.keyring(keyring).provider }
            guard present != subject.name else { continue }
            throw RotationError(
                .callerRequestInvalid,
                "keyring \"\(keyring)\" still has the provider \"\(present)\" in the configuration that was taken up",
                hint: "Take keyturn.lua up first: keyturn call configuration.load.")
        }
    }

    private func move(_ keyring: Name) async throws -> Left {
        if let open = try await control.read({ try $0.openRun() }) {
            guard open.keyring == keyring, open.kind == .rewrap || open.kind == .rotate else {
                throw RotationError(
                    .callerRunOpen, "run \(open.id) of \"\(open.keyring)\" is open: \(open.phase.rawValue)",
                    hint: "Resume it with \"keyturn run resume \(open.id)\", or cancel it, then go on here.")
            }
            let resumed = try await drive { engine in
                try await engine.ask(.none, of: open.id)
                return open.id
            }
            if let left = try await left(of: resumed, keyring) { return left }
        }
        let versions = try await control.read { try $0.keyring(keyring).keyring.versions }
        guard versions.contains(where: { $0.state != .destroyed }) else {
            try await settle(keyring)
            return Left(keyring: keyring, text: "has no key yet; the first one will lie under \(subject.name)")
        }
        let key = try await subject.provider.describeKey(
            ProviderCall(deadline: .seconds(10), idempotencyKey: "byok-\(keyring)"))
        if try await recordExposures(of: keyring, besides: key.id) {
            call.instance.context.reached(.exposureRecorded)
            if let waiting = try await run(.rewrap, keyring) { return waiting }
        }
        try await settle(keyring)
        guard try await mustRotate(keyring) else { return Left(keyring: keyring, text: "under \(key.id)") }
        return try await run(.rotate, keyring) ?? Left(keyring: keyring, text: "under \(key.id), rotated")
    }

    /// Writes down every wrap that is not under the customer's present key.
    ///
    /// - Returns: Whether there are any.
    private func recordExposures(of keyring: Name, besides present: String) async throws -> Bool {
        let now = call.instance.context.now()
        return try await control.write { [subject] session in
            let versions = try session.keyring(keyring).keyring.versions.filter { $0.state != .destroyed }
            let wraps = try versions.flatMap { try session.wraps(of: $0.id) }
            let foreign = wraps.filter { $0.provider != subject.name }
            try session.record(
                foreign.map {
                    BYOKExposure(
                        key: $0.key, keyring: keyring, provider: $0.provider, providerKeyID: $0.wrapped.providerKeyID,
                        since: now)
                })
            return wraps.contains { $0.provider != subject.name || $0.wrapped.providerKeyID != present }
        }
    }

    /// Records that the keyring lies under the customer's key, where no rewrap has done so because there was nothing to wrap
    /// anew; from here on there is no way back.
    private func settle(_ keyring: Name) async throws {
        let now = call.instance.context.now()
        let isNew = try await control.write { [subject] session -> Bool in
            guard try session.movedKeyrings()[keyring] != subject.name else { return false }
            for version in try session.keyring(keyring).keyring.versions where version.state != .destroyed {
                let wraps = try session.wraps(of: version.id)
                guard !wraps.isEmpty, wraps.allSatisfy({ $0.provider == subject.name }) else {
                    throw RotationError(
                        .callerRunState, "key \(version.id) of \"\(keyring)\" does not lie under \(subject.name) alone",
                        hint: "Call byok.continue again; what is wrapped already stays.")
                }
            }
            try session.recordMoved(keyring, to: subject.name, at: now)
            return true
        }
        if isNew { call.instance.context.reached(.keyringMoved) }
    }

    /// Whether the active key once lay elsewhere, and something is sealed under it that can be sealed anew.
    private func mustRotate(_ keyring: Name) async throws -> Bool {
        try await control.read { [subject] session in
            guard let active = try session.keyring(keyring).keyring.active else { return false }
            let sealsSomething = try session.columns().contains { $0.declaration.keyring == keyring }
            return try sealsSomething
                && session.exposures().contains { $0.key == active.id && $0.provider != subject.name }
        }
    }

    /// Plans a run and drives it to its end.
    ///
    /// - Returns: How it was left where it waits for someone; nil where it is done.
    private func run(_ kind: RunKind, _ keyring: Name) async throws -> Left? {
        let request = PlanRequest(kind: kind, keyring: keyring)
        let id = try await drive { engine in
            let plan = try await engine.plan(request)
            return try await engine.start(plan, for: request) { session, run in
                call.outcome?.note("run \(run.id), plan \(run.planHash)")
            }.id
        }
        return try await left(of: id, keyring)
    }

    /// How a run was left; nil where it is done.
    private func left(of run: Int64, _ keyring: Name) async throws -> Left? {
        let left = try await control.read { try $0.run(run) }
        guard left.state != .done, left.state != .doneWithExceptions else { return nil }
        let why = left.message.map { ": \($0)" } ?? ""
        return Left(
            keyring: keyring,
            text: "run \(run) is \(left.state.rawValue) in \(left.phase.rawValue)\(why); call byok.continue again",
            isDone: false)
    }

    private func drive(_ start: @Sendable (RotationEngine) async throws -> Int64) async throws -> Int64 {
        let engine = try await call.engine()
        let options = words.options(keepsRuns: await call.service.keepsRuns)
        let run = try await call.service.driver.launch(engine, options, within: Self.patience) {
            try await start(engine)
        }
        _ = try await RunWatch(invocation: call, run: run, until: words.until).answer()
        return run
    }
}
