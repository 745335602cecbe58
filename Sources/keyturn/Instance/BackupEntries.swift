internal import Backups
internal import Control
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import ProviderHost
internal import Rotation

extension API {
    /// Everything that can be called, the calls of backups and providers among it, whose drivers only the executable knows.
    static func complete(with hosted: HostedProviders = HostedProviders()) throws -> API {
        try API(builtIn + backups + destruction + pruning + providers(of: hosted) + plugins(of: hosted))
    }

    /// The calls on backups.
    private static var backups: [Entry] {
        [
            Entry(
                "backups.create", "Make a backup, prove it, and list it",
                details: """
                    Nothing is listed unless every step succeeded. With run it is the backup before or after that run; in a \
                    hook before or after a run, of that one unless another is named.
                    """,
                example: "backups.create{run = 7, verify = \"restore\"}",
                parameters: [
                    .optional("run", .run, "the run that it belongs to"),
                    .optional("stage", .choice(["before", "after", "manual"]), "when in that run"), .level,
                    .optional("pin", .truth, "keep it whatever its age"),
                    .optional("may_shrink", .truth, "accept it though it is less than half as large as the one before"),
                ], result: "the backup", errors: ["storeFull", "providerProgramFailed", "dataDamaged"], role: .operator,
                effect: .adds, takesConfiguration: true
            ) { call in
                let request = CreateRequest(
                    run: call.arguments.integer("run"),
                    stage: call.arguments.text("stage").flatMap(BackupStage.init(rawValue:)),
                    verify: call.arguments.text("verify").flatMap { BackupLevel(word: $0) },
                    isPinned: call.arguments.truth("pin"), mayShrink: call.arguments.truth("may_shrink"))
                if let directory = call.instance.configuration.backup?.directory {
                    try await call.checkOutput(directory, for: "a backup")
                }
                let service = try BackupService(call)
                return try Answer(try await call.cancellable { try await service.create(request) })
            },
            Entry(
                "backups.list", "List the backups, newest first", example: "backups.list()",
                result: "a list of backups",
                role: .viewer
            ) { call in
                let entries = try await BackupService(call).list()
                return try Answer(encoding: entries, [entries.block])
            },
            Entry(
                "backups.show", "Show a backup and its manifest", example: "backups.show(3)", parameters: [.backup],
                result: "the manifest", errors: ["callerNotFound"], role: .viewer
            ) { call in
                let (entry, manifest) = try await BackupService(call).show(call.backup)
                return try Answer(
                    encoding: ShownBackup(backup: entry, manifest: manifest), [.record(entry.fields + manifest.fields)])
            },
            Entry(
                "backups.verify", "Prove a backup that is there", example: "backups.verify(3)",
                parameters: [.backup, .level, .identity], result: "the backup",
                errors: ["dataDamaged", "dataForeign", "dataKeyringMissing", "keyIdentityMissing"], role: .operator,
                effect: .adds
            ) { call in
                let level = call.arguments.text("verify").flatMap { BackupLevel(word: $0) } ?? .restored
                let (service, id, identity) = (
                    try BackupService(call), try call.backup, call.arguments.text("identity")
                )
                return try Answer(
                    try await call.cancellable { try await service.verify(id, level: level, identity: identity) })
            },
            Entry(
                "backups.restore", "Restore a backup to a new file, database or folder, and open it there",
                example: "backups.restore{id = 3, to = \"/srv/restored.db\"}",
                parameters: [.backup, .place, .identity],
                result: "where it is and what opened", errors: ["callerTargetExists", "keyIdentityMissing"],
                role: .serverAdmin, effect: .adds
            ) { try await $0.restore(mayReplace: false) },
            Entry(
                "backups.replace", "Restore a backup over what stands at a place, and open it there",
                example: "backups.replace{id = 3, to = \"/srv/restored.db\"}",
                parameters: [.backup, .place, .identity],
                result: "where it is and what opened", errors: ["keyIdentityMissing"], role: .serverAdmin,
                effect: .changes { call in
                    let id = try call.backup
                    return Proposal("This replaces what stands where backup \(id) is restored to", byTyping: "replace")
                }
            ) { try await $0.restore(mayReplace: true) },
            Entry(
                "backups.prune", "Remove the backups that retention lets go", example: "backups.prune()",
                result: "what went and what stays", role: .operator,
                effect: .changes { call in
                    let plan = try await BackupService(call).prune(isDryRun: true)
                    return Proposal(
                        "This removes \(plan.removed.count) backups for good", byTyping: "prune",
                        facts: plan.removed.map(String.init))
                }, takesConfiguration: true
            ) { call in
                let result = try await BackupService(call).prune()
                return try Answer(encoding: result, [result.block()])
            },
            Entry(
                "backups.remove", "Remove one backup for good, whatever its age",
                details: """
                    After a leak: make new backups, remove those that the leaked key opens, then destroy the key. Never one \
                    that is pinned or that an open run needs, and never below two that are verified.
                    """,
                example: "backups.remove(3)", parameters: [.backup], result: "what went and what stays",
                errors: ["callerNotFound", "callerPolicyForbids"], role: .serverAdmin,
                effect: .changes { call in
                    let id = try call.backup
                    let service = try BackupService(call)
                    _ = try await service.remove(id, isDryRun: true)
                    let entry = try await service.show(id).entry
                    return Proposal(
                        "This removes backup \(id), made at \(entry.finishedAt), for good", byTyping: "remove",
                        facts: [entry.location])
                }
            ) { call in
                let result = try await BackupService(call).remove(call.backup)
                return try Answer(encoding: result, [result.block()])
            },
            Entry(
                "backups.pin", "Keep a backup whatever its age, or no longer", example: "backups.pin(3)",
                parameters: [
                    .backup, .optional("pinned", .truth, "false leaves it to retention again", default: .bool(true)),
                ],
                result: "the backup", role: .operator, effect: .adds
            ) { try Answer(try await BackupService($0).pin($0.backup, $0.arguments.truth("pinned"))) },
            Entry(
                "backups.import", "Take a backup into the catalogue that has its manifest beside it",
                example: "backups.import(\"/srv/backups/keyturn-….db.age\")",
                parameters: [.required("path", .text, "the backup's file"), .level, .identity], result: "the backup",
                errors: ["dataForeign", "dataDamaged"], role: .operator, effect: .adds
            ) { call in
                let level = call.arguments.text("verify").flatMap { BackupLevel(word: $0) } ?? .checksums
                let (service, path, identity) = (
                    try BackupService(call), try call.arguments.required("path"), call.arguments.text("identity")
                )
                return try Answer(
                    try await call.cancellable {
                        try await service.importBackup(path, level: level, identity: identity)
                    })
            },
            Entry(
                "backups.drill", "Restore a backup aside, open it completely, and record the outcome",
                example: "backups.drill().isPassed",
                parameters: [.optional("id", .integer(1...Int64.max), "the backup; default: the newest"), .identity],
                result: "the outcome", role: .operator, effect: .adds
            ) { call in
                let (service, id, identity) = (
                    try BackupService(call), call.arguments.integer("id"), call.arguments.text("identity")
                )
                let result = try await call.cancellable { try await service.drill(id, identity: identity) }
                return try Answer(encoding: result, result.blocks, isGood: result.isPassed)
            },
            Entry(
                "backups.expendable", "Say which backups retention lets go", example: "backups.expendable()",
                result: "what would go and what stays", role: .viewer
            ) { call in
                let result = try await BackupService(call).prune(isDryRun: true)
                return try Answer(encoding: result, [result.block(isPlan: true)])
            },
            Entry(
                "backups.room", "Say what the next backup takes and what is free", example: "backups.room()",
                result: "sizes in bytes", role: .viewer
            ) { call in
                let room = try await BackupService(call).room()
                return try Answer(encoding: room, room.blocks, isGood: room.obstacle == nil)
            },
        ]
    }

