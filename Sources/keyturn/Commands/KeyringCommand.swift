internal import ArgumentParser
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Terminal

extension KeyListForm: ExpressibleByArgument {}

/// Implements `keyturn keyring`.
struct KeyringCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keyring", abstract: "List, show, import, export or destroy keys.",
        subcommands: [
            KeyringListCommand.self, KeyringShowCommand.self, KeyringImportCommand.self, KeyringExportCommand.self,
            KeyringDestroyCommand.self, KeyringDestructionsCommand.self, KeyringApproveCommand.self,
            KeyringSpareCommand.self, KeyringEraseCommand.self,
        ]
    )
}

/// Implements `keyturn keyring list`.
struct KeyringListCommand: InstanceCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the keyrings.")

    @OptionGroup var global: GlobalOptions

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let records = try await instance.engine.keyrings()
        let columns = ["keyring", "core", "provider", "active key", "versions", "max age", "backup"].map {
            Table.Column($0)
        }
        let rows = records.map { record in
            [
                record.keyring.name.description, record.keyring.core, record.provider.description,
                record.keyring.active?.id.description ?? "none", String(record.keyring.versions.count),
                record.keyring.policy.maxAge?.durationText ?? "-", record.keyring.policy.backup.rawValue,
            ]
        }
        return Outcome(
            Report(
                records.map { KeyringDetail($0, moves: [], seals: [:]) }, [.table(nil, columns: columns, rows: rows)]))
    }
}

/// Implements `keyturn keyring show`.
struct KeyringShowCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a keyring: its versions, and who moved them when and why."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var name: String

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let (record, moves, seals) = try await instance.engine.keyring(try Name(name))
        let versions = record.keyring.versions.map { version in
            [
                version.id.description, version.state.rawValue, version.createdAt.description,
                String(seals[version.id] ?? 0),
            ]
        }
        let history = moves.map { move in
            [
                move.at.description, move.key.description, move.from?.rawValue ?? "", move.to.rawValue, move.actor,
                move.reason,
            ]
        }
        return Outcome(
            Report(
                KeyringDetail(record, moves: moves, seals: seals),
                [
                    .record([
                        ("keyring", name), ("core", record.keyring.core), ("provider", record.provider.description),
                        (
                            "consumers",
                            record.consumers.isEmpty
                                ? "none" : record.consumers.map(\.description).joined(separator: ", ")
                        ),
                    ]),
                    .table(
                        "versions", columns: ["key", "state", "made", "seals"].map { Table.Column($0) }, rows: versions),
                    .table(
                        "moves", columns: ["at", "key", "from", "to", "by", "why"].map { Table.Column($0) },
                        rows: history
                    ),
                ]
            )
        )
    }
}

/// Implements `keyturn keyring import`.
struct KeyringImportCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Take over the keys that an application has used so far.",
        discussion: "The first key seals from now on, any others only open. The file may be removed afterwards."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring, declared and still without keys.")
    var name: String

    @Option(name: .long, help: "The core that the keys are for, as a check.")
    var core: String?

    @Option(name: .long, help: "The file with the keys; - for standard input.")
    var fromFile: String

    @Option(name: .long, help: "How the keys stand there: lines or fernet-list.")
    var form: KeyListForm = .lines

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let text = try InputFile(fromFile).readSecret()
        let keyring = try Name(name)
        let ids = try await instance.engine.importKeys(text, form: form, into: keyring, core: core)
        let census = try await instance.engine.plan(PlanRequest(kind: .rotate, keyring: keyring))
        for column in census.columns where column.wouldQuarantine > 0 {
            console.note(
                "warning: \(column.wouldQuarantine) of \(column.sampledRows) values of \"\(column.column)\" do not open"
            )
        }
        let lines = ids.enumerated().map { "\($0.element) \($0.offset == 0 ? "active" : "deactivated")" }
        return Outcome(
            Report(["keyring": name, "keys": ids.map(\.description).joined(separator: ",")], [.lines(lines)]))
    }
}

/// Implements `keyturn keyring export`.
struct KeyringExportCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Print a keyring's keys for the application that holds them itself.",
        discussion: """
            One line on standard output, or in a file of mode 0600. Before a run has activated its key the new key comes last, \
            afterwards first. Asks for the keyring's name first; the keys are never logged.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var name: String

    @Option(name: .long, help: "How to write the keys: lines or fernet-list.")
    var form: KeyListForm = .lines

    @Option(name: .long, help: "Write to this new file, mode 0600, instead of standard output.")
    var toFile: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        try console.confirm("This prints the keys of \"\(name)\" in clear", byTyping: name)
        let text = try await instance.engine.exportKeys(of: try Name(name), form: form)
        try OutputFile(toFile).write(text)
        return Outcome(nil)
    }
}

/// A keyring for programs.
private struct KeyringDetail: Encodable {
    struct Version: Encodable {
        let id: String
        let state: String
        let createdAt: String
        let activatedAt: String?
        let deactivatedAt: String?
        let retiredAt: String?
        let sealsReserved: Int64?
    }

    struct Move: Encodable {
        let key: String
        let from: String?
        let to: String
        let at: String
        let actor: String
        let reason: String
    }

    let name: String
    let core: String
    let provider: String
    let consumers: [String]
    let maxAge: String?
    let maxSeals: UInt64?
    let keep: String?
    let backup: String
    let versions: [Version]
    let moves: [Move]

    init(_ record: KeyringRecord, moves: [KeyMove], seals: [KeyID: Int64]) {
        name = record.keyring.name.description
        core = record.keyring.core
        provider = record.provider.description
        consumers = record.consumers.map(\.description)
        maxAge = record.keyring.policy.maxAge?.durationText
        maxSeals = record.keyring.policy.maxSeals
        keep = record.keyring.policy.keep?.durationText
        backup = record.keyring.policy.backup.rawValue
        versions = record.keyring.versions.map { version in
            Version(
                id: version.id.description, state: version.state.rawValue, createdAt: version.createdAt.description,
                activatedAt: version.activatedAt?.description, deactivatedAt: version.deactivatedAt?.description,
                retiredAt: version.retiredAt?.description, sealsReserved: seals[version.id]
            )
        }
        self.moves = moves.map { move in
            Move(
                key: move.key.description, from: move.from?.rawValue, to: move.to.rawValue, at: move.at.description,
                actor: move.actor, reason: move.reason
            )
        }
    }
}
