internal import Foundation

/// Encrypts and decrypts streams with the `age` program, so that a backup opens without Keyturn too.
struct AgeCipher: Sendable {
    /// A secret key that opens backups.
    enum Identity: Sendable {
        /// A file of the operator's.
        case file(String)
        /// One that was drawn for one backup, held in a file without a name, and gone with this value.
        case drawn(Descriptor)
    }

    private let age: String
    private let environment: [String: String]

    /// What an age file begins with.
    static let heading = "age-encryption.org/v1\n"

    /// Looks for the program.
    init(environment: [String: String]) throws(BackupError) {
        age = try Program.find("age", environment: environment)
        self.environment = environment
    }

    /// Draws a key pair for the proof of one backup, and returns its public half.
    func drawIdentity(patience: Duration) throws -> (Identity, recipient: String) {
        let keygen = try Program.find("age-keygen", environment: environment)
        let file = try Descriptor.nameless()
        try Program(name: "age-keygen", path: keygen, arguments: []).start(input: nil, output: file)
            .succeed(within: patience)
        let (reading, writing) = try Descriptor.pipe()
        let program = Program(
            name: "age-keygen", path: keygen, arguments: ["-y", "/dev/fd/9"], inherited: [9: file])
        let running = try program.start(input: nil, output: writing)
        writing.close()
        let text = Locked("")
        _ = try Stream(
            source: reading, producer: running, patience: patience, isCancelled: Flag(),
            look: { piece in text.with { $0 += String(decoding: piece, as: UTF8.self) } }
        ).run()
        try running.succeed(within: patience)
        return (.drawn(file), text.with { $0 }.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Starts encrypting for recipients.
    func seal(for recipients: [String], input: Descriptor, output: Descriptor) throws(BackupError) -> RunningProgram {
        let arguments = ["-e"] + recipients.flatMap { ["-r", $0] }
        return try Program(name: "age", path: age, arguments: arguments).start(input: input, output: output)
    }

    /// Starts decrypting.
    func open(with identity: Identity, input: Descriptor, output: Descriptor) throws(BackupError) -> RunningProgram {
        var program = Program(name: "age", path: age, arguments: ["-d", "-i"])
        switch identity {
        case .file(let path): program.arguments.append(path.hasPrefix("/") ? path : "./" + path)
        case .drawn(let file):
            program.arguments.append("/dev/fd/9")
            program.inherited = [9: file]
        }
        return try program.start(input: input, output: output)
    }

    /// Whether a text can be a recipient.
    static func isRecipient(_ text: String) -> Bool {
        let isKnown = ["age1", "ssh-ed25519 ", "ssh-rsa "].contains { text.hasPrefix($0) }
        return isKnown && text.utf8.allSatisfy { (0x20..<0x7F).contains($0) }
    }
}
