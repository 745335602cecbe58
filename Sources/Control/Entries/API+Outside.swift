internal import ControlStore
internal import Frames
internal import KeyModel

extension API {
    /// `notify.…` and `commands.…`: what reaches outside, by the names that the configuration gives.
    static var outside: [Entry] {
        [
            Entry(
                "notify.list", "List the webhooks that the configuration names", example: "notify.list()",
                result: "a list of names", role: .viewer
            ) { call in names(call.instance.configuration.webhooks.map(\.name), "webhook") },
            Entry(
                "notify.webhook", "Post a message to a webhook",
                details: "The payload is sent as JSON. Only webhooks that keyturn.lua names are reached.",
                example: "notify.webhook(\"ops\", {text = \"rotated\"})",
                parameters: [
                    .required("name", .text, "the webhook"),
                    .optional("payload", .any, "what to send", default: .map([:])),
                ],
                result: "the status of HTTP", errors: ["callerNotFound", "providerUnavailable"], role: .operator,
                effect: .adds, handler: post),
            Entry(
                "commands.list", "List the commands that the configuration names", example: "commands.list()",
                result: "a list of names", role: .viewer
            ) { call in names(call.instance.configuration.commands.map(\.name), "command") },
            Entry(
                "commands.run", "Run a command that the configuration names",
                details: """
                    Only the programs that keyturn.lua names are run; the arguments are added to theirs as they are, never \
                    through a shell. It runs without the environment of Keyturn. Output is kept up to 64 KiB each.
                    """,
                example: "commands.run(\"publish\", \"airflow\").status",
                parameters: [
                    .required("name", .text, "the command"),
                    .rest("arguments", .text, "more arguments, texts or numbers"),
                ],
                result: "status, output, errors",
                errors: ["callerNotFound", "providerUnavailable", "callerLimitExceeded"],
                role: .operator,
                effect: .changes { call in
                    let name = try call.arguments.required("name")
                    let facts = try [name] + command(call).argv + words(call.arguments)
                    return Proposal("This runs command \"\(name)\" outside of Keyturn", byTyping: name, facts: facts)
                }, showsArguments: true, handler: run),
        ]
    }

    private static func names(_ names: [Name], _ header: String) -> Answer {
        Answer(
            .array(names.map { .string($0.description) }), [.table(nil, [header], rows: names.map { [$0.description] })]
        )
    }

    private static func post(_ call: Invocation) async throws -> Answer {
        let name = try call.arguments.required("name")
        guard let webhook = call.instance.configuration.webhooks.first(where: { $0.name.description == name }) else {
            throw unknown(
                "webhook", name, call.instance.configuration.webhooks.map(\.name.description),
                "webhook \"\(name)\" { url = \"https://…\" }")
        }
        let body = Array((call.arguments["payload"] ?? .map([:])).json().utf8)
        guard body.count <= 1 << 20 else {
            throw ControlError(.callerLimitExceeded, "the payload is larger than 1 MiB")
        }
        call.outcome?.reachesOutside()
        let status = try await call.service.webhooks.post(body, to: webhook)
        call.outcome?.note("status \(status)")
        return Answer(
            ["status": .integer(Int64(status))], [.lines(["webhook \"\(name)\" answered with status \(status)"])],
            isGood: (200..<300).contains(status))
    }

    private static func run(_ call: Invocation) async throws -> Answer {
        let command = try command(call)
        let words = try words(call.arguments)
        call.outcome?.reachesOutside()
        let ended = try await OutsideCommand(command, words).run(call.scope)
        call.outcome?.note("exit status \(ended.status)")
        return Answer(
            [
                "status": .integer(Int64(ended.status)), "output": .string(ended.output),
                "errors": .string(ended.errors),
                "isCut": .bool(ended.isCut),
            ],
            [.lines(["command \"\(command.name)\" ended with status \(ended.status)"] + ended.lines)],
            isGood: ended.status == 0)
    }

    private static func command(_ call: Invocation) throws(ControlError) -> CommandDeclaration {
        let name = try call.arguments.required("name")
        let commands = call.instance.configuration.commands
        guard let command = commands.first(where: { $0.name.description == name }) else {
            throw unknown(
                "command", name, commands.map(\.name.description),
                "command \"\(name)\" { argv = { \"/path/to/program\" } }")
        }
        return command
    }

    /// The further arguments as texts.
    private static func words(_ arguments: Arguments) throws(ControlError) -> [String] {
        guard case .array(let values)? = arguments["arguments"] else { return [] }
        var words: [String] = []
        for value in values {
            switch value {
            case .string(let text) where !text.utf8.contains(0): words.append(text)
            case .integer(let number): words.append(String(number))
            default: throw ControlError(.callerUsage, "commands.run: an argument is neither a text nor a whole number")
            }
        }
        guard words.count <= 100, words.reduce(0, { $0 + $1.utf8.count }) <= 1 << 17 else {
            throw ControlError(
                .callerLimitExceeded, "commands.run: more than 100 arguments, or more than 128 KiB of them")
        }
        return words
    }

    private static func unknown(_ what: String, _ name: String, _ known: [String], _ example: String) -> ControlError {
        ControlError(
            .callerNotFound, "keyturn.lua names no \(what) \(quoted(name))",
            hint: nearest(to: name, among: known).map { "Did you mean \"\($0)\"?" } ?? "Declare it: \(example).")
    }
}
