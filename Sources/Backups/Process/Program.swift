internal import CProcess
internal import Foundation
internal import KeyModel

/// A program to be run, with everything that it is given.
struct Program: Sendable {
    /// What messages call it.
    let name: String
    /// Its absolute path.
    let path: String
    var arguments: [String]
    var environment: [String: String] = [:]
    /// Descriptors that it inherits, by the numbers that it sees.
    var inherited: [Int32: Descriptor] = [:]
    var folder: String?

    /// The variables that every program gets: where programs are, and words in the language of their source.
    static let cleanEnvironment = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]

    /// Looks for a program in the absolute folders of `PATH`, else in the usual ones.
    static func find(_ name: String, environment: [String: String]) throws(BackupError) -> String {
        let named = (environment["PATH"] ?? "").split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
        let folders = named + ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        guard let found = folders.map({ $0 + "/" + name }).first(where: { (path: String) in access(path, X_OK) == 0 })
        else {
            throw BackupError(
                .providerProgramMissing, "the program \(name) is not on PATH",
                hint: "Install it; on Debian: apt-get install \(name == "age-keygen" ? "age" : name).")
        }
        return found
    }

    /// Starts it in a process group of its own.
    func start(input: Descriptor?, output: Descriptor) throws(BackupError) -> RunningProgram {
        let complaints = try Descriptor.pipe()
        let nothing = if let input { input } else { try Descriptor("/dev/null", O_RDWR) }
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        if let folder { _ = kt_process_begin_in(&actions, folder) }
        // Far above what is being replaced, so that no dup2 overwrites a descriptor that a later one needs.
        for (target, source) in inherited { posix_spawn_file_actions_adddup2(&actions, source.number, target) }
        for (target, source) in [(Int32(0), nothing), (1, output), (2, complaints.writing)] {
            posix_spawn_file_actions_adddup2(&actions, source.number, target)
        }
        Self.resetSignals(&attributes)
        var process: pid_t = 0
        let all = Self.cleanEnvironment.merging(environment) { $1 }
        let failure: Int32 = Self.withStrings([path] + arguments) { arguments in
            Self.withStrings(all.map { $0.key + "=" + $0.value }) { environment in
                posix_spawn(&process, path, &actions, &attributes, arguments, environment)
            }
        }
        complaints.writing.close()
        guard failure == 0 else {
            throw BackupError(
                .providerProgramFailed,
                "cannot start \(quoted(path)): \(String(cString: strerror(failure)).lowercased())")
        }
        return RunningProgram(name: name, process: process, complaints: complaints.reading)
    }

    private static func resetSignals(_ attributes: inout posix_spawnattr_t) {
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        posix_spawnattr_setflags(&attributes, Int16(flags))
    }

    private static func withStrings<Result>(
        _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let strings = texts.map { strdup($0) }
        defer { for string in strings { free(string) } }
        return body(strings + [nil])
    }
}

/// A child process in a group of its own; it is ended with its group unless it was waited for.
final class RunningProgram: Sendable {
    let name: String
    private let process: pid_t
    private let words: ComplaintReader
    private let isRunning = Flag(true)

    init(name: String, process: pid_t, complaints: Descriptor) {
        self.name = name
        self.process = process
        words = ComplaintReader(complaints)
    }

    deinit { end() }

    /// Ends the program and everything that it has started.
    func end() {
        guard isRunning.lower() else { return }
        kill(-process, SIGKILL)
        kill(process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
    }

    /// Whether it has ended by itself; leaves its status to ``succeed(within:)``.
    var hasEnded: Bool {
        var facts = siginfo_t()
        return waitid(P_PID, id_t(process), &facts, WEXITED | WNOHANG | WNOWAIT) == 0 && facts.si_signo != 0
    }

    /// Waits for the end.
    ///
    /// - Throws: ``BackupError`` with `providerProgramFailed` for any end but 0, or `providerTimedOut`; `CancellationError`
    ///   where it was ended because the flag was raised.
    func succeed(within patience: Duration, _ isCancelled: Flag = Flag()) throws {
        let deadline = ContinuousClock.now + patience
        var status: Int32 = 0
        var pause: Int32 = 1
        while true {
            let found = waitpid(process, &status, WNOHANG)
            if found == process { break }
            if found < 0, errno != EINTR { throw BackupError.system("wait for", name) }
            if isCancelled.isSet {
                end()
                throw CancellationError()
            }
            guard ContinuousClock.now < deadline else {
                end()
                throw timedOut(patience)
            }
            poll(nil, 0, pause)
            pause = min(pause * 2, 50)
        }
        _ = isRunning.lower()
        guard status != 0 else { return }
        let signal = status & 0x7F
        let how = signal == 0 ? "exit status \(status >> 8 & 0xFF)" : "signal \(signal)"
        let said = words.text()
        throw BackupError(
            .providerProgramFailed, "\(name) gave up (\(how))" + (said.isEmpty ? "" : ": \(quoted(said))"))
    }

    /// The error for a program that shows no sign of life.
    func timedOut(_ patience: Duration) -> BackupError {
        BackupError(
            .providerTimedOut, "\(name) gave no sign of life for \(patience.components.seconds) s and was ended",
            hint: "Look at what it waits for; \"timeout\" in backup { … } says how long it may take.")
    }
}

/// Drains what a program complains of, so that it never waits, and keeps the last words.
private final class ComplaintReader: Sendable {
    private let source: Descriptor
    private let kept = Locked<[UInt8]>([])
    private let isDone = Flag()

    private static let most = 4096

    init(_ source: Descriptor) {
        self.source = source
        Thread.detachNewThread { [self] in drain() }
    }

    /// The last line that says something, secrets of URLs blotted out.
    func text() -> String {
        // The program has ended; what it left in the pipe is read in a moment.
        for _ in 0..<200 where !isDone.isSet { poll(nil, 0, 5) }
        let text = String(decoding: kept.with { $0 }, as: UTF8.self)
        let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
        return lines.filter { !$0.isEmpty }.suffix(3).joined(separator: "; ")
    }

    private func drain() {
        var buffer = [UInt8](repeating: 0, count: Self.most)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(source.number, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            kept.with { kept in
                kept += buffer[..<count]
                if kept.count > Self.most { kept.removeFirst(kept.count - Self.most) }
            }
        }
        source.close()
        isDone.set()
    }
}
