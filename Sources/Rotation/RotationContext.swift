package import ControlStore
package import KeyModel
package import Logging
package import PluginKit
package import Storage

/// What the engine needs from outside: the database, the providers, the cores, the time.
package struct RotationContext: Sendable {
    /// Keyturn's records, and the database beneath.
    package let control: ControlStore
    /// The encryption cores that are built in.
    package let cores: CoreCatalogue
    /// The key providers, by name.
    package var providers: [Name: any KeyProvider]
    /// What the node remembers outside of the database.
    package let memory: NodeMemory
    /// Signs proofs.
    package let signer: any ProofSigner
    /// Who acts, for the records: the peer's user and process.
    package var actor: String
    /// Host and process id, for the lease.
    package let holder: String
    /// The time of day.
    package let now: @Sendable () -> Timestamp
    /// Told of each durable instant; does nothing outside of tests.
    package let reached: @Sendable (DurablePoint) -> Void
    /// Told what is worth knowing later.
    package let logger: Logger
    /// Performs the hooks that the configuration declares; nil where it declares none.
    package var hooks: (any RunHooks)?
    /// What keyturn.lua says of the providers other than the built-in one.
    package var declared: [Name: ProviderDeclaration] = [:]
    /// Says what keeps the next backup from being made, in words, and nil where nothing does; nil where no backups are declared.
    package var backupObstacle: (@Sendable () async throws -> String?)?

    /// The database.
    package var engine: any StorageEngine { control.engine }

    /// Makes a context.
    package init(
        control: ControlStore, cores: CoreCatalogue, providers: [Name: any KeyProvider], memory: NodeMemory,
        signer: any ProofSigner, actor: String, holder: String, now: @escaping @Sendable () -> Timestamp,
        reached: @escaping @Sendable (DurablePoint) -> Void = { _ in }, logger: Logger
    ) {
        self.control = control
        self.cores = cores
        self.providers = providers
        self.memory = memory
        self.signer = signer
        self.actor = actor
        self.holder = holder
        self.now = now
        self.reached = reached
        self.logger = logger
    }
}

extension RotationContext {
    /// The same on a database that is waited for by whoever has ``Patience``.
    var patient: RotationContext {
        guard engine.mayComeBack, !(engine is PatientEngine) else { return self }
        var patient = RotationContext(
            control: ControlStore(engine: PatientEngine(engine)), cores: cores, providers: providers, memory: memory,
            signer: signer, actor: actor, holder: holder, now: now, reached: reached, logger: logger)
        patient.hooks = hooks
        patient.declared = declared
        patient.backupObstacle = backupObstacle
        return patient
    }
}

/// Signs the proof of a rotation with a key outside of the rotated hierarchy.
package protocol ProofSigner: Sendable {
    /// The algorithm and the public key, as `ed25519:` and base64.
    var identity: String { get }

    /// Signs bytes and returns the signature in base64.
    ///
    /// - Throws: A ``CodedError`` where the key cannot be used.
    func sign(_ message: Bytes) throws -> String

    /// Whether a signature in base64 is that of the key with this identity over the bytes.
    func isSignature(_ signature: String, of message: Bytes, by identity: String) -> Bool
}

/// The node's journal, shared by everything that works on the instance.
package actor NodeMemory {
    private var journal: NodeJournal

    /// Shares a journal.
    package init(_ journal: NodeJournal) { self.journal = journal }

    /// What the node remembers now.
    package var entry: NodeJournal.Entry { journal.entry }

    /// Remembers an epoch that the database has committed, and a key that was destroyed with it.
    ///
    /// A database that is set back cannot bring that key back.
    ///
    /// - Throws: ``ControlStoreError`` where the journal cannot be written.
    package func remember(epoch: Int64, destroyed key: KeyID? = nil) throws {
        try journal.update { entry in
            entry.epoch = max(entry.epoch, epoch)
            if let key, !entry.destroyed.contains(key.description) { entry.destroyed.append(key.description) }
        }
    }

    /// Remembers the database's new beginning after `keyturn recover`.
    ///
    /// - Throws: ``ControlStoreError`` where the journal cannot be written.
    package func remember(nonce: String, epoch: Int64) throws {
        try journal.update {
            $0.nonce = nonce
            $0.epoch = epoch
        }
    }

    /// Remembers how far the audit log has come.
    ///
    /// - Throws: ``ControlStoreError`` where the journal cannot be written.
    package func remember(audit head: AuditHead) throws {
        try journal.update { entry in
            if head.number > entry.audit?.number ?? 0 { entry.audit = head }
        }
    }

    /// Changes what the node remembers.
    ///
    /// - Throws: ``ControlStoreError`` where the journal cannot be written.
    package func update(_ change: @Sendable (inout NodeJournal.Entry) -> Void) throws { try journal.update(change) }

    /// Refuses a database that is another one, or older, than the node has seen.
    ///
    /// - Throws: ``ControlStoreError`` with `storeSetBack`.
    package func check(_ instance: InstanceRecord) throws {
        let seen = journal.entry
        let why: String? =
            if instance.id != seen.instance {
                "it belongs to instance \(instance.id)"
            } else if instance.nonce != seen.nonce {
                "it is a copy that began anew elsewhere"
            } else if instance.epoch < seen.epoch {
                "it stands at epoch \(instance.epoch), this node has seen \(seen.epoch)"
            } else { nil }
        guard let why else { return }
        throw ControlStoreError(
            .storeSetBack, "cannot work on this database: \(why)",
            hint:
                "If it was restored or failed over on purpose, run \"keyturn recover\"; until then only opening works."
        )
    }
}