    /// What ends keys.
    private static var destruction: [Entry] {
        [
            Entry(
                "keyrings.destroy", "Ask for the destruction of retired keys, with a report of what it would do",
                details: """
                    Nothing is erased by this. A second person agrees with keyrings.approve, or the delay passes; then \
                    keyrings.erase carries it out. What stands against it is recorded as well.
                    """,
                example: "keyrings.destroy(\"main\", \"superseded\")",
                parameters: [
                    .required("name", .keyring, "the keyring"), .required("reason", .text, "why; kept for ever"),
                    .doomed, .acceptUnread,
                ], result: "the destruction: refused or waiting", role: .serverAdmin, effect: .adds,
                takesConfiguration: true
            ) { call in
                let entry = try await call.engine().requestDestruction(
                    call.destruction(reason: try call.arguments.required("reason")), alongside: call.alongside)
                let isRefused = entry.state == DestructionState.refused.rawValue
                let next =
                    isRefused
                    ? "refused: nothing was changed"
                    : "waits for a second person (keyturn keyring approve \(entry.id)), or until \(entry.dueAt)"
                return try Answer(
                    encoding: entry, [.record(entry.fields)] + entry.report.blocks + [.lines([next])],
                    isGood: !isRefused)
            },
            Entry(
                "keyrings.plan_destruction", "Say what destroying keys would do and what stands against it",
                example: "keyrings.plan_destruction(\"main\")",
                parameters: [.required("name", .keyring, "the keyring"), .doomed, .acceptUnread], result: "the report",
                role: .viewer
            ) { call in
                let report = try await call.engine().destructionReport(call.destruction(reason: ""))
                return try Answer(encoding: report, report.blocks, isGood: report.obstacles.isEmpty)
            },
            Entry(
                "keyrings.destructions", "List what was destroyed, refused or waits",
                example: "keyrings.destructions()",
                result: "a list of destructions", role: .viewer
            ) { call in
                let entries = try await call.engine().destructions(backup: call.instance.configuration.backup)
                return try Answer(encoding: entries, [entries.block])
            },
            Entry(
                "keyrings.approve", "Agree to a destruction that someone else has asked for",
                example: "keyrings.approve(2)", parameters: [.destruction], result: "the destruction",
                errors: ["callerPolicyForbids"], role: .serverAdmin,
                effect: .changes {
                    Proposal("This agrees to destruction \(try $0.backup)", byTyping: "approve")
                }
            ) {
                try Answer(try await $0.engine().approveDestruction(try $0.backup, alongside: $0.alongside))
            },
            Entry(
                "keyrings.spare", "Call a destruction off", example: "keyrings.spare(2)", parameters: [.destruction],
                result: "the destruction", role: .serverAdmin, effect: .adds
            ) { try Answer(try await $0.engine().cancelDestruction(try $0.backup, alongside: $0.alongside)) },
            Entry(
                "keyrings.erase", "Carry out a destruction that was agreed to",
                details: """
                    Asks every condition again, erases the wrapped copies, and proves that nothing opens afterwards. Refused \
                    while a backup is being made; one that is begun at that moment waits.
                    """,
                example: "keyrings.erase(2)", parameters: [.destruction], result: "the destruction",
                errors: ["callerPolicyForbids"], role: .serverAdmin,
                effect: .changes { call in
                    let id = try call.backup
                    let all = try await call.engine().destructions(backup: call.instance.configuration.backup)
                    let keyring = all.first { $0.id == id }?.keyring ?? "erase"
                    return Proposal("This erases keys of \"\(keyring)\" for good", byTyping: keyring)
                }, takesConfiguration: true
            ) { call in
                let entry = try await call.engine().destroy(
                    try call.backup, backup: call.instance.configuration.backup, alongside: call.alongside,
                    withoutBackups: { erase in
                        // A backup that is being made may need the key, and is in no catalogue yet.
                        try await call.withoutNewBackups(waiting: .seconds(10)) { try await erase() }
                    })
                let left = entry.report.versions.flatMap(\.wrappedIn).map { "backup \($0)" } + entry.report.remains
                return try Answer(
                    encoding: entry,
                    [
                        .record(entry.fields),
                        .lines([
                            "erased; opening with these keys fails",
                            "wrapped copies may remain in: \(left.joined(separator: "; "))",
                        ]),
                    ])
            },
        ]
    }
}

