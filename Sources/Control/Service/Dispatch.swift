internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Logging
internal import Rotation
internal import Storage

/// Takes one call from its name to its answer: arguments, role, intent, proposal, confirmation, effect, outcome.
struct Dispatch: Sendable {
    private let service: InstanceService
    private let peer: Peer
    private let hello: SessionHello
    private let client: any ControlClient
    private let scope: CallScope
    /// What the caller may call, where a grant holds it to that; nil for people.
    private let grant: Set<String>?
    private let fence: @Sendable (ControlSession) throws -> Void
    /// What was typed in secret in the caller's session.
    private let secrets: PromptedSecrets

    init(
        _ service: InstanceService, _ peer: Peer, _ hello: SessionHello, _ client: any ControlClient,
        _ scope: CallScope, grant: Set<String>? = nil, secrets: PromptedSecrets = PromptedSecrets(),
        fence: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) {
        self.service = service
        self.peer = peer
        self.hello = hello
        self.client = client
        self.scope = scope
        self.grant = grant
        self.fence = fence
        self.secrets = secrets
    }

    /// Whether a person can be asked.
    var isInteractive: Bool { hello.isInteractive }

    /// Performs a call.
    ///
    /// - Throws: ``ControlError``, or what the instance refused.
    func perform(_ call: Call) async throws -> Answer {
        // Closed in any case.
        let descriptors = Descriptors(call.descriptors)
        let entry = try service.api.entry(call.name)
        let arguments = try Arguments(of: call, for: entry)
        let configuration = try await service.configuration()
        let role = try await allowed(entry, arguments, configuration)
        try refuseSecrets(entry, arguments)
        if case .accepts(let proposal) = entry.effect { try await confirm(proposal, call.confirmation) }
        let instance = try await service.instance(configuration, beginsJournal: entry.beginsJournal)
        if entry.takesConfiguration, role == .serverAdmin { try await service.takeUp(configuration, for: peer) }
        let invocation = Invocation(
            entry: entry, arguments: arguments, peer: peer, role: role, instance: instance, service: service,
            client: client, scope: scope, descriptors: descriptors, fence: fence)
        guard entry.isMutating else {
            return try await checkingRole(invocation) { try await entry.handler(invocation) }
        }
        if entry.beginsJournal { return try await accept(invocation) }
        if case .discloses = entry.effect {
            return try await checkingRole(invocation) { try await disclose(invocation) }
        }
        return try await checkingRole(invocation) { try await change(invocation, call) }
    }

    /// Refuses, and records, a call that the caller's role or its grant does not let through.
    private func allowed(
        _ entry: Entry, _ arguments: Arguments, _ configuration: Configuration
    ) async throws -> Role {
        // A grant stands for the server_admin who gave it, and for no more than it names.
        let role = grant == nil ? service.role(of: peer, in: configuration) : .serverAdmin
        var refusal: ControlError?
        if role.map({ $0 < entry.role }) ?? true {
            refusal = Invocation.refusal(of: entry.name, to: peer, holding: role, needing: entry.role)
        } else if entry.isMutating, API.isForPeople(entry.name), grant != nil || !peer.way.isOfPeople {
            refusal = ControlError(
                .callerNotAllowed, "\(entry.name) is for people alone, and no \(peer.way.rawValue) may call it",
                hint: "Call it in a console, or with \"keyturn call\".")
        } else if let grant, entry.isMutating, !grant.contains(entry.name) {
            refusal = ControlError(
                .callerNotAllowed, "\(entry.name) was not granted to the \(peer.way.rawValue)s of this configuration",
                hint:
                    "Name it in keyturn.lua where it is called, then have it granted: keyturn call configuration.load.")
        }
        guard let refusal else { return role ?? .viewer }
        try await refuse(refusal, entry, arguments, configuration)
        throw refusal
    }

    private func refuse(
        _ refusal: ControlError, _ entry: Entry, _ arguments: Arguments, _ configuration: Configuration
    ) async throws {
        let instance = try await service.instance(configuration)
        await service.audit(
            refusal: entry.name, arguments.audited(entry, without: secrets), by: peer, why: refusal.message,
            in: instance)
    }

    /// Refuses what was typed in secret where everybody on the machine could read it.
    private func refuseSecrets(_ entry: Entry, _ arguments: Arguments) throws(ControlError) {
        guard entry.showsArguments, arguments.hold(secrets) else { return }
        throw ControlError(
            .callerUsage, "\(entry.name): an argument holds what was typed at secret.prompt",
            hint: "The arguments of programs are seen by everybody on the machine; have the program read it itself.")
    }

    /// Records a refusal that only the arguments led to.
    private func checkingRole(
        _ invocation: Invocation, _ body: () async throws -> Answer
    ) async throws -> Answer {
        do { return try await body() } catch let error as ControlError where error.codeName == Self.notAllowed {
            try await refuse(error, invocation.entry, invocation.arguments, invocation.instance.configuration)
            throw error
        }
    }

    private static let notAllowed = ControlError.Code.callerNotAllowed.rawValue

