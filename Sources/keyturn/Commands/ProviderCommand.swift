internal import ArgumentParser
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Rotation
internal import Terminal

/// Implements `keyturn provider`.
struct ProviderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "provider", abstract: "Look at the providers that wrap keys, and try them.",
        subcommands: [
            ProviderListCommand.self, ProviderShowCommand.self, ProviderTestCommand.self, ProviderDescribeCommand.self,
        ],
        defaultSubcommand: ProviderListCommand.self
    )
}

/// Implements `keyturn provider list`.
struct ProviderListCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the providers.")

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let providers = await instance.providers.list()
        let columns = ["provider", "kind", "settings"].map { Table.Column($0) }
        let rows = providers.map { [$0.name, $0.kind, $0.settingsText] }
        return Outcome(Report(providers, [.table(nil, columns: columns, rows: rows)]))
    }
}

/// Implements `keyturn provider show`.
struct ProviderShowCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show one provider.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let provider = try await instance.providers.show(try Name(name))
        let fields = [("provider", provider.name), ("kind", provider.kind), ("settings", provider.settingsText)]
        return Outcome(Report(provider, [.record(fields)]))
    }
}

/// Implements `keyturn provider test`.
struct ProviderTestCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Have a provider try its key from end to end.",
        discussion: "Exit code 1 where a check fails.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let checks = try await instance.providers.test(try Name(name))
        await instance.providers.stop()
        let columns = ["result", "check", "remark"].map { Table.Column($0) }
        let rows = checks.map { [$0.outcome.rawValue, $0.name, $0.remark] }
        let lines = checks.map { ProviderCheckLine(check: $0.name, outcome: $0.outcome.rawValue, remark: $0.remark) }
        return Outcome(
            Report(lines, [.table(nil, columns: columns, rows: rows)]),
            status: checks.contains { $0.outcome == .fail } ? .failed : .ok)
    }
}

/// Implements `keyturn provider describe`.
struct ProviderDescribeCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Ask a provider which key it would wrap with.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let key = try await instance.providers.describe(try Name(name))
        await instance.providers.stop()
        let line = ProviderKeyLine(key: key.id, usable: key.isUsable, summary: key.summary)
        let fields = [("key", key.id), ("usable", key.isUsable ? "yes" : "no"), ("summary", key.summary)]
        return Outcome(Report(line, [.record(fields)]))
    }
}

/// A check's line, for programs.
private struct ProviderCheckLine: Encodable {
    let check: String
    let outcome: String
    let remark: String
}

/// A key's description, for programs.
private struct ProviderKeyLine: Encodable {
    let key: String
    let usable: Bool
    let summary: String
}

extension ProviderSummary {
    /// The settings in one line.
    fileprivate var settingsText: String {
        settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    }
}
