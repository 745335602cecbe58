internal import ControlStore
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage

extension API {
    /// Planning runs and starting them: `rotations.…`.
    static var rotations: [Entry] {
        [
            Entry(
                "rotations.plan", "Say what a rotation would do, what it costs and what stands against it",
                details: """
                    Reads the catalogue and a timed sample; changes nothing. The hash holds as long as the plan does: it covers \
                    structure, key versions and policy, not counts.
                    """,
                example: "plan = rotations.plan{keyring = \"main\"}",
                parameters: [
                    .optional("keyring", .keyring, "the keyring; for convert the one that seals afterwards"),
                    .optional("kind", .choice(RunKind.allCases.map(\.rawValue)), "what for", default: "rotate"),
                    .optional("columns", .columns, "for adopt and convert: which columns"),
                    .optional("emergency", .truth, "the present key has leaked"),
                    .context, .newRoot,
                ],
                result: "the plan, with its hash, ready for rotations.apply",
                errors: ["callerNotFound", "keyNotUnwrapped"],
                role: .viewer, takesConfiguration: true
            ) { call in
                let subject = try await RotationSubject(call)
                return try subject.plan.answer(
                    for: subject.words, token: call.service.tokens.issue())
            },
            Entry(
                "rotations.apply", "Carry out a plan as it was reviewed",
                details:
                    "Refused where the state has moved so that the plan would be another one, and where it was applied already.",
                example: "rotations.apply(plan)",
                parameters: [.required("plan", .map, "what rotations.plan handed back")] + DriveWords.parameters,
                result: "the run as it was left", errors: ["callerPlanStale", "callerPolicyForbids", "callerRunOpen"],
                role: .operator, effect: .changes(proposeApplying), reportsProgress: true, handler: start),
            rotation(
                "rotate", "Make a new key for a keyring and seal every value anew under it",
                details: """
                    Works while the application does; may be stopped or killed at any instant and resumed. Ends only when a \
                    full count finds nothing under an older key.
                    """,
                example: "rotations.rotate(\"main\")",
                parameters: [
                    .required("keyring", .keyring, "the keyring"),
                    .optional(
                        "emergency", .truth,
                        "the key has leaked: mark it compromised, cancel and replace a routine run"),
                ], role: .operator),
            rotation(
                "adopt", "Seal the plaintext of declared columns for the first time",
                details: """
                    The columns must be declared in keyturn.lua, all under one keyring; its first key is made where there is \
                    none. From then on a fence refuses writers that do not seal (cores with exact key ids).
                    """,
                example: "rotations.adopt(\"data_source.password\")",
                parameters: [.required("columns", .columns, "the columns")], role: .serverAdmin),
            rotation(
                "convert", "Move the values of columns to a keyring of another core",
                details: """
                    Whoever reads the columns must know the new format before the run starts. When it is done, name the new \
                    keyring in the columns' declarations in keyturn.lua.
                    """,
                example: "rotations.convert({\"connection.password\"}, \"main\")",
                parameters: [
                    .required("columns", .columns, "the columns, all of one keyring"),
                    .required("to", .keyring, "the keyring that seals them afterwards"), .context,
                ], role: .serverAdmin),
            rotation(
                "rewrap", "Wrap a keyring's keys under the provider's present key; rows untouched",
                details: """
                    With new_root the provider makes a new key first. The older one stays with it, since backups may need it; \
                    the copies under it are dropped only when every key is proved to unwrap through the new one.
                    """,
                example: "rotations.rewrap(\"main\")",
                parameters: [
                    .required("keyring", .keyring, "the keyring"),
                    .optional("to", .provider, "the provider that keyturn.lua declares for the keyring, as a check"),
                    .newRoot,
                ], role: .serverAdmin),
        ]
    }