extension Parameter {
    fileprivate static var backup: Parameter { .required("id", .integer(1...Int64.max), "the number of the backup") }
    fileprivate static var destruction: Parameter {
        .required("id", .integer(1...Int64.max), "the number of the destruction")
    }
    fileprivate static var doomed: Parameter { .optional("keys", .texts, "the keys; default: all that are retired") }
    fileprivate static var acceptUnread: Parameter {
        .optional(
            "accept_unread", .texts,
            "tables that cannot be looked through and surely hold nothing; kms-v2: what was wrapped for a cluster")
    }
    fileprivate static var identity: Parameter {
        .optional("identity", .text, "the file with a secret key that opens it; default: the declared one")
    }
    fileprivate static var place: Parameter {
        .required("to", .text, "a file, connection string or folder", isSensitive: true)
    }
    fileprivate static var level: Parameter {
        .optional("verify", .choice(["format", "checksums", "restore"]), "how far it is proved")
    }
}

extension Invocation {
    /// Does work that ends, with what it began removed, when the request is asked to end.
    fileprivate func cancellable<Value: Sendable>(
        _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let task = Task { try await work() }
        scope.onCancel { task.cancel() }
        do { return try await task.value } catch is CancellationError {
            throw ControlError(
                .callerInterrupted, "interrupted", hint: "What was begun is removed; the catalogue is as it was.")
        }
    }

