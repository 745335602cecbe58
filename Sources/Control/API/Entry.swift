package import Frames

/// One entry of the API: everything that callers, checks, help, completion and the written reference need to know of it.
package struct Entry: Sendable {
    /// What a call does to the instance.
    package enum Effect: Sendable {
        /// Nothing; it is neither audited nor confirmed.
        case reads
        /// It hands out what is kept secret: audited, not confirmed, and let through where the log cannot be written, since
        /// reading must go on; then the node's journal notes it.
        case discloses
        /// It only adds, or asks a run to rest: audited, not confirmed.
        case adds
        /// It changes or discloses something: audited, and confirmed for what it proposes.
        case changes(@Sendable (Invocation) async throws -> Proposal)
        /// It accepts a database that was set back: confirmed before the database is even opened, audited then.
        case accepts(Proposal)
    }

    /// Performs a call whose arguments are checked and, where that is needed, whose proposal was confirmed.
    package typealias Handler = @Sendable (Invocation) async throws -> Answer

    /// Its name: `keyrings.list`, `status`.
    package let name: String
    /// What it does, one line without a full stop.
    package let summary: String
    /// What there is to know beyond the summary, in whole sentences; may be empty.
    package var details = ""
    /// A call as it stands in Lua.
    package let example: String
    /// What it takes, in order.
    package var parameters: [Parameter] = []
    /// What it hands back, in words.
    package let result: String
    /// The codes of errors that are its own.
    package var errors: [String] = []
    /// The least role that may call it.
    package let role: Role
    /// What a call does to the instance.
    package let effect: Effect
    /// Whether it is let through when the audit log cannot be written, and noted in the node's journal instead.
    package var outlivesStore = false
    /// Whether a configuration that has changed is taken up before, where no daemon holds another one.
    package var takesConfiguration = false
    /// Whether it shows how far it is through its client while it works.
    package var reportsProgress = false
    /// Whether its arguments are seen by others on the machine, as those of a program are.
    package var showsArguments = false
    /// Carries it out.
    package let handler: Handler

    /// Describes an entry.
    package init(
        _ name: String, _ summary: String, details: String = "", example: String, parameters: [Parameter] = [],
        result: String, errors: [String] = [], role: Role, effect: Effect = .reads, outlivesStore: Bool = false,
        takesConfiguration: Bool = false, reportsProgress: Bool = false, showsArguments: Bool = false,
        handler: @escaping Handler
    ) {
        self.name = name
        self.summary = summary
        self.details = details
        self.example = example
        self.parameters = parameters
        self.result = result
        self.errors = errors
        self.role = role
        self.effect = effect
        self.outlivesStore = outlivesStore
        self.takesConfiguration = takesConfiguration
        self.reportsProgress = reportsProgress
        self.showsArguments = showsArguments
        self.handler = handler
    }

    /// Whether a call changes the state of the instance or discloses what it keeps: then it is audited, and granted to hooks.
    package var isMutating: Bool { if case .reads = effect { false } else { true } }

    /// Whether a call must be confirmed.
    package var isConfirmed: Bool {
        switch effect {
        case .reads, .discloses, .adds: false
        case .changes, .accepts: true
        }
    }

    /// Whether it may begin the node's journal anew, since it accepts the database as it stands.
    var beginsJournal: Bool { if case .accepts = effect { true } else { false } }

    /// What it belongs to: `keyrings`; its own name where it belongs to nothing.
    package var namespace: String { name.split(separator: ".").first.map(String.init) ?? name }

    /// The name with its parameters: `keyrings.show(name)`, those that may be left out in brackets.
    package var signature: String {
        let words = parameters.map { parameter in
            let text = parameter.name + (parameter.takesRest ? "…" : "")
            return parameter.isRequired ? text : "[\(text)]"
        }
        return "\(name)(\(words.joined(separator: ", ")))"
    }

    /// What `help()` shows of it.
    package var description: FrameValue {
        let parameters = parameters.map { parameter -> FrameValue in
            var map: [String: FrameValue] = [
                "name": .string(parameter.name), "type": .string(parameter.kindText),
                "required": .bool(parameter.isRequired), "sensitive": .bool(parameter.isSensitive),
                "summary": .string(parameter.summary),
            ]
            if let fallback = parameter.fallback { map["default"] = fallback }
            if case .choice(let words) = parameter.kind { map["choices"] = .array(words.map { .string($0) }) }
            return .map(map)
        }
        return [
            "name": .string(name), "signature": .string(signature), "summary": .string(summary),
            "details": .string(details), "example": .string(example), "parameters": .array(parameters),
            "result": .string(result), "errors": .array(errors.map { .string($0) }), "role": .string(role.rawValue),
            "mutating": .bool(isMutating), "confirmed": .bool(isConfirmed),
        ]
    }
}

/// What a call that changes something is about to do: what a person or a script confirms.
package struct Proposal: Sendable {
    /// SHA-256 over what the effect depends on, in hexadecimal: the same as long as the proposal holds.
    package let hash: String
    /// What will be done, a sentence without its full stop: `This cancels run 7`.
    package let question: String
    /// What a person types to go ahead.
    package let word: String
    /// What a person should read before.
    package var review: Answer?
    /// What to weigh before.
    package var warnings: [String] = []
    /// What the handler needs of it.
    package var subject: (any Sendable)?
    /// Whether it can be carried out at all; where not, nobody is asked, and the handler says why.
    package var isPossible = true

    /// Proposes something that depends on nothing but its arguments and these facts.
    package init(_ question: String, byTyping word: String, facts: [String] = []) {
        self.question = question
        self.word = word
        hash = Self.hash([question] + facts)
    }

    /// Proposes something whose hash is known.
    package init(_ question: String, byTyping word: String, hash: String) {
        self.question = question
        self.word = word
        self.hash = hash
    }
}
