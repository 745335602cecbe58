internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHost
internal import Providers
internal import Rotation
internal import Storage
internal import StoragePostgreSQL

/// Makes the directory of a further node of an instance whose database is served already.
///
/// The node gets a journal and a signing key of its own and a copy of the root key; the database is only read.
struct JoiningNode {
    let directory: InstanceDirectory
    let configurationFile: String
    /// The root key of the instance, as another node has it.
    let rootKeyFile: String

    func join() async throws -> InstanceRecord {
        let parts = try Parts()
        let configuration = try await parts.load(configurationFile)
        guard case .postgresql = configuration.database else {
            throw CommandError(
                .callerUsage, "a second node joins an instance on PostgreSQL only", hint: "A file has one node.",
                status: .usage)
        }
        let control = ControlStore(engine: try await Parts.connect(configuration.database))
        let present = try await control.read { try PresentInstance(in: $0) }
        guard let present else {
            throw CommandError(
                .callerInstanceMissing, "the database belongs to no instance of Keyturn that could be joined",
                hint: "Make one with \"keyturn init --config FILE\", without --join.")
        }
        let given = try LocalProvider(opening: rootKeyFile)
        try present.refuse(given, from: rootKeyFile)
        try directory.make()
        return try await InstanceLock(taking: directory).holding {
            try await take(present, configuration, parts, control)
            return present.record
        }
    }

    /// Makes the node's files, or takes up those of a join that was cut off; `instance.json` comes last.
    private func take(
        _ present: PresentInstance, _ configuration: Configuration, _ parts: Parts, _ control: ControlStore
    ) async throws {
        let files = FileManager.default
        if directory.exists {
            throw CommandError(
                .callerInstanceExists, "\(quoted(directory.path)) holds an instance already",
                hint: "Choose another directory.", status: .refused)
        }
        if files.fileExists(atPath: directory.journal) {
            let begun = try NodeJournal(reading: directory.journal).entry
            guard begun.instance == present.record.id else {
                throw CommandError(
                    .callerInstanceExists, "\(quoted(directory.path)) was begun for instance \(begun.instance)",
                    hint: "Choose another directory.", status: .refused)
            }
        } else {
            let entry = NodeJournal.Entry(
                node: UUID().uuidString.lowercased(), instance: present.record.id, nonce: present.record.nonce,
                epoch: present.record.epoch, destroyed: present.destroyed)
            _ = try NodeJournal(creating: directory.journal, with: entry)
        }
        if files.fileExists(atPath: directory.rootKey) {
            try present.refuse(try LocalProvider(opening: directory.rootKey), from: directory.rootKey)
        } else {
            try RootKeyFile(path: rootKeyFile).copy(to: directory.rootKey)
        }
        if !files.fileExists(atPath: directory.signingKey) { _ = try SigningKey.create(at: directory.signingKey) }
        // Everything that another command would need is there; as a last proof, an engine is made of it.
        let local = try LocalProvider(opening: directory.rootKey)
        let context = try parts.context(
            control: control,
            providers: try await parts.providers(of: configuration, local: local, control: control).providers,
            journal: NodeJournal(reading: directory.journal), signer: SigningKey(opening: directory.signingKey))
        try await RotationEngine(context: context, configurationHash: configuration.hash).requireCurrent()
        try directory.write(.init(instance: present.record.id, configuration: configuration.file))
    }
}

/// What a database says of the instance that it belongs to.
private struct PresentInstance: Sendable {
    let record: InstanceRecord
    /// The ids of keys that were destroyed.
    let destroyed: [String]
    /// The generations of the root key that its keys are wrapped under; the first one where there is no key yet.
    private let generations: Set<String>

    /// Reads it; nil where the database belongs to none.
    init?(in session: ControlSession) throws {
        if try session.schemaVersion() > ControlSession.schemaVersion { try session.refuseNewerSchema() }
        guard let record = try session.instance(), try session.configurationHash() != nil else { return nil }
        self.record = record
        let versions = try session.keyrings().flatMap(\.keyring.versions)
        destroyed = versions.filter { $0.state == .destroyed }.map(\.id.description)
        let wraps = try versions.flatMap { try session.wraps(of: $0.id) }.filter { $0.provider.description == "local" }
        generations = wraps.isEmpty ? [record.rootKeyID] : Set(wraps.map(\.wrapped.providerKeyID))
    }

    /// Refuses a root key that is not the one that wraps the instance's keys.
    ///
    /// - Throws: ``CommandError`` with `callerFile`.
    func refuse(_ provider: LocalProvider, from path: String) throws {
        let held = Set(provider.generations.map(\.providerKeyID))
        guard let missing = generations.subtracting(held).min() else { return }
        throw CommandError(
            .callerFile, "\(quoted(path)) is not the root key of instance \(record.id): it lacks \(missing)",
            hint: "Take root.key from the directory of a node that works on this database, or from its escrow copy.",
            status: .refused)
    }
}