    /// An entry that plans and starts one kind of run.
    private static func rotation(
        _ kind: String, _ summary: String, details: String, example: String, parameters: [Parameter], role: Role
    ) -> Entry {
        Entry(
            "rotations.\(kind)", summary, details: details, example: example,
            parameters: parameters
                + [.optional("plan", .text, "insist on the plan with this hash, as rotations.plan gave it")]
                + DriveWords.parameters,
            result: "the run as it was left", errors: ["callerPlanStale", "callerPolicyForbids", "callerRunOpen"],
            role: role, effect: .changes(propose), takesConfiguration: true, reportsProgress: true, handler: start)
    }

    private static func propose(_ call: Invocation) async throws -> Proposal {
        try await RotationSubject(call).proposal(insistingOn: call.arguments.text("plan"))
    }

    private static func proposeApplying(_ call: Invocation) async throws -> Proposal {
        guard case .map(let plan)? = call.arguments["plan"], case .map(let words)? = plan["arguments"],
            case .string(let hash)? = plan["hash"]
        else {
            throw ControlError(
                .callerUsage, "rotations.apply: this is no plan", hint: "Give it what rotations.plan{…} handed back.")
        }
        let entry = try call.service.api.entry("rotations.plan")
        let arguments = try Arguments(of: Call("rotations.plan", [], named: words), for: entry)
        let subject = try await RotationSubject(arguments, kind: arguments.text("kind") ?? "rotate", call)
        if subject.request.kind != .rotate { try call.require(.serverAdmin) }
        return try subject.proposal(insistingOn: hash)
    }

    /// How long an emergency waits for the process of a routine run to leave at its batch boundary.
    private static let longestTakeOver = Duration.seconds(60)

    private static func start(_ call: Invocation) async throws -> Answer {
        guard let subject = call.proposal?.subject as? RotationSubject else {
            throw ControlError(.internalProtocol, "the rotation was not planned")
        }
        if case .string(let token)? = call.arguments["plan"]?["token"], !call.service.tokens.use(token) {
            throw ControlError(
                .callerPlanStale, "the plan was applied already", hint: "Make a new one; nothing was changed.")
        }
        let engine = try await call.engine()
        let words = try DriveWords(call.arguments)
        let isEmergency = subject.request.urgency == .emergency
        if isEmergency { try await engine.askOpenRunToMakeWay() }
        let run = try await call.service.driver.launch(
            engine, words.options(keepsRuns: await call.service.keepsRuns),
            within: isEmergency ? longestTakeOver : .zero
        ) {
            try await engine.start(subject.plan, for: subject.request) { session, run in
                call.outcome?.note("run \(run.id), plan \(run.planHash)")
                try call.alongside(session)
            }.id
        }
        let answer = try await RunWatch(invocation: call, run: run, until: words.until).answer()
        if subject.request.kind == .convert {
            let columns = subject.columns.joined(separator: ", ")
            await call.client.show(
                .note("Now write keyring = \"\(subject.request.keyring)\" for \(columns) in keyturn.lua."))
        }
        return answer
    }
}

/// What a rotation is to do: the request and the plan that was made for it.
struct RotationSubject: Sendable {
    let request: PlanRequest
    let plan: Plan
    let columns: [String]

    /// Plans what an entry of this name asks for: `rotations.rotate`, or `rotations.plan` with its kind.
    init(_ call: Invocation) async throws {
        let last = call.entry.name.split(separator: ".").last.map(String.init) ?? ""
        try await self.init(call.arguments, kind: call.arguments.text("kind") ?? last, call)
    }