    /// Restores the backup that the call is about.
    fileprivate func restore(mayReplace: Bool) async throws -> Answer {
        let (service, id, target) = (try BackupService(self), try backup, try arguments.required("to"))
        let identity = arguments.text("identity")
        try await checkOutput(target, for: "a restored backup")
        let result = try await cancellable {
            try await service.restore(id, to: target, identity: identity, mayReplace: mayReplace)
        }
        return try Answer(encoding: result, result.blocks, isGood: result.unopenable ?? 0 == 0)
    }

    /// The destruction that is asked for.
    fileprivate func destruction(reason: String) throws -> RotationEngine.DestructionRequest {
        let keys = try arguments.texts("keys").map { text in
            guard let key = KeyID(hex: text) else { throw ControlError(.callerUsage, "\(quoted(text)) is no key id") }
            return key
        }
        return .init(
            keyring: try arguments.name("name"), keys: keys.isEmpty ? nil : keys, reason: reason,
            backup: instance.configuration.backup, accepted: arguments.texts("accept_unread"))
    }

    /// The number that the call is about.
    fileprivate var backup: Int64 {
        get throws {
            guard let id = arguments.integer("id") else {
                throw ControlError(.callerUsage, "\(entry.name) needs \"id\"")
            }
            return id
        }
    }
}

extension BackupService {
    /// The service for the instance that a call is about, acting for its caller.
    init(_ call: Invocation) throws {
        try self.init(call.instance, actor: call.actor, alongside: call.alongside)
    }

    /// The service for an instance, acting for somebody.
    init(
        _ instance: Instance, actor: String,
        alongside: @escaping @Sendable (ControlSession) throws -> Void = { _ in }
    ) throws {
        let context = instance.context
        try self.init(
            control: context.control, configuration: instance.configuration, directory: instance.directory,
            cores: context.cores, providers: context.providers, actor: actor, alongside: alongside)
    }
}