    /// A call that changes something: intent, proposal, confirmation, effect, outcome.
    private func change(_ invocation: Invocation, _ call: Call) async throws -> Answer {
        let entry = invocation.entry
        let log = AuditLog(invocation.instance.context)
        let arguments = invocation.arguments.audited(entry, without: secrets)
        let outcome: AuditOutcome
        do {
            // What a set-back database must not get is not written to it, not even an intent.
            if !entry.outlivesStore { try await invocation.engine().requireCurrent() }
            try await service.bringIntoOrder(invocation.instance)
            outcome = try await log.intent(entry.name, arguments, by: peer)
        } catch let error as StorageError {
            guard entry.outlivesStore else { throw Self.unavailable(error) }
            return try await withoutStore(invocation, call, log)
        }
        var audited = invocation
        audited.outcome = outcome
        var hasBegun = false
        do {
            let confirmed = try await confirmed(audited, call)
            hasBegun = true
            let answer = try await entry.handler(confirmed)
            do { try await outcome.finish() } catch let error as StorageError {
                guard entry.outlivesStore else { throw error }
                try await log.note(entry.name, arguments, by: peer, result: "let through")
            }
            return answer
        } catch {
            let coded = ControlError(wrapping: error)
            let result = Self.result(of: coded, hasBegun: hasBegun, outcome)
            do {
                try await outcome.fail(result, secrets.masked("\(coded.codeName): \(coded.message)"))
            } catch {
                service.logger.error(
                    "outcome not recorded", metadata: ["call": "\(entry.name)", "intent": "\(outcome.intent)"])
            }
            throw error
        }
    }

    /// Hands out what is kept secret once the log, or where it cannot be written the node's journal, says so.
    private func disclose(_ invocation: Invocation) async throws -> Answer {
        let (entry, log) = (invocation.entry, AuditLog(invocation.instance.context))
        let arguments = invocation.arguments.audited(entry, without: secrets)
        var outcome: AuditOutcome?
        do {
            try await invocation.engine().requireCurrent()
            outcome = try await log.intent(entry.name, arguments, by: peer)
        } catch is any CodedError {
            try await log.note(entry.name, arguments, by: peer, result: "let through")
        }
        let result: Result<Answer, any Error>
        do { result = .success(try await entry.handler(invocation)) } catch { result = .failure(error) }
        do {
            switch result {
            case .success: try await outcome?.finish()
            case .failure(let error): try await outcome?.fail(.failed, ControlError(wrapping: error).codeName)
            }
        } catch {
            service.logger.error("outcome not recorded", metadata: ["call": "\(entry.name)"])
        }
        return try result.get()
    }

    /// What the log says of a call that ended with an error: refused where its effect was never begun, unknown where it had
    /// reached outside and was cut off there.
    private static func result(
        of error: ControlError, hasBegun: Bool, _ outcome: AuditOutcome
    ) -> AuditRecord.Result {
        if error.codeName == notAllowed { return .refused }
        guard hasBegun else {
            return [2, 3, 130].contains(error.status) && !error.codeName.hasPrefix("store") ? .refused : .failed
        }
        return outcome.isOutside && [4, 130].contains(error.status) ? .unknown : .failed
    }

    /// Pause, cancel and the like, which must work when the database does not: noted in the node's journal.
    private func withoutStore(_ invocation: Invocation, _ call: Call, _ log: AuditLog) async throws -> Answer {
        let entry = invocation.entry
        let confirmed = try await confirmed(invocation, call)
        let arguments = invocation.arguments.audited(entry, without: secrets)
        try await log.note(entry.name, arguments, by: peer, result: "let through")
        return try await entry.handler(confirmed)
    }

    /// `recover`, confirmed already: another instance's database is refused before anything is written to it.
    private func accept(_ invocation: Invocation) async throws -> Answer {
        _ = try await invocation.engine()
        var audited = invocation
        let outcome = try await AuditLog(invocation.instance.context).intent(
            invocation.entry.name, invocation.arguments.audited(invocation.entry, without: secrets), by: peer,
            acceptsSetBack: true)
        audited.outcome = outcome
        do {
            let answer = try await invocation.entry.handler(audited)
            try await outcome.finish()
            return answer
        } catch {
            try await outcome.fail(.failed, ControlError(wrapping: error).message)
            throw error
        }
    }

    /// Has a call's proposal confirmed; a call that only adds has none.
    private func confirmed(_ invocation: Invocation, _ call: Call) async throws -> Invocation {
        guard case .changes(let propose) = invocation.entry.effect else { return invocation }
        let proposal = try await propose(invocation)
        if let outcome = invocation.outcome { outcome.note("plan \(proposal.hash)") }
        for warning in proposal.warnings { await client.show(.warning(warning)) }
        // What cannot be carried out is not asked about; its handler says why.
        if proposal.isPossible { try await confirm(proposal, call.confirmation) }
        return invocation.with(proposal)
    }

    private func confirm(_ proposal: Proposal, _ confirmation: Confirmation) async throws {
        switch confirmation {
        case .given: return
        case .plan(let hash):
            guard hash == proposal.hash else {
                throw ControlError(
                    .callerPlanStale, "the plan has changed: its hash is \(proposal.hash), not \(quoted(hash))",
                    hint: "Look at the plan again; nothing was changed.")
            }
        case .ask: try await ask(proposal)
        }
    }

    private func ask(_ proposal: Proposal) async throws {
        guard hello.isInteractive else {
            let question = proposal.question.prefix(1).lowercased() + proposal.question.dropFirst()
            throw ControlError(
                .callerNotConfirmed, "not confirmed: \(question), and there is no terminal to ask on",
                hint: "Give --yes, or run it in a terminal; nothing was changed.")
        }
        if let review = proposal.review { await client.show(.review(review)) }
        let question = Question("\(proposal.question).\nType \(quoted(proposal.word)) to go ahead")
        let answer = await client.answer(question)
        if scope.isCancelled { throw ControlError(.callerInterrupted, "interrupted", hint: "Nothing was changed.") }
        guard answer == proposal.word else {
            throw ControlError(
                .callerNotConfirmed, "not confirmed: the answer was not \(quoted(proposal.word))",
                hint: "Nothing was changed.")
        }
    }

    private static func unavailable(_ error: StorageError) -> ControlError {
        ControlError(
            .storeAuditUnavailable, "cannot write the audit log, so nothing is done: \(error.message)", hint: error.hint
        )
    }
}
