internal import CProcess
internal import ControlStore
internal import Foundation
internal import KeyModel
package import PluginKit

/// A plugin's file on the disk, and the rules that it has to meet before it is executed.
package struct PluginFile: Hashable, Sendable {
    /// Its absolute path; its directory holds no symbolic link.
    package let path: String

    /// The most bytes that a plugin may have.
    package static let maximumCount = 512 << 20

    /// Names a plugin's file; the directory's symbolic links are followed once, here.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured` where there is no such directory.
    package init(path: String) throws(ProviderError) {
        let url = URL(filePath: path).absoluteURL
        guard let directory = realpath(url.deletingLastPathComponent().path, nil) else {
            let number = errno
            if SystemText.isPassing(number) { throw Self.failure(path, number) }
            throw Self.refuse(path, "its directory cannot be found", "Check the path.")
        }
        defer { free(directory) }
        self.path = URL(filePath: String(cString: directory)).appending(path: url.lastPathComponent).path
    }

    /// The directory that it lies in.
    package var directory: String { URL(filePath: path).deletingLastPathComponent().path }

    /// Checks owner and mode of the file and of every directory above it, and copies it into sealed memory.
    ///
    /// - Parameter expected: The SHA-256 that it must have; nil takes what there is.
    /// - Returns: The copy, which nobody can change, with its hash.
    /// - Throws: `ProviderError` with `providerMisconfigured`, which says what to change.
    package func load(expecting expected: String? = nil) throws(ProviderError) -> PluginImage {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else {
            let number = errno
            guard number == ELOOP else { throw Self.failure(path, number, "Check the path.") }
            throw Self.refuse(path, "it is a symbolic link", "Name the file itself.")
        }
        defer { close(file) }
        try checkFile(file)
        try checkDirectories()
        let image = try PluginImage(copying: file, path: path)
        if let expected, expected != image.sha256 {
            throw Self.refuse(
                path, "it has changed: its SHA-256 is \(image.sha256.prefix(16))…, not \(expected.prefix(16))…",
                "If the change is yours, register it again with \"keyturn plugin register\"."
            )
        }
        return image
    }

    private func checkFile(_ file: Int32) throws(ProviderError) {
        var facts = stat()
        guard fstat(file, &facts) == 0 else { throw Self.failure(path, errno) }
        guard facts.st_mode & S_IFMT == S_IFREG else { throw Self.refuse(path, "it is no file", nil) }
        guard facts.st_mode & 0o111 != 0 else {
            throw Self.refuse(path, "it is not executable", "chmod 755 \(path)")
        }
        guard facts.st_size > 0, facts.st_size <= Self.maximumCount else {
            throw Self.refuse(path, "it has \(facts.st_size) bytes", "A plugin has 1 byte to 512 MiB.")
        }
        try checkOwner(facts, of: path, isSticky: false)
    }

    private func checkDirectories() throws(ProviderError) {
        var directory = URL(filePath: directory)
        var isNearest = true
        while true {
            var facts = stat()
            guard lstat(directory.path, &facts) == 0 else { throw Self.failure(path, errno) }
            let isSticky = !isNearest && facts.st_mode & S_ISVTX != 0
            try checkOwner(facts, of: directory.path, isSticky: isSticky)
            guard directory.path != "/" else { return }
            directory = directory.deletingLastPathComponent()
            isNearest = false
        }
    }

    private func checkOwner(_ facts: stat, of place: String, isSticky: Bool) throws(ProviderError) {
        guard facts.st_uid == 0 || facts.st_uid == geteuid() else {
            throw Self.refuse(path, "\(quoted(place)) belongs to another user", "chown root \(place)")
        }
        guard facts.st_mode & 0o022 == 0 || isSticky else {
            throw Self.refuse(path, "\(quoted(place)) can be written by others", "chmod go-w \(place)")
        }
    }

    /// What a system call's failure means: a shortage passes, anything else stays until someone changes it.
    package static func failure(_ path: String, _ number: Int32, _ hint: String? = nil) -> ProviderError {
        guard SystemText.isPassing(number) else { return refuse(path, SystemText.text(number), hint) }
        return ProviderError(
            .providerUnavailable, "cannot use the plugin \(quoted(path)) now: \(SystemText.text(number))",
            hint: "It is tried again; see what uses up the descriptors, the memory or the disk of this machine.")
    }

    static func refuse(_ path: String, _ why: String, _ hint: String?) -> ProviderError {
        ProviderError(.providerMisconfigured, "cannot use the plugin \(quoted(path)): \(why)", hint: hint)
    }
}

/// A plugin's bytes in memory, sealed against change, hashed there and executed from there.
package final class PluginImage: Sendable {
    /// The descriptor of the sealed file in memory.
    let descriptor: Int32
    /// Its SHA-256 in hexadecimal.
    package let sha256: String
    /// Whether it begins with `#!`, so that its interpreter needs a path to read.
    let isScript: Bool
    /// Where it came from, for messages and as the program's own name.
    let path: String

    fileprivate init(copying file: Int32, path: String) throws(ProviderError) {
        let memory = kt_memory_file("keyturn-plugin")
        guard memory >= 0 else { throw PluginFile.failure(path, errno) }
        do throws(ProviderError) {
            let bytes = try Self.copy(file, into: memory, path: path)
            sha256 = ContentHash.sha256(bytes)
            isScript = bytes.starts(with: Array("#!".utf8))
        } catch {
            close(memory)
            throw error
        }
        descriptor = memory
        self.path = path
    }

    deinit { close(descriptor) }

    /// Copies a file, seals the copy, and reads back what was sealed.
    private static func copy(_ file: Int32, into memory: Int32, path: String) throws(ProviderError) -> Data {
        var buffer = Data(count: 1 << 20)
        var total = 0
        while true {
            let count = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw PluginFile.failure(path, errno) }
            guard count > 0 else { break }
            total += count
            guard total <= PluginFile.maximumCount else { throw PluginFile.refuse(path, "it is too large", nil) }
            guard Pipes.write(buffer.prefix(count), to: memory) else { throw PluginFile.failure(path, errno) }
        }
        guard kt_memory_file_seal(memory) == 0, total > 0,
            let mapped = mmap(nil, total, PROT_READ, MAP_PRIVATE, memory, 0), mapped != MAP_FAILED
        else { throw PluginFile.failure(path, errno) }
        return Data(bytesNoCopy: mapped, count: total, deallocator: .unmap)
    }

    /// Writes a copy that an interpreter can read, for the owner alone and not to be written.
    func writeCopy(to place: String) throws(ProviderError) {
        let copy = open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o500)
        guard copy >= 0 else { throw PluginFile.failure(path, errno) }
        defer { close(copy) }
        var offset: off_t = 0
        while true {
            let count = sendfile(copy, descriptor, &offset, 1 << 20)
            guard count >= 0 else { throw PluginFile.failure(path, errno) }
            guard count > 0 else { return }
        }
    }
}
