internal import ArgumentParser
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Scheduling
internal import Scripting

/// Implements `keyturn init`.
struct InitCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make an instance on a database.",
        discussion: """
            Makes the directory, a root key and Keyturn's own tables. With --database a keyturn.lua that names it is \
            written into the directory, for you to fill in. With --join the directory becomes a further node of the \
            instance that the database belongs to.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Option(name: .long, help: "The keyturn.lua to use; its absolute path is recorded.")
    var config: String?

    @Option(name: .long, help: "The database to protect, sqlite:PATH, where there is no keyturn.lua yet.")
    var database: String?

    @Option(name: .long, help: "The first component of every value's context, for ever; default: the database's name.")
    var namespace: String?

    @Flag(
        name: .long,
        help: "Let keys that were brought under a customer's key go back under the built-in one; fixed for ever.")
    var allowReturn = false

    @Flag(name: .long, help: "Join the instance that the database belongs to, as a further node.")
    var join = false

    @Option(name: .long, help: "With --join: the root.key of another node, which is copied.")
    var rootKey: String?

    func validate() throws {
        if join == (rootKey == nil) { throw ValidationError("give --join and --root-key together, or neither") }
        if join, allowReturn { throw ValidationError("whether keys may return is fixed; leave --allow-return out") }
        if join, namespace != nil {
            throw ValidationError("the namespace of an instance is fixed; leave --namespace out")
        }
    }

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let directory = try global.directory()
        let file = try configurationFile(in: directory)
        let record =
            if let rootKey {
                try await JoiningNode(
                    directory: directory, configurationFile: file,
                    rootKeyFile: URL(filePath: rootKey).standardizedFileURL.path
                ).join()
            } else {
                try await NewInstance(
                    directory: directory, configurationFile: file, namespace: namespace, allowsReturn: allowReturn
                ).make()
            }
        let warnings = try await Parts().load(file).scheduleWarnings(from: SystemClock().now())
        let made = Made(
            instance: record.id, directory: directory.path, configuration: file, namespace: record.namespace,
            rootKey: directory.rootKey
        )
        return Outcome(
            Report(
                made,
                [
                    .record([
                        ("instance", made.instance), ("directory", made.directory),
                        ("configuration", made.configuration),
                        ("namespace", made.namespace), ("root key", made.rootKey),
                    ]),
                    .lines(
                        join
                            ? []
                            : [
                                "Without root.key nothing opens any more, backups included. Export a copy and keep it elsewhere:",
                                "  keyturn root export --passphrase --to root.key.age --instance \(directory.path)",
                            ]),
                    .lines(warnings.map { "warning: \($0)" }),
                ]
            )
        )
    }

    private struct Made: Encodable {
        let instance: String
        let directory: String
        let configuration: String
        let namespace: String
        let rootKey: String
    }

    private func configurationFile(in directory: InstanceDirectory) throws -> String {
        switch (config, database) {
        case (let file?, nil): return URL(filePath: file).standardizedFileURL.path
        case (nil, let url?): return try writeConfiguration(for: url, in: directory)
        default:
            throw CommandError(.callerUsage, "init needs either --config FILE or --database URL", status: .usage)
        }
    }

    private func writeConfiguration(for url: String, in directory: InstanceDirectory) throws -> String {
        try directory.make()
        let file = directory.path + "/keyturn.lua"
        guard !FileManager.default.fileExists(atPath: file) else { return file }
        let absolute =
            url.hasPrefix("sqlite:")
            ? "sqlite:" + URL(filePath: String(url.dropFirst(7))).standardizedFileURL.path : url
        guard absolute.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0 != "\"" && $0 != "\\" }) else {
            throw CommandError(.callerUsage, "the database's address cannot stand in a configuration", status: .usage)
        }
        let text = """
            database "\(absolute)"

            -- keyring "main" { core = "kr1", max_age = "90d" }
            -- column "table.column" { keyring = "main", context = "column" }

            """
        try OutputFile(file).write(Bytes(text.utf8))
        return file
    }
}
