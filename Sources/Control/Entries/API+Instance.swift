internal import ControlStore
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation

extension API {
    /// The instance as a whole, its root key, its providers, and help.
    static var instance: [Entry] {
        [
            Entry(
                "status", "Say what stands where and what needs someone",
                details: "Good only where nothing needs anyone. Counts every value unless count is false.",
                example: "status{count = false}.problems",
                parameters: [.optional("count", .truth, "open and count the values", default: true)],
                result: "instance, keyrings, providers, open run, problems, notes", errors: ["keyNotUnwrapped"],
                role: .viewer
            ) { call in
                let status = try await call.engine().status(
                    counts: call.arguments.truth("count"), interrupt: call.scope.interrupt)
                guard let status else {
                    throw ControlError(.callerInterrupted, "status was interrupted", hint: "Nothing was changed.")
                }
                return try status.answer().adding(
                    problems: try await ScheduleBoard(call).problems + call.service.turnedKeyProblems)
            },
            Entry(
                "recover", "Accept a database that was set back: restored, failed over, or put in place",
                details: """
                    Until then only opening works. Open runs are cancelled and destroyed keys are struck out again; rotate \
                    afterwards, since values may lie under keys that were already left behind.
                    """,
                example: "recover()", result: "the new epoch, the runs and the keys that it concerned",
                errors: ["storeSetBack"], role: .serverAdmin,
                effect: .accepts(Proposal("This accepts the database as it stands now", byTyping: "recover")),
                handler: recover),
            Entry(
                "help", "Describe an entry, a namespace, or everything", example: "help(\"rotations.rotate\")",
                parameters: [.optional("name", .text, "the entry or the namespace; default: all, one line each")],
                result: "the entries with all that is known of them", errors: ["callerNotFound"], role: .viewer
            ) { call in
                guard let name = call.arguments.text("name") else { return list(call.service.api.entries) }
                let members = call.service.api.entries.filter { $0.namespace == name && $0.name != name }
                if !members.isEmpty { return list(members) }
                let entry = try call.service.api.entry(name)
                return Answer(entry.description, [.lines(entry.helpLines)])
            },
            Entry(
                "apropos", "Find entries by words", example: "apropos(\"wrap\")",
                parameters: [.required("text", .text, "words that must all occur")], result: "the entries",
                role: .viewer
            ) { call in list(call.service.api.matches(try call.arguments.required("text"))) },
            Entry(
                "root.export", "Write an encrypted copy of root.key",
                details: """
                    In the age format, for recipients; it leaves through a descriptor: "keyturn root export", or "keyturn call \
                    root.export … --to-file FILE". Without recipients a passphrase is asked for on the terminal of the process \
                    that hosts the instance.
                    """,
                example: "root.export({\"age1…\"})",
                parameters: [.optional("recipients", .texts, "public keys, age1… or ssh-…", default: [])],
                result: "nothing", errors: ["callerRecipientMalformed", "callerNoTerminal", "providerProgramFailed"],
                role: .serverAdmin,
                effect: .changes { call in
                    let recipients = call.arguments.texts("recipients")
                    return Proposal("This writes an encrypted copy of root.key", byTyping: "root", facts: recipients)
                }
            ) { call in
                let file = try call.descriptors.first(for: call.entry)
                try await call.checkOutput(file, for: "the copy of root.key")
                try CallerFiles.requireRegular(file)
                try await call.service.source.exportRootKey(to: call.arguments.texts("recipients"), into: file)
                try await call.engine().recordEscrow(alongside: call.alongside)
                return Answer(.null)
            },
            Entry(
                "providers.list", "List the key providers, with the key that each wraps under now",
                example: "providers.list()", result: "a list of providers", role: .viewer, handler: providers),
            Entry(
                "providers.test", "Have a provider prove that it works: a checklist",
                example: "providers.test(\"local\")", parameters: [.required("name", .provider, "the provider")],
                result: "checks with outcome and remark", errors: ["callerNotFound", "providerUnavailable"],
                role: .operator, handler: test),
        ]
    }

