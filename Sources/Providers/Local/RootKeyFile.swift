package import KeyModel
package import PluginKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The file that holds the generations of the built-in root key.
///
/// A generation is dropped only once nothing needs it any more. Its owner must be the user that Keyturn runs as, or root, and nobody else may read it.
package struct RootKeyFile: Sendable {
    /// Where it stands.
    package let path: String

    /// Names a file; nothing is read yet.
    package init(path: String) { self.path = path }

    /// Creates the file with its first generation; durable when the call returns.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured` where a file stands there already, or `providerUnavailable`
    ///   where it cannot be written; nothing is left behind then.
    package func create(at time: Timestamp) throws(ProviderError) -> RootKey {
        let key = try RootKey.drawn(at: time)
        try write(key, doing: "create")
        return key
    }

    /// Adds a generation; durable when the call returns.
    ///
    /// - Throws: `ProviderError` as ``read()`` does, or `providerUnavailable` where it cannot be written; the file is as
    ///   before then.
    package func appendGeneration(at time: Timestamp) throws(ProviderError) -> RootKey {
        // While the new file is there, no second writer reads what is about to be replaced.
        var file = try attempt("extend") { () throws(SystemError) in try NewFile(for: path) }
        let key = try read().appendingGeneration(at: time)
        try fill(&file, with: key, doing: "extend", replacing: true)
        return key
    }

    /// Drops generations, but never the newest; durable when the call returns.
    ///
    /// - Throws: `ProviderError` as ``read()`` does, or `providerUnavailable` where it cannot be written; the file is as
    ///   before then.
    package func drop(_ numbers: Set<UInt32>) throws(ProviderError) -> RootKey {
        var file = try attempt("shorten") { () throws(SystemError) in try NewFile(for: path) }
        let key = try read().dropping(numbers)
        try fill(&file, with: key, doing: "shorten", replacing: true)
        return key
    }

    /// Reads all generations.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured` where the file is absent, damaged, not a regular file, or in
    ///   reach of other users.
    package func read() throws(ProviderError) -> RootKey {
        let file = try attempt("read") { () throws(SystemError) in try FileDescriptor(opening: path, O_RDONLY) }
        return try parse(try contents(of: file))
    }

    /// Reads all generations from the beginning of a file that is open.
    func read(from descriptor: Int32) throws(ProviderError) -> RootKey {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        try attempt("read") { () throws(SystemError) in
            guard copy >= 0, lseek(copy, 0, SEEK_SET) == 0 else { throw SystemError.last }
        }
        return try parse(try contents(of: FileDescriptor(owning: copy)))
    }

    private func parse(_ text: consuming SecretBytes) throws(ProviderError) -> RootKey {
        do throws(RootKeyTextError) {
            return try text.withExposedBytes { bytes throws(RootKeyTextError) in try RootKey(parsing: bytes) }
        } catch {
            throw ProviderError(
                .providerMisconfigured, "root key file \(quoted(path)), line \(error.line): \(error.reason)",
                hint: "Put the file back from its escrow copy; a key that is made anew opens nothing."
            )
        }
    }

    /// Writes the same generations into a new file, of mode 0600; durable when the call returns.
    ///
    /// - Throws: `ProviderError` as ``read()`` and ``create(at:)`` do.
    package func copy(to path: String) throws(ProviderError) {
        try RootKeyFile(path: path).write(try read(), doing: "create")
    }

    /// Writes a root key into a file that must not exist yet.
    func write(_ key: RootKey, doing verb: String) throws(ProviderError) {
        var file = try attempt(verb) { () throws(SystemError) in try NewFile(for: path) }
        try fill(&file, with: key, doing: verb, replacing: false)
    }

    private func fill(_ file: inout NewFile, with key: RootKey, doing verb: String, replacing: Bool)
        throws(ProviderError)
    {
        let text = key.text()
        try attempt(verb) { () throws(SystemError) in
            try text.withExposedBytes { bytes throws(SystemError) in try file.descriptor.write(bytes) }
            try file.place(replacing: replacing)
        }
    }

    private func contents(of file: consuming FileDescriptor) throws(ProviderError) -> SecretBytes {
        let file = file
        let status = try attempt("read") { () throws(SystemError) in try file.status() }
        try refuse(status)
        return try attempt("read") { () throws(SystemError) in
            try SecretBytes(count: Int(status.st_size)) { buffer throws(SystemError) in
                guard try file.read(into: buffer) == buffer.count else { throw SystemError(number: EIO) }
            }
        }
    }

    /// Refuses what others may have read, written or put there.
    private func refuse(_ status: stat) throws(ProviderError) {
        guard status.st_mode & S_IFMT == S_IFREG else { throw misplaced("it is no regular file") }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw misplaced(
                "it belongs to user \(status.st_uid)",
                hint: "Find out who put it there; if it is yours, run: chown \(geteuid()) \(path)"
            )
        }
        guard status.st_mode & 0o077 == 0 else {
            throw misplaced(
                "others may read or write it (mode \(String(status.st_mode & 0o7777, radix: 8)))",
                hint: "Run: chmod 600 \(path). Add a generation and rewrap if somebody may have read it."
            )
        }
        guard (1...RootKey.longestText).contains(Int(status.st_size)) else {
            throw misplaced("it has \(status.st_size) bytes, not 1 to \(RootKey.longestText)")
        }
    }

    private func misplaced(_ reason: String, hint: String? = nil) -> ProviderError {
        ProviderError(.providerMisconfigured, "cannot use root key file \(quoted(path)): \(reason)", hint: hint)
    }

    /// Says in the module's own words which call on the file failed.
    private func attempt<Result: ~Copyable>(
        _ verb: String, _ body: () throws(SystemError) -> Result
    ) throws(ProviderError) -> Result {
        do throws(SystemError) {
            return try body()
        } catch {
            let subject = "cannot \(verb) root key file \(quoted(path))"
            switch error.number {
            case ENOENT:
                let hint =
                    verb == "create"
                    ? "Make its directory first." : "Put it back from its escrow copy with \"keyturn root restore\"."
                throw ProviderError(.providerMisconfigured, "\(subject): \(error.reason)", hint: hint)
            case ELOOP: throw misplaced("it is a symbolic link", hint: "Name the file itself.")
            case EEXIST:
                throw ProviderError(
                    .providerMisconfigured, "\(subject): there is one already",
                    hint: "What it holds cannot be made again; move it away yourself if it is not needed."
                )
            case EACCES, EPERM: throw ProviderError(.providerMisconfigured, "\(subject): \(error.reason)")
            default: throw ProviderError(.providerUnavailable, "\(subject): \(error.reason)")
            }
        }
    }
}
