internal import ArgumentParser
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginConformance
internal import PluginKit
internal import ProviderHost
internal import Rotation
internal import Terminal

/// Implements `keyturn plugin`.
struct PluginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plugin", abstract: "Try, register and look at the programs that hold keys for Keyturn.",
        subcommands: [
            PluginTestCommand.self, PluginRegisterCommand.self, PluginListCommand.self, PluginVerifyCommand.self,
            PluginReloadCommand.self, PluginUnregisterCommand.self,
        ]
    )
}

/// Implements `keyturn plugin test`.
struct PluginTestCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Try a provider from outside, as Keyturn will use it.",
        discussion: """
            SUBJECT is a plugin's file, the endpoint of a KMS v2 plugin (unix:///…), or local. Nothing of an instance is needed \
            or touched; the provider makes and unwraps throw-away keys. One that can make new keys on request is asked for some, \
            which stay where its keys are held; --keep-key leaves that out. Exit code 1 where a check fails.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "A plugin's file, unix:///… or local.")
    var subject: String

    @Option(name: .long, help: "A setting of the provider, name=value; may be given several times.")
    var setting: [String] = []

    @Option(name: .long, help: "An environment variable that the plugin is given; may be given several times.")
    var environment: [String] = []

    @Option(name: .long, help: "The descriptor with the secret that the plugin is given, as in --secret-fd 3 3<pin.")
    var secretFd: String?

    @Flag(name: .long, help: "Do not ask the provider for new keys.")
    var keepKey = false

    @Option(name: .long, help: "The time that one call may take.")
    var deadline: String = "10s"

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let trial = try ProviderTrial(
            subject: subject, settings: try Self.pairs(setting), environment: environment,
            deadline: try Duration(parsing: deadline),
            secret: try secretFd.map { try SecretSource($0, in: ProcessHardening.secrets) }, turnsKeys: !keepKey)
        let results = try await trial.run()
        let failed = results.filter { !$0.isPass }
        let rows = results.enumerated().map { index, result in
            [String(index + 1), result.isPass ? "pass" : "FAIL", result.name, result.failure ?? ""]
        }
        let columns = [
            Table.Column("", alignment: .right), Table.Column("result"), Table.Column("check"), Table.Column("why"),
        ]
        let count = "\(results.count - failed.count) passed, \(failed.count) failed"
        let report = PluginTestReport(
            subject: subject, passed: results.count - failed.count, failed: failed.count,
            checks: results.map { .init(name: $0.name, passed: $0.isPass, why: $0.failure) })
        return Outcome(
            Report(report, [.table(nil, columns: columns, rows: rows), .lines([count])]),
            status: failed.isEmpty ? .ok : .failed)
    }

    /// The settings as they were written, name=value.
    private static func pairs(_ words: [String]) throws -> [String: String] {
        var pairs: [String: String] = [:]
        for word in words {
            guard let split = word.firstIndex(of: "="), split != word.startIndex else {
                throw CommandError(
                    .callerUsage, "\(quoted(word)) is no setting", hint: "Write it as name=value.", status: .usage)
            }
            pairs[String(word[..<split])] = String(word[word.index(after: split)...])
        }
        return pairs
    }
}

/// What `keyturn plugin test` hands to programs.
private struct PluginTestReport: Encodable {
    struct Check: Encodable {
        let name: String
        let passed: Bool
        let why: String?
    }

    let subject: String
    let passed: Int
    let failed: Int
    let checks: [Check]
}

/// Implements `keyturn plugin register`.
struct PluginRegisterCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "register", abstract: "Allow a plugin's file to be executed, as it is now.",
        discussion: """
            The file is started once to see that it is a plugin. From then on it is executed only while its SHA-256 is the same; \
            register it again after an upgrade, then "keyturn plugin reload" puts it in place.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The name for provider \"…\" { kind = \"plugin\", plugin = NAME }.")
    var name: String

    @Argument(help: "The plugin's file.")
    var path: String

    @Option(name: .long, help: "The SHA-256 that the file must have.")
    var sha256: String?

    @Option(name: .long, help: "An environment variable that the plugin is given; may be given several times.")
    var environment: [String] = []

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(
            "plugins.register",
            [
                "name": .string(name), "path": .string(absolutePath(path)), "sha256": .text(sha256),
                "environment": .texts(environment),
            ])
    }
}

/// Implements `keyturn plugin list`.
struct PluginListCommand: CallCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the registered plugins.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("plugins.list") }
}

/// Implements `keyturn plugin verify`.
struct PluginVerifyCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Compare every registered plugin's file with what was registered.",
        discussion: "Exit code 1 where one has changed or cannot be used. Nothing is started."
    )

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("plugins.verify") }
}

/// Implements `keyturn plugin reload`.
struct PluginReloadCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Put the registered file of a provider's plugin in the place of what runs.",
        discussion: """
            The new process wraps and unwraps a key, and unwraps what the old one wrapped, before it takes over; where it does \
            not, the old one goes on.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var provider: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("plugins.reload", ["name": .string(provider)])
    }
}

/// Implements `keyturn plugin unregister`.
struct PluginUnregisterCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "unregister", abstract: "Forbid a plugin's file to be executed; the file stays.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The plugin.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("plugins.unregister", ["name": .string(name)])
    }
}