    private static func list(_ entries: [Entry]) -> Answer {
        Answer(
            .array(entries.map(\.description)),
            [.table(nil, ["call", "does"], rows: entries.map { [$0.signature, $0.summary] })])
    }

    private static func recover(_ call: Invocation) async throws -> Answer {
        let work = { @Sendable in try await call.engine().recover(alongside: call.alongside) }
        let held =
            await call.service.keepsRuns ? nil : try await HeldLock.take(call.instance.directory, until: .now)
        defer { withExtendedLifetime(held) {} }
        let recovery = try await work()
        let runs = recovery.cancelledRuns.map { "run \($0) is cancelled" }
        let keys = recovery.destroyedKeys.map { "key \($0) is struck out again" }
        return try Answer(
            encoding: recovery, [.lines(["the database is accepted at epoch \(recovery.epoch)"] + runs + keys)])
    }

    private static func providers(_ call: Invocation) async throws -> Answer {
        var (values, rows): ([FrameValue], [[String]]) = ([], [])
        for (name, provider) in call.instance.context.providers.sorted(by: { $0.key < $1.key }) {
            let (info, key) = await described(provider, name)
            values.append([
                "name": .string(name.description), "kind": .string(info.kind), "version": .string(info.version),
                "key": .string(key.id), "isUsable": .bool(key.isUsable), "summary": .string(key.summary),
            ])
            rows.append([name.description, info.kind, info.version, key.id, key.isUsable ? "yes" : "no", key.summary])
        }
        let headers = ["provider", "kind", "version", "key", "usable", "summary"]
        return Answer(.array(values), [.table(nil, headers, rows: rows)])
    }

    /// What a provider says of itself and its key; one that does not answer is shown with the reason.
    private static func described(_ provider: any KeyProvider, _ name: Name) async -> (ProviderInfo, ProviderKey) {
        do {
            let call = ProviderCall(deadline: .seconds(10), idempotencyKey: "list-\(name)")
            return (try await provider.info(), try await provider.describeKey(call))
        } catch {
            return (ProviderInfo(kind: "", version: ""), ProviderKey(id: "", isUsable: false, summary: error.message))
        }
    }

    private static func test(_ call: Invocation) async throws -> Answer {
        let name = try call.arguments.name("name")
        guard let provider = call.instance.context.providers[name] else {
            let known = call.instance.context.providers.keys.map(\.description)
            throw ControlError(
                .callerNotFound, "there is no provider \"\(name)\"",
                hint: nearest(to: name.description, among: known).map { "Did you mean \"\($0)\"?" })
        }
        let checks = try await provider.test(ProviderCall(deadline: .seconds(30), idempotencyKey: "test-\(name)"))
        let values = checks.map { check -> FrameValue in
            ["name": .string(check.name), "outcome": .string(check.outcome.rawValue), "remark": .string(check.remark)]
        }
        let rows = checks.map { [$0.name, $0.outcome.rawValue, $0.remark] }
        return Answer(
            .array(values), [.table(nil, ["check", "outcome", "remark"], rows: rows)],
            isGood: checks.allSatisfy { $0.outcome != .fail })
    }
}

extension Entry {
    /// What `help(name)` prints.
    var helpLines: [String] {
        var lines = [signature, "  \(summary).", "  role \(role.rawValue)\(isMutating ? ", changes state" : "")"]
        if !details.isEmpty { lines.append("  \(details)") }
        for parameter in parameters {
            let fallback = parameter.fallback.map { "; default \($0.json())" } ?? ""
            lines.append("  \(parameter.name): \(parameter.kindText); \(parameter.summary)\(fallback)")
        }
        lines.append("  returns \(result)")
        if !errors.isEmpty { lines.append("  errors: \(errors.joined(separator: ", "))") }
        lines.append("  example: \(example)")
        return lines
    }
}
