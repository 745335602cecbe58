internal import Foundation
internal import KeyModel

/// The directory of an instance: what a node keeps outside of the database.
///
/// | file | what |
/// |---|---|
/// | `instance.json` | the instance's id and where its configuration lies |
/// | `root.key` | the built-in provider's root key, mode 0600 |
/// | `signing.key` | signs proofs, mode 0600 |
/// | `journal` | what the node has last seen of its database |
/// | `lock` | held by the process that works |
package struct InstanceDirectory: Hashable, Sendable {
    /// What `instance.json` holds.
    package struct Description: Hashable, Codable, Sendable {
        /// The version of this form.
        package var form = 1
        /// The instance's id.
        package var instance: String
        /// The absolute path of `keyturn.lua`.
        package var configuration: String

        /// Makes a description.
        package init(instance: String, configuration: String) {
            self.instance = instance
            self.configuration = configuration
        }
    }

    /// The directory, absolute.
    package let path: String

    /// Names a directory; touches nothing.
    package init(path: String) { self.path = URL(filePath: path).standardizedFileURL.path }

    /// The root key's file.
    package var rootKey: String { path + "/root.key" }
    /// The signing key's file.
    package var signingKey: String { path + "/signing.key" }
    /// The journal's file.
    package var journal: String { path + "/journal" }
    /// The folder of further texts of Lua; most instances have none.
    package var scripts: String { path + "/scripts" }

    /// Whether an instance was begun here.
    package var exists: Bool { FileManager.default.fileExists(atPath: descriptionFile) }

    /// Makes the directory, mode 0700, unless it is there.
    ///
    /// - Throws: ``ControlStoreError`` with `storeRecordDamaged` where it cannot be made, or others could look into it.
    package func make() throws {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw failed("make", path) }
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw failed("look at", path) }
        guard facts.st_mode & S_IFMT == S_IFDIR, facts.st_mode & 0o077 == 0 else {
            throw ControlStoreError(
                .storeRecordDamaged, "the instance directory \(quoted(path)) is open to others",
                hint: "chmod 700 \(path)"
            )
        }
    }

    /// Writes `instance.json`; durable when it returns.
    ///
    /// - Throws: ``ControlStoreError`` where it cannot be written.
    package func write(_ description: Description) throws {
        let temporary = descriptionFile + ".new"
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(description) + [UInt8(ascii: "\n")]
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failed("write", temporary) }
        defer { close(file) }
        let written = data.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
        guard written == data.count, fsync(file) == 0, rename(temporary, descriptionFile) == 0 else {
            throw failed("write", descriptionFile)
        }
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw failed("open", path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw failed("write", path) }
    }

    /// Reads `instance.json`.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound` where there is no instance, or `storeRecordDamaged`.
    package func read() throws -> Description {
        guard let data = FileManager.default.contents(atPath: descriptionFile) else {
            throw ControlStoreError(
                .callerNotFound, "there is no instance in \(quoted(path))",
                hint: "Make one with \"keyturn init --config keyturn.lua --instance \(path)\"."
            )
        }
        do {
            return try JSONDecoder().decode(Description.self, from: data)
        } catch {
            throw ControlStoreError(
                .storeRecordDamaged, "cannot read \(quoted(descriptionFile))",
                hint: "Restore it from a backup of the instance directory.", cause: error
            )
        }
    }

    private var descriptionFile: String { path + "/instance.json" }

    private func failed(_ what: String, _ path: String) -> ControlStoreError {
        ControlStoreError(
            .storeRecordDamaged, "cannot \(what) \(quoted(path)): \(String(cString: strerror(errno)))",
            hint: "Check the directory's owner, its mode and the room on its disk."
        )
    }
}

/// The lock of an instance directory: one process of the node works at a time.
///
/// The kernel drops it when the process dies.
package struct InstanceLock: ~Copyable {
    private let descriptor: Int32

    /// Takes the lock.
    ///
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`, naming the process that holds it.
    package init(taking directory: InstanceDirectory) throws {
        let file = directory.path + "/lock"
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ControlStoreError(
                .storeRecordDamaged, "cannot open \(quoted(file)): \(String(cString: strerror(errno)))"
            )
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let holder = FileManager.default.contents(atPath: file).map {
                String(decoding: $0.prefix(20), as: UTF8.self)
            }
            close(descriptor)
            throw ControlStoreError(
                .storeLeaseHeld, "another keyturn works on this instance: process \(holder ?? "unknown")",
                hint: "Wait for it, or talk to its run with \"keyturn run pause|resume|cancel\"."
            )
        }
        self.descriptor = descriptor
        let text = Array("\(getpid())".utf8)
        ftruncate(descriptor, 0)
        _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }

    deinit { close(descriptor) }
}
