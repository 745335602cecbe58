internal import ControlStore
internal import Foundation
internal import KeyModel
internal import Storage

/// One way to make backups of a database and to prove them.
protocol BackupEngine: Sendable {
    /// Which way.
    var method: BackupDeclaration.Method { get }

    /// What the name of a file ends with.
    var fileExtension: String { get }

    /// The program that makes backups, and its version.
    ///
    /// - Throws: ``BackupError`` with `providerProgramMissing` or `providerProgramTooOld`.
    func tool() async throws -> Tool

    /// The room that making and proving a backup takes, as far as it can be told.
    func room() async throws -> Room

    /// Where the database's own log stands; nil where it has none.
    func position() async throws -> String?

    /// Makes what is to be stored, or the program whose output it is.
    ///
    /// - Parameter staging: A file name beside the target, for what cannot be streamed.
    /// - Returns: The file, or the program.
    /// - Throws: ``BackupError``, or ``StorageError``.
    func produce(staging: String) async throws -> Produce

    /// Whether a backup can begin so.
    func isBeginning(_ head: [UInt8]) -> Bool

    /// Reads a backup to its end and checks every checksum in it, and that it is of this database.
    func proveChecksums(_ stored: StoredFile, scratch: ScratchFolder) async throws

    /// Restores a backup into a scratch folder and lends a connection to it.
    func withRestored<Value: Sendable>(
        _ stored: StoredFile, scratch: ScratchFolder, _ body: (any StorageEngine) async throws -> Value
    ) async throws -> Value

    /// Restores a backup to a place of the caller's choice.
    ///
    /// - Returns: What stands there now.
    func restore(_ stored: StoredFile, to target: RestoreTarget) async throws -> Restored

    /// Whether ``proveChecksums(_:scratch:)`` leaves a copy in the scratch folder that ``withRestored(_:scratch:_:)`` opens at once.
    var leavesCopy: Bool { get }
}

/// What a restore has left.
enum Restored: Sendable {
    /// A database that can be connected to.
    case database(DatabaseLocation)
    /// The files of a cluster, whose server must be started first.
    case cluster(RestoredCluster)
}

/// A program and its version.
struct Tool: Hashable, Sendable {
    let name: String
    let version: String
}

/// What a backup is made of.
enum Produce: Sendable {
    /// A file that is moved away afterwards.
    case file(String)
    /// The output of a program.
    case program(Program)
}

/// Bytes that a backup takes.
struct Room: Hashable, Sendable {
    /// The database.
    var database: Int64?
    /// Its log, as far as it is part of the backup.
    var log: Int64?
    /// What is needed in the folder of backups at most while a backup is made.
    var target: Int64 = 0
    /// What is needed in the scratch folder to prove it by restoring.
    var scratch: Int64 = 0
}

/// Where a backup is to be restored.
struct RestoreTarget: Sendable {
    /// A path, or a connection string.
    let place: String
    /// Whether someone has confirmed that what stands there is lost.
    let mayReplace: Bool
}

extension BackupEngine {
    var leavesCopy: Bool { false }

    /// Runs a program on the bytes of a backup, to its end.
    func feed(
        _ program: Program, from stored: StoredFile, output: Descriptor? = nil
    ) async throws {
        try await onThread { isCancelled in
            let (reading, writing) = try Descriptor.pipe()
            let running = try program.start(
                input: reading, output: try output ?? Descriptor("/dev/null", O_WRONLY))
            reading.close()
            defer { running.end() }
            // One that stops reading early and succeeds had enough; what is stored was compared to its end before.
            do { try stored.pour(into: writing, named: program.name, isCancelled: isCancelled) } catch is ReaderGone {
                writing.close()
            }
            try running.succeed(within: stored.patience, isCancelled)
        }
    }
}
