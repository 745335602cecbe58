internal import Backups
internal import Control
internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Providers
internal import Rotation

/// Which generations of the root key nothing needs any more, and what needs the others.
struct RootPruning: Encodable {
    /// A generation that stays.
    struct Kept: Encodable {
        /// Its number.
        let generation: UInt32
        /// What needs it, in words.
        let why: String
    }

    /// The generations that may go, oldest first.
    let expendable: [UInt32]
    /// The others.
    let kept: [Kept]

    /// Looks at everything that a generation can be needed by.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    init(_ generations: [RootKey.Generation], _ backup: BackupDeclaration?, now: Timestamp, _ session: ControlSession)
        throws
    {
        let (run, backups) = (try session.openRun(), try session.backups(includingDoomed: true))
        let live = try Set(session.keyIDs().flatMap { try session.wraps(of: $0) }.map(\.wrapped.providerKeyID))
        let rewrapped = try session.runs().first { $0.kind == .rewrap && !$0.state.isOpen }?.finishedAt
        var (expendable, kept): ([UInt32], [Kept]) = ([], [])
        for (generation, next) in zip(generations, generations.dropFirst()) {
            let key = generation.providerKeyID
            let needing = backups.filter { $0.wrappers.contains { $0.key == key } }.map { String($0.id) }
            let reasons = [
                run.map { "run \($0.id) is open" },
                live.contains(key) ? "keys are wrapped under it; rewrap them" : nil,
                needing.isEmpty ? nil : "backup \(needing.joined(separator: ", ")) needs it",
                Self.outside(backup, left: max(next.createdAt, rewrapped ?? next.createdAt), now: now),
            ].compactMap { $0 }
            if reasons.isEmpty {
                expendable.append(generation.number)
            } else {
                kept.append(Kept(generation: generation.number, why: reasons.joined(separator: "; ")))
            }
        }
        if let newest = generations.last { kept.append(Kept(generation: newest.number, why: "it wraps")) }
        self.expendable = expendable
        self.kept = kept
    }

    /// What copies that are made elsewhere may need it for.
    private static func outside(_ backup: BackupDeclaration?, left: Timestamp, now: Timestamp) -> String? {
        guard let retention = backup?.externalRetention else {
            return "nobody has said how long backups live that are made elsewhere (external_backup_retention)"
        }
        let reach = max(retention, backup?.pitr ?? .zero)
        guard reach > .zero else { return nil }
        let end = left.advanced(by: reach + DestructionRules.margin)
        return now < end ? "backups or logs kept elsewhere may need it until \(end)" : nil
    }

    /// Refuses where nothing may go.
    ///
    /// - Throws: ``ControlError`` with the exit code of a refusal.
    func require() throws {
        guard expendable.isEmpty else { return }
        let old = kept.dropLast().map { "generation \($0.generation): \($0.why)" }
        throw BackupError(
            .callerPolicyForbids,
            "cannot drop generations of the root key: "
                + (old.isEmpty ? "there is only the one that wraps" : old.joined(separator: "; ")),
            hint: "Nothing was changed; a generation goes once no key and no backup needs it.")
    }
}

extension API {
    /// `root.prune`, beside the backups that generations are kept for.
    static var pruning: [Entry] {
        [
            Entry(
                "root.prune", "Drop the generations of the root key that nothing needs any more",
                details: """
                    Generations stay after a rewrap for the backups whose keys they wrap. Refused while keys or backups need \
                    each of them, or while backups that are made elsewhere may.
                    """,
                example: "root.prune()", result: "the generations that went, and what needs the others",
                errors: ["callerPolicyForbids"], role: .serverAdmin,
                effect: .changes { call in
                    let pruning = try await call.pruning()
                    try pruning.require()
                    let numbers = pruning.expendable.map(String.init)
                    return Proposal(
                        "This drops generation \(numbers.joined(separator: ", ")) of the root key for good",
                        byTyping: "prune", facts: numbers)
                }, takesConfiguration: true
            ) { call in
                let pruning = try await call.withoutNewBackups {
                    let pruning = try await call.pruning()
                    try pruning.require()
                    try call.localProvider().drop(Set(pruning.expendable))
                    return pruning
                }
                let gone = pruning.expendable.map { "generation \($0) is dropped" }
                let kept = pruning.kept.map { "generation \($0.generation) stays: \($0.why)" }
                return try Answer(encoding: pruning, [.lines(gone + kept)])
            }
        ]
    }
}

extension Invocation {
    fileprivate func localProvider() throws -> LocalProvider {
        let provider = instance.context.providers[try Name("local")]
        guard let provider = (provider as? GuardedProvider)?.inner as? LocalProvider else {
            throw ControlError(.callerNotFound, "no root key is kept here: its provider is none that is built in")
        }
        return provider
    }

    fileprivate func pruning() async throws -> RootPruning {
        let (generations, now) = (try localProvider().generations, instance.context.now())
        return try await instance.context.control.read { [backup = instance.configuration.backup] session in
            try RootPruning(generations, backup, now: now, session)
        }
    }

    /// Keeps backups from being made meanwhile, where any are declared; waits so long for one that is.
    func withoutNewBackups<Value>(
        waiting patience: Duration = .zero, _ body: () async throws -> Value
    ) async throws -> Value {
        guard instance.configuration.backup != nil else { return try await body() }
        return try await BackupService(self).holdingFolder(waiting: patience, body)
    }
}
