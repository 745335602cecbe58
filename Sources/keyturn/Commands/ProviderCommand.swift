internal import ArgumentParser
internal import Control
internal import Frames

/// Implements `keyturn provider`.
struct ProviderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "provider", abstract: "Look at the providers that wrap keys, and try them.",
        subcommands: [
            ProviderListCommand.self, ProviderShowCommand.self, ProviderTestCommand.self, ProviderDescribeCommand.self,
            ProviderVersionsCommand.self,
        ],
        defaultSubcommand: ProviderListCommand.self
    )
}

/// Implements `keyturn provider list`.
struct ProviderListCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the providers, with the key that each wraps under now.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("providers.list") }
}

/// Implements `keyturn provider show`.
struct ProviderShowCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a provider: its settings, calls and latencies; it is not asked.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("providers.show", ["name": .string(name)])
    }
}

/// Implements `keyturn provider test`.
struct ProviderTestCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Have a provider try its key from end to end.",
        discussion: "Exit code 1 where a check fails.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("providers.test", ["name": .string(name)])
    }
}

/// Implements `keyturn provider describe`.
struct ProviderDescribeCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Ask a provider which key it would wrap with.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("providers.describe", ["name": .string(name)])
    }
}

/// Implements `keyturn provider versions`.
struct ProviderVersionsCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "versions", abstract: "Ask a provider which of its keys still unwrap, oldest first.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("providers.versions", ["name": .string(name)])
    }
}
