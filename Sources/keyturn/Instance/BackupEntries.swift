internal import Backups
internal import Control
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Rotation

extension API {
    /// Everything that can be called, the calls of backups among it, whose drivers only the executable knows.
    static func complete() throws -> API { try API(builtIn + backups + destruction) }

    /// The calls on backups.
    private static var backups: [Entry] {
        [
            Entry(
                "backups.create", "Make a backup, prove it, and list it",
                details:
                    "Nothing is listed unless every step succeeded. With run it is the backup before or after that run.",
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
                return try Answer(encoding: try await BackupService(call).create(request))
            },
            Entry(
                "backups.list", "List the backups, newest first", example: "backups.list()",
                result: "a list of backups",
                role: .viewer
            ) { try Answer(encoding: try await BackupService($0).list()) },
            Entry(
                "backups.show", "Show a backup and its manifest", example: "backups.show(3)", parameters: [.backup],
                result: "the manifest", errors: ["callerNotFound"], role: .viewer
            ) { try Answer(encoding: try await BackupService($0).show($0.backup).manifest) },
            Entry(
                "backups.verify", "Prove a backup that is there", example: "backups.verify(3)",
                parameters: [.backup, .level, .identity], result: "the backup",
                errors: ["dataDamaged", "dataForeign", "dataKeyringMissing", "keyIdentityMissing"], role: .operator,
                effect: .adds
            ) { call in
                let level = call.arguments.text("verify").flatMap { BackupLevel(word: $0) } ?? .restored
                return try Answer(
                    encoding: try await BackupService(call)
                        .verify(try call.backup, level: level, identity: call.arguments.text("identity")))
            },
            Entry(
                "backups.restore", "Restore a backup to a new file, database or folder, and open it there",
                example: "backups.restore{id = 3, to = \"/srv/restored.db\"}",
                parameters: [
                    .backup, .required("to", .text, "a new file, connection string or folder", isSensitive: true),
                    .identity,
                    .optional("replace", .truth, "replace what stands there"),
                ], result: "where it is and what opened", errors: ["callerTargetExists", "keyIdentityMissing"],
                role: .serverAdmin,
                effect: .changes { call in
                    let id = try call.backup
                    guard call.arguments.truth("replace") else {
                        return Proposal("This restores backup \(id) to a new place", byTyping: "restore")
                    }
                    return Proposal("This replaces what stands where backup \(id) is restored to", byTyping: "replace")
                }
            ) { call in
                let result = try await BackupService(call).restore(
                    try call.backup, to: try call.arguments.required("to"), identity: call.arguments.text("identity"),
                    mayReplace: call.arguments.truth("replace"))
                return try Answer(encoding: result, isGood: result.unopenable ?? 0 == 0)
            },
            Entry(
                "backups.prune", "Remove the backups that retention lets go", example: "backups.prune()",
                result: "what went and what stays", role: .operator,
                effect: .changes { call in
                    let plan = try await BackupService(call).prune(isDryRun: true)
                    return Proposal(
                        "This removes \(plan.removed.count) backups for good", byTyping: "prune",
                        facts: plan.removed.map(String.init))
                }, takesConfiguration: true
            ) { try Answer(encoding: try await BackupService($0).prune()) },
            Entry(
                "backups.pin", "Keep a backup whatever its age, or no longer", example: "backups.pin(3)",
                parameters: [
                    .backup, .optional("pinned", .truth, "false leaves it to retention again", default: .bool(true)),
                ],
                result: "the backup", role: .operator, effect: .adds
            ) { try Answer(encoding: try await BackupService($0).pin($0.backup, $0.arguments.truth("pinned"))) },
            Entry(
                "backups.import", "Take a backup into the catalogue that has its manifest beside it",
                example: "backups.import(\"/srv/backups/keyturn-….db.age\")",
                parameters: [.required("path", .text, "the backup's file"), .level, .identity], result: "the backup",
                errors: ["dataForeign", "dataDamaged"], role: .operator, effect: .adds
            ) { call in
                let level = call.arguments.text("verify").flatMap { BackupLevel(word: $0) } ?? .checksums
                return try Answer(
                    encoding: try await BackupService(call).importBackup(
                        try call.arguments.required("path"), level: level, identity: call.arguments.text("identity")))
            },
            Entry(
                "backups.drill", "Restore a backup aside, open it completely, and record the outcome",
                example: "backups.drill().isPassed",
                parameters: [.optional("id", .integer(1...Int64.max), "the backup; default: the newest"), .identity],
                result: "the outcome", role: .operator, effect: .adds
            ) { call in
                let result = try await BackupService(call)
                    .drill(call.arguments.integer("id"), identity: call.arguments.text("identity"))
                return try Answer(encoding: result, isGood: result.isPassed)
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
                    .optional("keys", .texts, "the keys; default: all that are retired"),
                    .optional("accept_unread", .texts, "tables that cannot be looked through and surely hold nothing"),
                ], result: "the destruction: refused or waiting", role: .serverAdmin, effect: .adds,
                takesConfiguration: true
            ) { call in
                let keys = try call.arguments.texts("keys").map { text in
                    guard let key = KeyID(hex: text) else {
                        throw ControlError(.callerUsage, "\(quoted(text)) is no key id")
                    }
                    return key
                }
                let entry = try await call.engine().requestDestruction(
                    .init(
                        keyring: try call.arguments.name("name"), keys: keys.isEmpty ? nil : keys,
                        reason: try call.arguments.required("reason"), backup: call.instance.configuration.backup,
                        accepted: call.arguments.texts("accept_unread")))
                return try Answer(encoding: entry, isGood: entry.state != DestructionState.refused.rawValue)
            },
            Entry(
                "keyrings.destructions", "List what was destroyed, refused or waits",
                example: "keyrings.destructions()",
                result: "a list of destructions", role: .viewer
            ) { call in
                try Answer(
                    encoding: try await call.engine().destructions(backup: call.instance.configuration.backup))
            },
            Entry(
                "keyrings.approve", "Agree to a destruction that someone else has asked for",
                example: "keyrings.approve(2)", parameters: [.destruction], result: "the destruction",
                errors: ["callerPolicyForbids"], role: .serverAdmin,
                effect: .changes {
                    Proposal("This agrees to destruction \(try $0.backup)", byTyping: "approve")
                }
            ) { try Answer(encoding: try await $0.engine().approveDestruction(try $0.backup)) },
            Entry(
                "keyrings.spare", "Call a destruction off", example: "keyrings.spare(2)", parameters: [.destruction],
                result: "the destruction", role: .serverAdmin, effect: .adds
            ) { try Answer(encoding: try await $0.engine().cancelDestruction(try $0.backup)) },
            Entry(
                "keyrings.erase", "Carry out a destruction that was agreed to",
                details:
                    "Asks every condition again, erases the wrapped copies, and proves that nothing opens afterwards.",
                example: "keyrings.erase(2)", parameters: [.destruction], result: "the destruction",
                errors: ["callerPolicyForbids"], role: .serverAdmin,
                effect: .changes {
                    Proposal("This erases the keys of destruction \(try $0.backup) for good", byTyping: "erase")
                }, takesConfiguration: true
            ) { call in
                let backup = call.instance.configuration.backup
                return try Answer(encoding: try await call.engine().destroy(try call.backup, backup: backup))
            },
        ]
    }
}

extension Parameter {
    fileprivate static var backup: Parameter { .required("id", .integer(1...Int64.max), "the number of the backup") }
    fileprivate static var destruction: Parameter {
        .required("id", .integer(1...Int64.max), "the number of the destruction")
    }
    fileprivate static var identity: Parameter {
        .optional("identity", .text, "the file with a secret key that opens it; default: the declared one")
    }
    fileprivate static var level: Parameter {
        .optional("verify", .choice(["format", "checksums", "restore"]), "how far it is proved")
    }
}

extension Invocation {
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
    fileprivate init(_ call: Invocation) throws {
        let context = call.instance.context
        try self.init(
            control: context.control, configuration: call.instance.configuration,
            directory: call.instance.directory, cores: context.cores, providers: context.providers, actor: call.actor)
    }
}