    init(_ arguments: Arguments, kind: String, _ call: Invocation) async throws {
        let engine = try await call.engine()
        columns = arguments.texts("columns")
        var records: [ColumnRecord] = []
        for text in columns { records.append(try await engine.column(try ColumnPath(text))) }
        guard let kind = RunKind(rawValue: kind) else { throw ControlError(.callerUsage, "no such kind of run") }
        let ids: [Int64]? = columns.isEmpty ? nil : records.map(\.id)
        request = PlanRequest(
            kind: kind, urgency: arguments.truth("emergency") ? .emergency : .routine,
            keyring: try Self.keyring(arguments, kind, records), columnIDs: ids,
            context: arguments.text("context").flatMap(Self.scheme), makesNewRoot: arguments.truth("new_root"))
        plan = try await engine.plan(request)
        if kind == .rewrap, let to = arguments.text("to"), to != plan.rewrap?.provider {
            throw ControlError(
                .callerUsage,
                "keyring \"\(plan.keyring)\" is declared with provider \"\(plan.rewrap?.provider ?? "-")\", not \(quoted(to))",
                hint: "Change provider = … in keyturn.lua first.")
        }
    }

    /// What the plan was made for, as `rotations.plan` takes it.
    var words: FrameValue {
        var words: [String: FrameValue] = [
            "kind": .string(request.kind.rawValue), "keyring": .string(request.keyring.description),
            "emergency": .bool(request.urgency == .emergency), "new_root": .bool(request.makesNewRoot),
        ]
        if !columns.isEmpty { words["columns"] = .array(columns.map { .string($0) }) }
        if let context = request.context { words["context"] = .string("\(context)") }
        return .map(words)
    }

    /// What is to be confirmed.
    ///
    /// - Throws: ``ControlError`` with `callerPlanStale` where another plan was reviewed.
    func proposal(insistingOn hash: String?) throws(ControlError) -> Proposal {
        if let hash, hash != plan.hash {
            throw ControlError(
                .callerPlanStale, "the plan has changed: its hash is \(plan.hash), not \(quoted(hash))",
                hint: "Look at \"keyturn plan \(plan.keyring)\" again; nothing was changed.")
        }
        var proposal = Proposal(question, byTyping: plan.keyring, hash: plan.hash)
        proposal.warnings = plan.warnings
        proposal.review = Answer(.null, plan.blocks(withWarnings: false))
        proposal.isPossible = plan.refusals.isEmpty
        proposal.subject = self
        return proposal
    }

    private var question: String {
        let all = columns.joined(separator: ", ")
        return switch request.kind {
        case .rotate where request.urgency == .emergency:
            "This marks the active key of \"\(plan.keyring)\" compromised and rewrites every value of it"
        case .rotate: "This makes a new key for \"\(plan.keyring)\" and rewrites every value of it"
        case .adopt: "This seals the plaintext of \(all.isEmpty ? "its columns" : all) under \"\(plan.keyring)\""
        case .convert: "This seals \(all) anew under \"\(plan.keyring)\" (\(plan.core))"
        case .rewrap:
            "This wraps the keys of \"\(plan.keyring)\" anew under provider \"\(plan.rewrap?.provider ?? "-")\""
        }
    }

    private static func keyring(_ arguments: Arguments, _ kind: RunKind, _ columns: [ColumnRecord]) throws -> Name {
        if kind == .convert, arguments.text("to") != nil { return try arguments.name("to") }
        if arguments.text("keyring") != nil { return try arguments.name("keyring") }
        let keyrings = Set(columns.map(\.declaration.keyring))
        guard let keyring = keyrings.first else { return try arguments.name("keyring") }
        guard keyrings.count == 1 else {
            let names = keyrings.sorted().map(\.description).joined(separator: ", ")
            throw ControlError(
                .callerUsage, "the columns belong to several keyrings: \(names)",
                hint: "Adopt the columns of one keyring at a time.")
        }
        return keyring
    }

    private static func scheme(_ text: String) -> ValueContext.Scheme? {
        let schemes: [String: ValueContext.Scheme] = ["none": .none, "column": .column, "row": .row]
        return schemes[text]
    }
}

extension Parameter {
    fileprivate static var context: Parameter {
        .optional(
            "context", .choice(["none", "column", "row"]),
            "for convert: what values are bound to afterwards; column where the core can")
    }

    fileprivate static var newRoot: Parameter {
        .optional("new_root", .truth, "for rewrap: let the provider make a new key first")
    }
}
