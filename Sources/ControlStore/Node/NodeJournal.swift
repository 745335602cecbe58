internal import Foundation
internal import KeyModel

/// What a node remembers of its database outside of it, so that a database that was set back is noticed.
///
/// A file of JSON lines in the instance directory, appended and fsynced; the last whole line holds. The database commits
/// first, so the journal is never ahead of a database that was not set back.
package struct NodeJournal: Sendable {
    /// What the node has last seen.
    package struct Entry: Hashable, Codable, Sendable {
        /// The node's own id, random.
        package var node: String
        /// The instance.
        package var instance: String
        /// The database's nonce.
        package var nonce: String
        /// The highest epoch.
        package var epoch: Int64
        /// The key versions that were destroyed, as hexadecimal ids.
        package var destroyed: [String]
        /// The newest entry of the audit log that this node wrote or accepted; nil before the first.
        package var audit: AuditHead?
        /// Calls that were let through while the database could not be written; they join the audit log later.
        package var pending: [PendingAudit]?

        /// Makes an entry.
        package init(node: String, instance: String, nonce: String, epoch: Int64, destroyed: [String] = []) {
            self.node = node
            self.instance = instance
            self.nonce = nonce
            self.epoch = epoch
            self.destroyed = destroyed
        }
    }

    private let file: URL
    /// What holds now.
    package private(set) var entry: Entry

    /// Begins a journal, whole or not at all; fails where there is one.
    ///
    /// - Throws: ``ControlStoreError`` or the system's error.
    package init(creating path: String, with entry: Entry) throws {
        file = URL(filePath: path)
        self.entry = entry
        let begun = path + ".new"
        let descriptor = open(begun, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failed("make", begun) }
        defer { close(descriptor) }
        try Self.write(Self.line(of: entry), to: descriptor, path: begun)
        // Unlike `rename`, `link` never takes the name from another journal.
        guard link(begun, path) == 0, unlink(begun) == 0 else { throw Self.failed("make", path) }
        try Self.synchronizeDirectory(of: path)
    }

    /// Reads a journal.
    ///
    /// - Throws: ``ControlStoreError`` with `storeRecordDamaged` where no line of it can be read.
    package init(reading path: String) throws {
        file = URL(filePath: path)
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Self.failed(
                "read", path,
                hint:
                    "Restore it from a backup of the instance directory, or run \"keyturn recover\", which begins a new one."
            )
        }
        let entries = data.split(separator: UInt8(ascii: "\n")).reversed().lazy.compactMap {
            try? JSONDecoder().decode(Entry.self, from: Data($0))  // a torn last line is what a crash leaves behind
        }
        guard let last = entries.first else {
            throw ControlStoreError(
                .storeRecordDamaged, "cannot read the node's journal \(quoted(path)): no line of it is whole",
                hint: "Restore it from a backup of the instance directory, or remove it and run \"keyturn recover\"."
            )
        }
        entry = last
    }

    /// Changes what the node remembers; durable when it returns.
    ///
    /// The change is made to what the file holds now, since another process of the node may have written meanwhile.
    ///
    /// - Throws: ``ControlStoreError`` where the file cannot be read or written.
    package mutating func update(_ change: (inout Entry) -> Void) throws {
        let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failed("open", file.path) }
        defer { close(descriptor) }
        // Another process of the node must not append between our reading and our writing.
        guard flock(descriptor, LOCK_EX) == 0 else { throw Self.failed("lock", file.path) }
        entry = try Self(reading: file.path).entry
        var next = entry
        change(&next)
        guard next != entry else { return }
        try append(next)
        entry = next
    }

    private func append(_ entry: Entry) throws {
        let descriptor = open(file.path, O_RDWR | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failed("open", file.path) }
        defer { close(descriptor) }
        // What a crash has torn must not swallow the line that follows it.
        let end = lseek(descriptor, 0, SEEK_END)
        var last = UInt8(ascii: "\n")
        if end > 0, pread(descriptor, &last, 1, end - 1) != 1 { throw Self.failed("read", file.path) }
        let separator = last == UInt8(ascii: "\n") ? Data() : Data([UInt8(ascii: "\n")])
        try Self.write(separator + Self.line(of: entry), to: descriptor, path: file.path)
    }

    private static func line(of entry: Entry) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return try encoder.encode(entry) + [UInt8(ascii: "\n")]
    }

    private static func write(_ data: Data, to descriptor: Int32, path: String) throws {
        let written = data.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard written == data.count, fsync(descriptor) == 0 else { throw failed("write", path) }
    }

    private static func synchronizeDirectory(of path: String) throws {
        let folder = URL(filePath: path).deletingLastPathComponent().path
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw failed("open", folder) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw failed("write", folder) }
    }

    private static func failed(_ what: String, _ path: String, hint: String? = nil) -> ControlStoreError {
        ControlStoreError(
            .storeRecordDamaged,
            "cannot \(what) the node's journal \(quoted(path)): \(String(cString: strerror(errno)))", hint: hint
        )
    }
}
