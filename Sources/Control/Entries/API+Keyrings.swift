internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation

extension API {
    /// Keyrings and their keys: `keyrings.…`.
    static var keyrings: [Entry] {
        [
            Entry(
                "keyrings.list", "List the keyrings", example: "keyrings.list()", result: "a list of keyrings",
                role: .viewer, takesConfiguration: true
            ) { call in try KeyringList(records: try await call.engine().keyrings()).answer() },
            Entry(
                "keyrings.show", "Show a keyring: its versions, and who moved them when and why",
                example: "keyrings.show(\"main\")", parameters: [.required("name", .keyring, "the keyring")],
                result: "the keyring with its versions and moves", errors: ["callerNotFound"], role: .viewer,
                takesConfiguration: true
            ) { call in
                let (record, moves, seals) = try await call.engine().keyring(try call.arguments.name("name"))
                return try KeyringHistory(record: record, moves: moves, seals: seals).answer()
            },
            Entry(
                "keyrings.report", "Report each key's age against what is allowed, its last rotation and the next",
                details: "For audits: -o csv and -o json hold the same. Good only where no key is overdue.",
                example: "keyrings.report()",
                result: "by keyring: age, limit, standing, last rotation with its proof, next due, last drill",
                role: .viewer,
                takesConfiguration: true
            ) { call in
                let engine = try await call.engine()
                let drill = try await call.instance.context.control.read { try $0.drills().first }
                return try await ComplianceReport(
                    try engine.keyrings(), runs: try engine.runs(), drill: drill, board: try ScheduleBoard(call)
                ).answer()
            },
            Entry(
                "keyrings.verify", "Open every value with the active key alone and count what else there is",
                details: """
                    Changes nothing. Good only where nothing lies under an older key, everything opens, and no column that is \
                    not declared holds values under a key of ours.
                    """,
                example: "keyrings.verify(\"main\").isClean",
                parameters: [.optional("name", .keyring, "the keyring; default: all")],
                result: "counts by keyring and column", errors: ["callerNotFound", "keyNotUnwrapped"], role: .viewer,
                reportsProgress: true, handler: verify),
            Entry(
                "keyrings.import", "Take over the keys that an application has used so far",
                details: """
                    The first key seals from now on, any others only open. The keys come through a descriptor: \
                    "keyturn keyring import", or "keyturn call keyrings.import … --from-file FILE".
                    """,
                example: "keyrings.import(\"airflow\", \"fernet-list\")",
                parameters: [.required("name", .keyring, "the keyring, declared and still without keys"), .form]
                    + [.optional("core", .text, "the core that the keys are for, as a check")],
                result: "the ids of the keys, the active one first",
                errors: ["callerRequestInvalid", "callerKeyMalformed"],
                role: .serverAdmin, effect: .adds, takesConfiguration: true, handler: importKeys),
            Entry(
                "keyrings.export", "Hand out a keyring's keys for the application that holds them itself",
                details: """
                    They leave through a descriptor, never through a message: "keyturn keyring export", or \
                    "keyturn call keyrings.export … --to-file FILE". Before a run has activated its key the new key comes \
                    last, afterwards first.
                    """,
                example: "keyrings.export(\"airflow\", \"fernet-list\")",
                parameters: [.required("name", .keyring, "the keyring"), .form], result: "nothing",
                errors: ["keyNotActive", "keyNotUnwrapped"], role: .serverAdmin,
                effect: .changes { call in
                    let name = try call.arguments.required("name")
                    return Proposal("This prints the keys of \"\(name)\" in clear", byTyping: name)
                }, handler: exportKeys),
        ]
    }

    private static func verify(_ call: Invocation) async throws -> Answer {
        let name = try call.arguments.text("name").map { try Name($0) }
        let engine = try await call.engine()
        let (rows, counted) = AsyncStream.makeStream(of: (String, Int64).self, bufferingPolicy: .bufferingNewest(1))
        let showing = Task {
            for await (column, count) in rows {
                await call.client.show(.progress(.init(run: 0, phase: "verify", subject: column, done: count)))
            }
        }
        defer {
            counted.finish()
            showing.cancel()
        }
        let censuses = try await engine.census(of: name, interrupt: call.scope.interrupt) { counted.yield(($0, $1)) }
        let discovery = try await engine.discover(keysOf: name, interrupt: call.scope.interrupt)
        guard let censuses, let discovery else {
            throw ControlError(.callerInterrupted, "verify was interrupted", hint: "Nothing was changed.")
        }
        return try Verified(censuses, discovery).answer()
    }

    private static func importKeys(_ call: Invocation) async throws -> Answer {
        let name = try call.arguments.name("name")
        let text = try await call.service.files.readSecret(try call.descriptors.first(for: call.entry), call.scope)
        let engine = try await call.engine()
        let ids = try await engine.importKeys(
            text, form: call.arguments.form, into: name, core: call.arguments.text("core"), alongside: call.alongside)
        let census = try await engine.plan(PlanRequest(kind: .rotate, keyring: name))
        for column in census.columns where column.wouldQuarantine > 0 {
            await call.client.show(
                .warning(
                    "\(column.wouldQuarantine) of \(column.sampledRows) values of \"\(column.column)\" do not open"))
        }
        let lines = ids.enumerated().map { "\($0.element) \($0.offset == 0 ? "active" : "deactivated")" }
        return Answer(
            ["keyring": .string(name.description), "keys": .string(ids.map(\.description).joined(separator: ","))],
            [.lines(lines)])
    }

    private static func exportKeys(_ call: Invocation) async throws -> Answer {
        let descriptor = try call.descriptors.first(for: call.entry)
        try await call.checkOutput(descriptor, for: "the keys")
        let text = try await call.engine().exportKeys(of: try call.arguments.name("name"), form: call.arguments.form)
        try await call.service.files.write(text, to: descriptor, call.scope)
        return Answer(.null)
    }
}

extension Parameter {
    fileprivate static var form: Parameter {
        .optional("form", .choice(KeyListForm.allCases.map(\.rawValue)), "how the keys stand there", default: "lines")
    }
}

extension Arguments {
    fileprivate var form: KeyListForm { text("form").flatMap(KeyListForm.init(rawValue:)) ?? .lines }
}
