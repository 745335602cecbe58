package import ControlStore
internal import Frames
internal import KeyModel
internal import Rotation
internal import Scripting

extension API {
    /// The file that declares everything, and its grant: `configuration.…`.
    static var configuration: [Entry] {
        [
            Entry(
                "configuration.show", "Show which configuration holds, and what its hooks and schedules may call",
                example: "configuration.show()", result: "file, hash, whether the file has changed, grant",
                role: .viewer,
                handler: show),
            Entry(
                "configuration.load",
                "Take up keyturn.lua as its file stands now, and grant its hooks and schedules their calls",
                details: """
                    A configuration whose hash is new is confirmed once: its functions act under this grant without anybody \
                    asking, so the calls that they name are listed first. What they call beyond that is refused to them. With \
                    grant = false, as at SIGHUP, they keep what was granted before and get nothing new.
                    """,
                example: "configuration.load()",
                parameters: [
                    .optional("grant", .truth, "grant them the calls that they name for the first time", default: true)
                ],
                result: "hash, granted calls, and those that they name and did not get",
                errors: ["callerConfigurationInvalid", "callerConfigurationConflict"], role: .serverAdmin,
                effect: .changes(proposeLoading), handler: load),
        ]
    }

    /// What hooks and schedules of a configuration may call once they are granted: the changing entries that its text names, and
    /// those that the actions of its schedules come to.
    package func grantable(by configuration: Configuration) -> [String] {
        // Where a provider may turn its key by itself, the daemon rewraps what lies under the old one.
        let followed = configuration.providers.contains { $0.kind != "local" } ? ["rotations.rewrap"] : []
        let wanted = configuration.mentions.union(configuration.schedules.flatMap(\.impliedCalls) + followed)
        return entries.filter { $0.isMutating && wanted.contains($0.name) && !Self.isForPeople($0.name) }.map(\.name)
    }

    private static func show(_ call: Invocation) async throws -> Answer {
        let held = call.instance.configuration
        let grant = try await call.instance.context.control.read { try $0.grant(of: held.hash) }
        let file = try await call.service.source.configuration()
        let calls = grant?.calls ?? []
        let changed = file.hash != held.hash
        var value: [String: FrameValue] = [
            "file": .string(held.file), "hash": .string(held.hash), "fileHasChanged": .bool(changed),
            "granted": .array(calls.map { .string($0) }),
            "wanted": .array(call.service.api.grantable(by: held).map { .string($0) }),
        ]
        if let grant { value["grantedBy"] = .string(grant.actor) }
        return Answer(
            .map(value),
            [
                .fields([
                    "file": held.file, "hash": held.hash, "file has changed": changed ? "yes" : "no",
                    "granted": calls.isEmpty ? "nothing" : calls.joined(separator: ", "),
                    "granted by": grant.map { "\($0.actor), \($0.at)" } ?? "nobody",
                ])
            ])
    }

    private static func proposeLoading(_ call: Invocation) async throws -> Proposal {
        let configuration = try await call.service.source.configuration()
        guard configuration.database == call.instance.configuration.database else {
            throw ControlError(
                .callerNotFound, "the configuration names another database than the one that is open",
                hint: "Stop Keyturn, then start it with the new one; an instance belongs to one database.")
        }
        try configuration.refuseUnfitSchedules()
        let (calls, withheld) = try await grants(call, configuration)
        let what =
            calls.isEmpty ? "may call nothing that changes anything" : "may call \(calls.joined(separator: ", "))"
        var proposal = Proposal(
            "This takes up \(quoted(configuration.file)), whose hooks and schedules \(what)", byTyping: "load",
            facts: [configuration.hash] + calls)
        proposal.warnings = await call.service.warnings(about: configuration)
        if !withheld.isEmpty { proposal.warnings.append("not granted: \(withheld.joined(separator: ", "))") }
        proposal.subject = configuration
        return proposal
    }

    private static func load(_ call: Invocation) async throws -> Answer {
        guard let configuration = call.proposal?.subject as? Configuration else {
            throw ControlError(.internalProtocol, "the configuration was not read")
        }
        let (calls, withheld) = try await grants(call, configuration)
        let grant = GrantRecord(
            configurationHash: configuration.hash, calls: calls, actor: call.actor, at: call.instance.context.now())
        let granted = calls.isEmpty ? "nothing" : calls.joined(separator: ", ")
        call.outcome?.note("hash \(configuration.hash), granted \(granted)")
        try await call.engine().apply(configuration) { session in
            try session.record(grant)
            try call.alongside(session)
        }
        await call.service.replace(configuration)
        return Answer(
            [
                "hash": .string(configuration.hash), "granted": .array(calls.map { .string($0) }),
                "notGranted": .array(withheld.map { .string($0) }),
            ],
            [
                .lines(
                    ["\(configuration.file) is taken up"] + calls.map { "  may call \($0)" }
                        + withheld.map { "  was not granted \($0)" })
            ])
    }

    /// What the functions of a configuration get: all that they name, or only what was granted before; and what is kept from them.
    private static func grants(
        _ call: Invocation, _ configuration: Configuration
    ) async throws -> (calls: [String], withheld: [String]) {
        let wanted = call.service.api.grantable(by: configuration)
        guard !call.arguments.truth("grant") else { return (wanted, []) }
        let former = [configuration.hash, call.instance.configuration.hash]
        let granted = try await call.instance.context.control.read { session in
            Set(try former.flatMap { try session.grant(of: $0)?.calls ?? [] })
        }
        return (wanted.filter(granted.contains), wanted.filter { !granted.contains($0) })
    }
}
