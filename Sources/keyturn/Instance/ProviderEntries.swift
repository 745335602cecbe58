internal import Control
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Rotation

extension API {
    /// What only the host of the providers knows of them: `providers.…`.
    static func providers(of hosted: HostedProviders) -> [Entry] {
        [
            Entry(
                "providers.show", "Show a provider: its settings, calls and latencies; it is not asked",
                example: "providers.show(\"local\")", parameters: [.provider],
                result: "kind, settings, whether it is reached, held keys, process, calls", errors: ["callerNotFound"],
                role: .viewer
            ) { call in
                let summary = try await hosted.current().show(try call.arguments.name("name"))
                return try Answer(encoding: summary, summary.blocks)
            },
            Entry(
                "providers.describe", "Ask a provider which key it wraps with",
                example: "providers.describe(\"local\").key", parameters: [.provider], result: "key, usable, summary",
                errors: ["callerNotFound", "providerUnavailable"], role: .viewer
            ) { call in
                let key = try await hosted.current().describe(try call.arguments.name("name"))
                return Answer(
                    ["key": .string(key.id), "usable": .bool(key.isUsable), "summary": .string(key.summary)],
                    [
                        .record([
                            .init("key", key.id), .init("usable", key.isUsable ? "yes" : "no"),
                            .init("summary", key.summary),
                        ])
                    ], isGood: key.isUsable)
            },
            Entry(
                "providers.versions", "Ask a provider which of its keys still unwrap, oldest first",
                details: "Not every provider can tell; the last one wraps.", example: "providers.versions(\"local\")",
                parameters: [.provider], result: "a list of key and summary",
                errors: ["callerNotFound", "providerUnavailable", "providerUnsupported"], role: .viewer
            ) { call in
                let keys = try await hosted.current().versions(try call.arguments.name("name"))
                let values = keys.map { key -> FrameValue in
                    ["key": .string(key.id), "summary": .string(key.summary)]
                }
                let columns = ["key", "summary"].map { Answer.Column($0) }
                return Answer(
                    .array(values), [.table(title: nil, columns: columns, rows: keys.map { [$0.id, $0.summary] })])
            },
        ]
    }

    /// The programs that may be executed as providers: `plugins.…`.
    static func plugins(of hosted: HostedProviders) -> [Entry] {
        [
            Entry(
                "plugins.list", "List the registered plugins", example: "plugins.list()", result: "a list of plugins",
                role: .viewer
            ) { call in
                let plugins = try await PluginCatalogue(call.instance.context.control).list()
                return Answer(.array(plugins.map(value)), [plugins.block])
            },
            Entry(
                "plugins.verify", "Compare every registered plugin's file with what was registered",
                details: "Good only where each is as it was. Nothing is started.", example: "plugins.verify()",
                result: "plugin, standing and remark of each", role: .viewer
            ) { call in
                let found = try await PluginCatalogue(call.instance.context.control).verify()
                let values = found.map { found -> FrameValue in
                    [
                        "plugin": .string(found.record.name.description), "standing": .string(found.standing.rawValue),
                        "remark": .string(found.remark),
                    ]
                }
                return Answer(
                    .array(values), [found.block], isGood: found.allSatisfy { $0.standing == .unchanged })
            },
            Entry(
                "plugins.register", "Allow a plugin's file to be executed, as it is now",
                details: """
                    The file is started once to see that it is a plugin. From then on it is executed only while its SHA-256 is \
                    the same; register it again after an upgrade, then plugins.reload puts it in place.
                    """,
                example: "plugins.register(\"vault\", \"/usr/lib/keyturn/vault\")",
                parameters: [
                    .required("name", .text, "the name that keyturn.lua refers to it by"),
                    .required("path", .text, "the file"),
                    .optional("sha256", .text, "the SHA-256 that the file must have"),
                    .optional("environment", .texts, "variables that it is given", default: []),
                ], result: "the plugin", errors: ["providerMisconfigured", "providerUnavailable"], role: .serverAdmin,
                effect: .changes(proposeRegistering), handler: register),
            Entry(
                "plugins.reload", "Put the registered file of a provider's plugin in the place of what runs",
                details: """
                    The new process wraps and unwraps a key, and unwraps what the old one wrapped and a stored key for each \
                    key of the provider, before it takes over; where it does not, the old one goes on. A provider whose file \
                    keyturn.lua names by path = is started anew from that file.
                    """,
                example: "plugins.reload(\"mine\")", parameters: [.provider], result: "the plugin; null with path =",
                errors: ["callerNotFound", "providerMisconfigured"], role: .serverAdmin, effect: .adds
            ) { call in
                let name = try call.arguments.name("name")
                let record = try await plugin(of: name, call)
                try await hosted.current().reload(name, from: record, proving: try await storedKeys(of: name, call))
                return Answer(record.map(value) ?? .null, record.map { [.record($0.fields)] } ?? [])
            },
            Entry(
                "plugins.unregister", "Forbid a plugin's file to be executed; the file stays",
                example: "plugins.unregister(\"vault\")",
                parameters: [.required("name", .text, "the plugin")], result: "nothing", errors: ["callerNotFound"],
                role: .serverAdmin,
                effect: .changes { call in
                    let name = try call.arguments.name("name")
                    return Proposal("This takes the plugin \"\(name)\" out of the catalogue", byTyping: "\(name)")
                }
            ) { call in
                try await PluginCatalogue(call.instance.context.control).unregister(
                    try call.arguments.name("name"), alongside: call.alongside)
                await call.service.refreshProviders()
                return Answer(.null)
            },
        ]
    }

