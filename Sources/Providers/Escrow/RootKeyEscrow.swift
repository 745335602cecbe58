internal import KeyModel
internal import PluginKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// Copies of a root key for a safe place, encrypted by the `age` program; see `docs/decisions/0002-age-for-escrow.md`.
///
/// Calls block until the program has ended; with a passphrase that is when somebody has typed one.
package struct RootKeyEscrow: Sendable {
    private let file: RootKeyFile
    private let environment: [String: String]

    private static let heading = "age-encryption.org/v1\n"
    /// What age adds at least: its heading, one recipient, a nonce of 16 bytes and a tag of 16.
    private static let overhead = 150

    /// Makes ready for the root key file at a path; `environment` says where programs are.
    package init(file: RootKeyFile, environment: [String: String]) {
        self.file = file
        self.environment = environment
    }

    /// Writes a copy that any one of the recipients can open.
    ///
    /// - Parameters:
    ///   - output: Where the copy is to stand; nothing may stand there yet.
    ///   - recipients: Public keys, `age1…` or `ssh-…`, at least one.
    /// - Throws: ``EscrowError``, or `ProviderError` where the root key cannot be read; no file is left behind then.
    package func export(to output: String, recipients: [String]) throws {
        try Self.check(recipients)
        try export(to: output, arguments: recipients.flatMap { ["-r", $0] })
    }

    /// Writes a copy that any one of the recipients can open into a file that is open for reading and writing.
    ///
    /// - Throws: As ``export(to:recipients:)``; what was written until then is no copy.
    package func export(into descriptor: Int32, recipients: [String]) throws {
        try Self.check(recipients)
        try export(into: descriptor, arguments: recipients.flatMap { ["-r", $0] })
    }

    /// Writes a copy that opens with a passphrase into a file that is open for reading and writing.
    ///
    /// - Throws: As ``exportWithPassphrase(to:)``; what was written until then is no copy.
    package func exportWithPassphrase(into descriptor: Int32) throws {
        try Self.requireTerminal(to: "export the root key under a passphrase")
        try export(into: descriptor, arguments: ["-p"])
    }

    /// Writes a copy that opens with a passphrase, which age asks for on the user's terminal.
    ///
    /// - Throws: ``EscrowError``, `callerNoTerminal` among others, or `ProviderError` where the root key cannot be read;
    ///   no file is left behind then.
    package func exportWithPassphrase(to output: String) throws {
        try Self.requireTerminal(to: "export the root key under a passphrase")
        try export(to: output, arguments: ["-p"])
    }

    /// Brings a root key back from a copy into the file, which must not exist yet.
    ///
    /// - Parameters:
    ///   - copy: The copy.
    ///   - identity: The file with the secret key; nil to be asked for a passphrase on the terminal.
    /// - Throws: ``EscrowError``, or `ProviderError` where the root key file cannot be written.
    package func restore(from copy: String, identity: String?) throws {
        if identity == nil { try Self.requireTerminal(to: "restore a root key by passphrase") }
        guard access(file.path, F_OK) != 0 else { throw Self.exists(file.path) }
        let age = try AgeProgram(environment: environment)
        let text = try withInput(copy) { input throws(EscrowError) in
            // A path that begins with a dash must not be read as an option.
            let identities = identity.map { ["-i", $0.hasPrefix("-") ? "./" + $0 : $0] } ?? []
            return try age.decrypt(input, arguments: identities, limit: RootKey.longestText)
        }
        try file.write(try Self.rootKey(in: text, of: copy), doing: "restore")
    }

    private static func check(_ recipients: [String]) throws(EscrowError) {
        guard !recipients.isEmpty else {
            throw EscrowError(
                .callerRecipientMalformed, "cannot export the root key: nobody is named who could open the copy",
                hint: "Make a key with age-keygen and name its public half, which begins with age1.")
        }
        for recipient in recipients where !Self.isRecipient(recipient) {
            let hint =
                "Give the public key, which begins with age1 or ssh-; keep the secret one away from this machine."
            // Somebody may have pasted a secret key: the text is not quoted.
            throw EscrowError(
                .callerRecipientMalformed, "cannot export the root key: a recipient is no age or SSH public key",
                hint: hint)
        }
    }

    private func export(into descriptor: Int32, arguments: [String]) throws {
        let text = try file.read().text()
        let age = try AgeProgram(environment: environment)
        try age.encrypt(text, arguments: arguments, into: descriptor)
        do throws(SystemError) {
            let copy = FileDescriptor(owning: fcntl(descriptor, F_DUPFD_CLOEXEC, 0))
            guard try Self.isCopy(copy, of: text.count) else {
                throw SystemError(number: EIO)
            }
            guard fsync(descriptor) == 0 else { throw SystemError.last }
        } catch {
            throw EscrowError(.storeUnavailable, "cannot write the escrow copy: \(error.reason)")
        }
    }

    private func export(to output: String, arguments: [String]) throws {
        let text = try file.read().text()
        guard access(output, F_OK) != 0 else { throw Self.exists(output) }
        let age = try AgeProgram(environment: environment)
        do {
            var copy = try NewFile(for: output)
            try age.encrypt(text, arguments: arguments, into: copy.descriptor.rawValue)
            guard try Self.isCopy(copy.descriptor, of: text.count) else {
                throw EscrowError(.dataMalformed, "what age wrote is no escrow copy")
            }
            try copy.place(replacing: false)
        } catch let error as SystemError {
            if error.number == EEXIST { throw Self.exists(output) }
            throw EscrowError(.storeUnavailable, "cannot write escrow copy \(quoted(output)): \(error.reason)")
        }
    }

    /// Whether the file is an age file that is large enough to hold the text.
    private static func isCopy(_ file: borrowing FileDescriptor, of count: Int) throws(SystemError) -> Bool {
        guard lseek(file.rawValue, 0, SEEK_SET) == 0 else { throw SystemError.last }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: heading.utf8.count, alignment: 1)
        defer { memory.deallocate() }
        let read = try file.read(into: memory)
        let size = Int(try file.status().st_size)
        return memory.prefix(read).elementsEqual(heading.utf8) && size >= count + overhead
    }

    private func withInput(_ path: String, _ body: (Int32) throws(EscrowError) -> SecretBytes) throws -> SecretBytes {
        let input: FileDescriptor
        do throws(SystemError) {
            input = try FileDescriptor(opening: path, O_RDONLY)
        } catch {
            throw EscrowError(.storeUnavailable, "cannot read escrow copy \(quoted(path)): \(error.reason)")
        }
        return try body(input.rawValue)
    }

    private static func rootKey(in text: borrowing SecretBytes, of copy: String) throws(EscrowError) -> RootKey {
        do throws(RootKeyTextError) {
            return try text.withExposedBytes { bytes throws(RootKeyTextError) in try RootKey(parsing: bytes) }
        } catch {
            throw EscrowError(
                .dataMalformed, "escrow copy \(quoted(copy)) holds no root key: line \(error.line): \(error.reason)")
        }
    }

    private static func isRecipient(_ text: String) -> Bool {
        let isKnown = ["age1", "ssh-ed25519 ", "ssh-rsa "].contains { text.hasPrefix($0) }
        return isKnown && text.utf8.allSatisfy { (0x20..<0x7F).contains($0) }
    }

    private static func exists(_ path: String) -> EscrowError {
        EscrowError(
            .callerFileExists, "cannot write \(quoted(path)): a file stands there",
            hint: "Choose another name; Keyturn never overwrites a key or a copy of one.")
    }

    private static func requireTerminal(to action: String) throws(EscrowError) {
        let terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard terminal < 0 else {
            close(terminal)
            return
        }
        throw EscrowError(
            .callerNoTerminal, "cannot \(action): there is no terminal to ask on",
            hint: "Run it on a terminal, or name a recipient or an identity file.")
    }
}
