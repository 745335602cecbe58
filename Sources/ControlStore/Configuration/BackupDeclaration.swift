/// A `backup { … }`: where backups go, how they are made and proved, how long they stay.
package struct BackupDeclaration: Hashable, Sendable {
    /// How a backup is made.
    package enum Method: String, CaseIterable, Hashable, Sendable {
        /// SQLite's online backup.
        case sqlite
        /// `pg_dump`.
        case logical
        /// `pg_basebackup`.
        case physical
        /// A program of the operator's own.
        case command
    }

    /// The programs of `method = "command"`, each with its arguments.
    package struct Commands: Hashable, Sendable {
        /// Makes a backup and writes what it made to standard output, as JSON.
        package var create: [String]
        /// Proves the checksums of a backup; nil where there is none.
        package var verify: [String]?
        /// Restores a backup into a folder; nil where there is none.
        package var restore: [String]?
        /// Deletes a backup; nil leaves that to the program's own retention.
        package var delete: [String]?

        /// Names the programs.
        package init(
            create: [String], verify: [String]? = nil, restore: [String]? = nil, delete: [String]? = nil
        ) {
            self.create = create
            self.verify = verify
            self.restore = restore
            self.delete = delete
        }
    }

    /// The folder, absolute.
    package var directory: String
    /// Who can open the backups: public keys in the forms of age; empty where they stay as they are.
    package var recipients: [String]
    /// How they are made; nil takes the one that suits the database.
    package var method: Method?
    /// The programs of `method = "command"`.
    package var commands: Commands?
    /// The file with the secret key that opens backups, for drills; nil where it is kept elsewhere.
    package var identity: String?
    /// An encrypted copy of `root.key` for proofs of backups that hold none of their own.
    package var escrow: String?
    /// How far each is proved; nil takes ``BackupLevel/checksums``, and now and then ``BackupLevel/restored``.
    package var verify: BackupLevel?
    /// How many are kept at least.
    package var keep: Int?
    /// How long each is kept at least.
    package var keepFor: Duration?
    /// How far back the database's own log archive reaches.
    package var pitr: Duration?
    /// How long backups live that are made outside of Keyturn; zero for none, nil where nobody has said.
    package var externalRetention: Duration?
    /// The most bytes a second that are read; nil for no limit.
    package var bytesPerSecond: Int64?
    /// How long a program may give no sign of life.
    package var patience: Duration
    /// How long the destruction of a key waits where no second person approves it.
    package var destructionDelay: Duration

    /// Makes a declaration.
    package init(
        directory: String, recipients: [String] = [], method: Method? = nil, commands: Commands? = nil,
        identity: String? = nil, escrow: String? = nil, verify: BackupLevel? = nil, keep: Int? = nil,
        keepFor: Duration? = nil, pitr: Duration? = nil, externalRetention: Duration? = nil,
        bytesPerSecond: Int64? = nil, patience: Duration = .seconds(600),
        destructionDelay: Duration = .seconds(7 * 86_400)
    ) {
        self.directory = directory
        self.recipients = recipients
        self.method = method
        self.commands = commands
        self.identity = identity
        self.escrow = escrow
        self.verify = verify
        self.keep = keep
        self.keepFor = keepFor
        self.pitr = pitr
        self.externalRetention = externalRetention
        self.bytesPerSecond = bytesPerSecond
        self.patience = patience
        self.destructionDelay = destructionDelay
    }
}