    /// What is registered of a provider's plugin; nil where its declaration names the file itself.
    private static func plugin(of name: Name, _ call: Invocation) async throws -> PluginRecord? {
        let declared = call.instance.configuration.providers.first { $0.name == name }
        if declared?.kind == "plugin", declared?.settings["path"] != nil { return nil }
        let plugins = try await PluginCatalogue(call.instance.context.control).list()
        guard let record = plugins.first(where: { $0.name.description == declared?.settings["plugin"] }) else {
            throw ControlError(
                .callerNotFound, "provider \"\(name)\" has no registered plugin",
                hint: "providers.list() and plugins.list() say what there is.")
        }
        return record
    }

    /// One stored key for each key of the provider that has wrapped any.
    private static func storedKeys(of provider: Name, _ call: Invocation) async throws -> [StoredKey] {
        try await call.instance.context.control.read { session in
            guard let instance = try session.instance()?.id else { return [] }
            var stored: [String: StoredKey] = [:]
            for keyring in try session.keyrings().map(\.keyring) {
                for version in keyring.versions {
                    for wrap in try session.wraps(of: version.id) where wrap.provider == provider {
                        let binding = WrapBinding(instance: instance, keyring: keyring.name, key: version.id)
                        stored[wrap.wrapped.providerKeyID] = StoredKey(wrap.wrapped, boundTo: binding)
                    }
                }
            }
            return stored.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    private static func proposeRegistering(_ call: Invocation) async throws -> Proposal {
        let (name, path) = (try call.arguments.required("name"), try call.arguments.required("path"))
        let sha256 = try PluginFile(path: path).load(expecting: call.arguments.text("sha256")?.lowercased()).sha256
        var proposal = Proposal(
            "This lets \(quoted(path)) be executed as plugin \"\(name)\"; its SHA-256 is \(sha256)", byTyping: name,
            facts: [sha256] + call.arguments.texts("environment"))
        proposal.subject = sha256
        return proposal
    }

    private static func register(_ call: Invocation) async throws -> Answer {
        let path = try call.arguments.required("path")
        // What was confirmed, and nothing that has come to lie there since.
        guard let confirmed = call.proposal?.subject as? String else {
            throw ControlError(.internalProtocol, "the plugin's file was not read")
        }
        call.outcome?.note("sha256 \(confirmed)")
        let record = try await PluginCatalogue(call.instance.context.control).register(
            try call.arguments.name("name"), path: path, sha256: confirmed,
            environment: PluginLaunch.environment(naming: call.arguments.texts("environment")),
            at: call.instance.context.now(), by: call.actor, alongside: call.alongside)
        // A provider that waited for its plugin can be used from now on.
        await call.service.refreshProviders()
        return Answer(value(of: record), [.record(record.fields)])
    }

    private static func value(of record: PluginRecord) -> FrameValue {
        [
            "plugin": .string(record.name.description), "kind": .string(record.kind),
            "version": .string(record.version), "path": .string(record.path), "sha256": .string(record.sha256),
            "registeredAt": .string(record.registeredAt.description), "registeredBy": .string(record.registeredBy),
        ]
    }
}

extension Parameter {
    fileprivate static var provider: Parameter { .required("name", .provider, "the provider") }
}

extension PluginRecord {
    /// What people read.
    fileprivate var fields: [Answer.Field] {
        [
            .init("plugin", "\(name)"), .init("kind", kind), .init("version", version), .init("path", path),
            .init("sha256", sha256), .init("registered", "\(registeredAt) by \(registeredBy)"),
        ]
    }
}

extension [PluginRecord] {
    /// What people read.
    fileprivate var block: Answer.Block {
        let headers = ["plugin", "kind", "version", "sha256", "path"]
        let rows = map { ["\($0.name)", $0.kind, $0.version, $0.sha256.prefix(16) + "…", $0.path] }
        return .table(title: nil, columns: headers.map { Answer.Column($0) }, rows: rows)
    }
}

extension [PluginCatalogue.Verification] {
    /// What people read.
    fileprivate var block: Answer.Block {
        let rows = map { ["\($0.record.name)", $0.standing.rawValue, $0.remark] }
        return .table(title: nil, columns: ["plugin", "standing", "remark"].map { Answer.Column($0) }, rows: rows)
    }
}

extension ProviderSummary {
    /// What people read.
    fileprivate var blocks: [Answer.Block] {
        let shown = settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let reach = isReachable.map { $0 ? "yes" : "no" } ?? "not asked yet"
        let fields: [Answer.Field] = [
            .init("provider", name), .init("kind", kind),
            .init("settings", shown.isEmpty ? "none" : shown.joined(separator: " ")), .init("reached", reach),
            .init("keys held", String(heldKeys)), .init("process", process.map(String.init) ?? "none"),
        ]
        let rows = calls.sorted { $0.key < $1.key }.map { name, entry in
            [name, String(entry.calls), String(entry.failures)]
                + [entry.lastMilliseconds, entry.meanMilliseconds, entry.worstMilliseconds]
                .map { String(format: "%.1f", $0) }
        }
        let numbers = ["calls", "failed", "last ms", "mean ms", "worst ms"].map { Answer.Column($0, isNumber: true) }
        let table = Answer.Block.table(title: nil, columns: [Answer.Column("call")] + numbers, rows: rows)
        return rows.isEmpty ? [.record(fields)] : [.record(fields), table]
    }
}
