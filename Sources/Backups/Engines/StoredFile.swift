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
        guard let cipher else { return try Self.first(of: file) }
        let (reading, writing) = try Descriptor.pipe()
        let age = try cipher.open(with: try requireIdentity(), input: file, output: writing)
        writing.close()
        let head = try Self.first(of: reading)
        if head.isEmpty { try finish(age) }
        age.end()
        return head
    }

    /// Writes what is inside to a descriptor and closes that.
    ///
    /// - Throws: ``BackupError``; `keyIdentityMissing` where the key does not open it.
    func pour(into target: Descriptor, isCancelled: Flag) throws {
        defer { target.close() }
        let file = try opened()
        guard let cipher else {
            _ = try Stream(
                source: file, target: target, targetName: "the restored data", patience: patience,
                isCancelled: isCancelled
            ).run()
            return
        }
        let age = try cipher.open(with: try requireIdentity(), input: file, output: target)
        target.close()
        try finish(age)
    }

    /// Writes what is inside to a new file, durable when the call returns.
    func extract(to path: String, isCancelled: Flag) throws {
        let target = try Descriptor(path, O_RDWR | O_CREAT | O_EXCL)
        let copy = Descriptor(owning: dup(target.number))
        try pour(into: copy, isCancelled: isCancelled)
        guard fsync(target.number) == 0 else { throw BackupError.system("write", path) }
    }

    private func finish(_ age: RunningProgram) throws {
        do { try age.succeed(within: .seconds(24 * 3600)) } catch {
            guard error.code == .providerProgramFailed else { throw error }
            if error.message.contains("(signal \(SIGPIPE))") { throw ReaderGone() }
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

    private static func first(of file: Descriptor) throws -> [UInt8] {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 8)
        defer { room.deallocate() }
        var count = 0
        var isLast = false
        while count < room.count, !isLast {
            let more = read(file.number, room.baseAddress.map { $0 + count }, room.count - count)
            if more < 0, errno != EINTR { throw BackupError.system("read", "a backup") }
            isLast = more == 0
            count += max(0, more)
        }
        return Array(room[..<count])
    }
}
