internal import KeyModel
internal import PluginKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// The `age` program of the system, found once and then called by its absolute path.
struct AgeProgram: Sendable {
    let path: String
    private let environment: [String]

    /// Looks for the program in the absolute directories of `PATH`.
    init(environment: [String: String]) throws(EscrowError) {
        let directories = (environment["PATH"] ?? "").split(separator: ":").filter { $0.hasPrefix("/") }
        let candidates = directories.map { String($0) + "/age" }
        guard let found = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw EscrowError(
                .providerProgramMissing, "the program age is not on PATH", hint: "Run: apt-get install age")
        }
        path = found
        let kept = environment["TERM"].map { ["TERM=\($0)"] } ?? []
        self.environment = ["PATH=/usr/bin:/bin", "LC_ALL=C"] + kept
    }

    /// Encrypts a text into an open file.
    func encrypt(_ text: borrowing SecretBytes, arguments: [String], into output: Int32) throws(EscrowError) {
        let channel = try Channel()
        let child = try start(arguments, input: channel.theirs.rawValue, output: output)
        channel.theirs.close()
        let ours = channel.ours
        // What the program did not take shows in its exit status.
        text.withExposedBytes { ours.send($0) }
        ours.endSending()
        guard child.hasSucceeded() else { throw child.failure() }
    }

    /// Decrypts an open file into a secret of at most `limit` bytes.
    func decrypt(_ input: Int32, arguments: [String], limit: Int) throws(EscrowError) -> SecretBytes {
        let channel = try Channel()
        let child = try start(["-d"] + arguments, input: input, output: channel.theirs.rawValue)
        channel.theirs.close()
        let ours = channel.ours
        var count = 0
        let buffer = SecretBytes(count: limit + 1) { memory in count = ours.readAll(into: memory) }
        // A program with more to say must not wait for a reader for ever.
        ours.hangUp()
        let hasSucceeded = child.hasSucceeded()
        guard count <= limit else {
            throw EscrowError(.dataMalformed, "the escrow copy holds more than \(limit) bytes, so no root key")
        }
        guard hasSucceeded else { throw child.failure() }
        return buffer.withExposedBytes { SecretBytes(copying: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    private func start(_ arguments: [String], input: Int32, output: Int32) throws(EscrowError) -> RunningProgram {
        let complaints = try Channel()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, source) in [(Int32(0), input), (1, output), (2, complaints.theirs.rawValue)] {
            posix_spawn_file_actions_adddup2(&actions, source, target)
        }
        var process: pid_t = 0
        let status = withStrings([path] + arguments) { arguments in
            withStrings(environment) { environment in
                posix_spawn(&process, path, &actions, nil, arguments, environment)
            }
        }
        guard status == 0 else {
            throw EscrowError(
                .providerProgramFailed, "cannot start \(quoted(path)): \(SystemError(number: status).reason)")
        }
        return RunningProgram(process: process, complaints: complaints.ours)
    }
}

/// A child process and where its complaints come out.
private struct RunningProgram: ~Copyable {
    let process: pid_t
    let complaints: FileDescriptor

    /// Waits for the end; called once.
    borrowing func hasSucceeded() -> Bool {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            guard errno == EINTR else { return false }
        }
        return status == 0
    }

    /// Why it did not succeed, in its own words.
    borrowing func failure() -> EscrowError {
        EscrowError(.providerProgramFailed, "age gave up: \(quoted(complaint()))")
    }

    /// The first line that the program wrote, which never quotes what it was given; it has ended, so nothing waits.
    private borrowing func complaint() -> String {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 1)
        defer { memory.deallocate() }
        let count = complaints.readAll(into: memory)
        let text = String(decoding: UnsafeRawBufferPointer(rebasing: memory[..<count]), as: UTF8.self)
        return text.split(separator: "\n").first.map(String.init) ?? ""
    }
}

/// A pair of sockets: unlike a pipe, writing to one whose far end is gone raises no signal.
private struct Channel: ~Copyable {
    let ours: FileDescriptor
    let theirs: FileDescriptor

    init() throws(EscrowError) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw EscrowError(.storeUnavailable, "cannot start age: \(SystemError.last.reason)")
        }
        ours = FileDescriptor(owning: ends[0])
        theirs = FileDescriptor(owning: ends[1])
    }
}

extension FileDescriptor {
    /// Closes the descriptor before its scope ends.
    fileprivate consuming func close() {}

    /// Lets the far end read to the end of what was sent.
    fileprivate borrowing func endSending() { shutdown(rawValue, Int32(SHUT_WR)) }

    /// Ends the conversation; the far end can neither read nor write any more.
    fileprivate borrowing func hangUp() { shutdown(rawValue, Int32(SHUT_RDWR)) }

    /// Reads until the buffer is full or the far end is closed.
    fileprivate borrowing func readAll(into memory: UnsafeMutableRawBufferPointer) -> Int {
        do throws(SystemError) { return try read(into: memory) } catch { return 0 }
    }

    /// Sends everything, or as much as the far end takes.
    fileprivate borrowing func send(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Glibc.send(
                rawValue, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// Lends texts as an array of C strings that ends with nil.
private func withStrings<Result>(
    _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let strings = texts.map { strdup($0) }
    defer { for string in strings { free(string) } }
    return body(strings + [nil])
}
