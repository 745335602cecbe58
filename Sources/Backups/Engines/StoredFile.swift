internal import Foundation
internal import KeyModel

/// A backup as it is stored, ready to be read.
struct StoredFile: Sendable {
    let path: String
    let bytes: Int64
    let sha256: String
    /// What decrypts it; nil where it is not encrypted.
    let cipher: AgeCipher?
    /// The key that opens it; nil where none was given.
    let identity: AgeCipher.Identity?
    let patience: Duration
    /// What the database said of itself when the backup was begun; nil where that does not matter.
    var origin: Origin?

    /// How a database tells itself from its copies and from its past.
    struct Origin: Sendable {
        let nonce: String
        let epoch: Int64
    }

    /// Makes sure that what stands there is what was written, byte for byte.
    ///
    /// - Throws: ``BackupError`` with `callerNotFound` or `dataDamaged`.
    func proveStored(isCancelled: Flag) throws {
        let file = try opened()
        let size = try file.size()
        guard size == bytes else { throw damaged("it has \(size) bytes, \(bytes) were written") }
        let facts = try Stream(source: file, patience: patience, isCancelled: isCancelled).run()
        guard facts.sha256 == sha256 else { throw damaged("its checksum is not the one that was recorded") }
    }

    /// The first bytes of what is inside.
    func head(isCancelled: Flag) throws -> [UInt8] {
        let file = try opened()
        guard let cipher else { return try first(of: file, nil, isCancelled) }
        let (reading, writing) = try Descriptor.pipe()
        let age = try cipher.open(with: try requireIdentity(), input: file, output: writing)
        writing.close()
        defer { age.end() }
        let head = try first(of: reading, age, isCancelled)
        if head.isEmpty { try finish(age, isCancelled) }
        return head
    }

    /// Writes what is inside to a descriptor and closes that; whoever reads there may stand still for ``patience`` at most.
    ///
    /// - Throws: ``BackupError``; `keyIdentityMissing` where the key does not open it.
    func pour(into target: Descriptor, named name: String = "the restored data", isCancelled: Flag) throws {
        defer { target.close() }
        var stream = Stream(
            source: try opened(), target: target, targetName: name, patience: patience, isCancelled: isCancelled)
        guard let cipher else {
            _ = try stream.run()
            return
        }
        let (reading, writing) = try Descriptor.pipe()
        let age = try cipher.open(with: try requireIdentity(), input: stream.source, output: writing)
        writing.close()
        stream.source = reading
        stream.producer = age
        defer { age.end() }
        _ = try stream.run()
        try finish(age, isCancelled)
    }

    /// Writes what is inside to a new file, durable when the call returns.
    func extract(to path: String, isCancelled: Flag) throws {
        let target = try Descriptor(path, O_RDWR | O_CREAT | O_EXCL)
        try pour(into: try target.duplicate(), named: path, isCancelled: isCancelled)
        guard fsync(target.number) == 0 else { throw BackupError.system("write", path) }
    }

    private func finish(_ age: RunningProgram, _ isCancelled: Flag) throws {
        do { try age.succeed(within: patience, isCancelled) } catch let error as BackupError {
            guard error.code == .providerProgramFailed else { throw error }
            guard error.message.contains("identit") else { throw damaged(error.message) }
            throw BackupError(
                .keyIdentityMissing, "cannot open backup \(quoted(path)): \(error.message)",
                hint: "Give the secret key of one of its recipients with --identity FILE.", cause: error)
        }
    }

    private func requireIdentity() throws(BackupError) -> AgeCipher.Identity {
        guard let identity else {
            throw BackupError(
                .keyIdentityMissing, "cannot open backup \(quoted(path)): it is encrypted, and no key was given",
                hint: "Give the secret key of one of its recipients with --identity FILE.")
        }
        return identity
    }

    private func opened() throws(BackupError) -> Descriptor {
        guard access(path, F_OK) == 0 else {
            throw BackupError(.callerNotFound, "backup \(quoted(path)) is gone")
        }
        return try Descriptor(path, O_RDONLY)
    }

    private func damaged(_ why: String) -> BackupError {
        BackupError(
            .dataDamaged, "backup \(quoted(path)) cannot be used: \(why)",
            hint: "Take another one; this one was truncated, altered, or never whole.")
    }

    private func first(of file: Descriptor, _ producer: RunningProgram?, _ isCancelled: Flag) throws -> [UInt8] {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 8)
        defer { room.deallocate() }
        let stream = Stream(source: file, producer: producer, patience: patience, isCancelled: isCancelled)
        var count = 0
        while count < room.count {
            let more = try stream.fill(UnsafeMutableRawBufferPointer(rebasing: room[count...]))
            guard more > 0 else { break }
            count += more
        }
        return Array(room[..<count])
    }
}
