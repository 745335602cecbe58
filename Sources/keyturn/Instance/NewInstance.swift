internal import Control
internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Providers
internal import Rotation
internal import Scripting
internal import Storage

/// Makes an instance: its directory first, the database's records last, so that a crash in between is taken up again.
struct NewInstance {
    let directory: InstanceDirectory
    let configurationFile: String
    let namespace: String?
    /// Whether keys that were brought under a customer's key may go back.
    var allowsReturn = false

    func make() async throws -> InstanceRecord {
        let parts = try Parts()
        let configuration = try await parts.load(configurationFile)
        try configuration.refuseUnfitSchedules()
        let store = try await Parts.connect(configuration.database)
        let control = ControlStore(engine: store)
        try await RotationEngine.check(configuration, on: store)
        // Before anything is made, and again once no other process can come in between.
        _ = try await unfinished(control)
        try directory.make()
        return try await InstanceLock(taking: directory).holding {
            let begun = try await unfinished(control)
            let record = if let begun { begun } else { try await record(configuration, parts, control) }
            let local = try LocalProvider(opening: directory.rootKey)
            let context = try parts.context(
                control: control,
                providers: try await parts.providers(of: configuration, local: local, control: control).providers,
                journal: NodeJournal(reading: directory.journal), signer: SigningKey(opening: directory.signingKey)
            )
            let engine = try await RotationEngine(context: context, configurationHash: configuration.hash)
            // Whoever makes an instance grants the functions of its configuration what they name.
            let calls = try API.complete().grantable(by: configuration)
            let grant = GrantRecord(
                configurationHash: configuration.hash, calls: calls, actor: Parts.actor, at: context.now())
            try await engine.apply(configuration) { try $0.record(grant) }
            return record
        }
    }

    /// The instance of an init that was cut off before its configuration was taken up; nil where the database has none.
    ///
    /// - Throws: ``CommandError`` with `callerInstanceExists` for any other instance.
    private func unfinished(_ control: ControlStore) async throws -> InstanceRecord? {
        let (present, configuration) = try await control.read { session in
            guard let present = try session.instance() else { return (InstanceRecord?.none, String?.none) }
            return (present, try session.configurationHash())
        }
        guard let present else { return nil }
        guard configuration == nil, directory.exists, try directory.read().instance == present.id else {
            throw CommandError(
                .callerInstanceExists, "the database belongs to instance \(present.id) already",
                hint: "Use its directory; a second node joins with that instance's root key.", status: .refused
            )
        }
        return present
    }

    /// Makes the node's files, or takes up those of an init that was cut off, then records the instance.
    private func record(
        _ configuration: Configuration, _ parts: Parts, _ control: ControlStore
    ) async throws -> InstanceRecord {
        let now = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
        let files = FileManager.default
        if directory.exists {
            let begun = try directory.read()
            guard begun.configuration == configuration.file else {
                throw CommandError(
                    .callerInstanceExists,
                    "\(quoted(directory.path)) holds an instance for \(quoted(begun.configuration))",
                    hint: "Choose another directory.", status: .refused
                )
            }
        }
        let provider =
            files.fileExists(atPath: directory.rootKey)
            ? try LocalProvider(opening: directory.rootKey) : try LocalProvider.create(at: directory.rootKey, time: now)
        if !files.fileExists(atPath: directory.signingKey) { _ = try SigningKey.create(at: directory.signingKey) }
        let journal =
            files.fileExists(atPath: directory.journal)
            ? try NodeJournal(reading: directory.journal)
            : try NodeJournal(
                creating: directory.journal,
                with: NodeJournal.Entry(node: Self.uuid(), instance: Self.uuid(), nonce: Self.uuid(), epoch: 1)
            )
        let entry = journal.entry
        try directory.write(InstanceDirectory.Description(instance: entry.instance, configuration: configuration.file))
        let record = InstanceRecord(
            id: entry.instance, namespace: namespace ?? configuration.database.defaultNamespace, nonce: entry.nonce,
            epoch: entry.epoch, createdAt: now, rootKeyID: provider.newest.providerKeyID
        )
        try await control.write { [allowsReturn] session in
            try session.migrate(at: now)
            try session.insert(record)
            _ = try session.beginBYOK(externalID: Self.uuid(), allowsReturn: allowsReturn)
        }
        return record
    }

    private static func uuid() -> String { UUID().uuidString.lowercased() }
}

extension DatabaseLocation {
    /// The database's own name, as the namespace of an instance that is given none.
    fileprivate var defaultNamespace: String {
        switch self {
        case .sqlite(let path): URL(filePath: path).deletingPathExtension().lastPathComponent
        case .postgresql(let url): URL(string: url)?.lastPathComponent ?? "postgresql"
        }
    }
}
