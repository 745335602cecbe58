/// The instants of a backup after which something stands on the disk; tests kill the process at each of them.
package enum BackupPoint: String, CaseIterable, Sendable {
    /// The file is being written under its temporary name.
    case backupBegun
    /// The copy of the database is complete under its temporary name.
    case backupCopied
    /// The file is whole and has its name.
    case backupPlaced
    /// The root key beside the file is held in the clear, to prove it by restoring.
    case rootKeyOpened
    /// The file was proved.
    case backupVerified
    /// The manifest stands beside the file.
    case manifestPlaced
    /// The catalogue lists the backup.
    case backupListed
    /// A backup was taken out of the catalogue, its files still there.
    case backupDoomed
    /// The files of a backup that is to go are gone.
    case backupRemoved
}
