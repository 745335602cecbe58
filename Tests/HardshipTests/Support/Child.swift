import Foundation

/// How a child process ended and what it said.
struct Ended {
    /// The exit code; 128 and the signal's number where a signal ended it.
    let status: Int32
    /// Whether a signal ended it.
    let wasKilled: Bool
    let output: Data
    let errors: Data
    /// The most memory that it held, in KiB.
    let peakKiB: Int

    var text: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: errors, as: UTF8.self) }
    /// Both streams, for messages of failed tests.
    var all: String { "exit \(status)\n\(text)\n\(errorText)" }
}

/// What a child process is given.
struct ChildSetup {
    var program: String
    var arguments: [String]
    var folder: URL
    var environment: [String: String] = [:]
    var input = Data()
    /// The terminal to run on, as its controlling terminal; nil for files.
    var terminal: String?
}

/// A process of a test's own, with its streams in files so that nothing blocks.
final class Child {
    let pid: pid_t
    private let files: URL
    private var ended: Ended?

    init(_ setup: ChildSetup) throws {
        files = FileManager.default.temporaryDirectory.appending(path: "keyturn-child-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
        try setup.input.write(to: files.appending(path: "in"))
        pid = try Self.spawn(setup, files)
    }

    deinit {
        if ended == nil {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
        try? FileManager.default.removeItem(at: files)
    }

    /// What it has written to its error stream so far.
    var errorsSoFar: String {
        String(decoding: (try? Data(contentsOf: files.appending(path: "err"))) ?? Data(), as: UTF8.self)
    }

    /// Waits until it ends.
    func wait() throws -> Ended {
        if let ended { return ended }
        var status: Int32 = 0
        var peak = 0
        while true {
            let reaped = waitpid(pid, &status, WNOHANG)
            if reaped == pid { break }
            guard reaped == 0 || errno == EINTR else {
                throw SetupFailure("waitpid: \(String(cString: strerror(errno)))")
            }
            peak = max(peak, peakSoFar)
            usleep(5000)
        }
        let signal = status & 0x7F
        let result = Ended(
            status: signal == 0 ? (status >> 8) & 0xFF : 128 + signal, wasKilled: signal != 0, output: content("out"),
            errors: content("err"), peakKiB: peak
        )
        ended = result
        return result
    }

    /// The most memory of the program that runs now, in KiB.
    ///
    /// What `wait4` tells would count the memory of the test's own process along, out of which it was started.
    private var peakSoFar: Int {
        let lines = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8))?.split(separator: "\n") ?? []
        let line = lines.first { $0.hasPrefix("VmHWM:") }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
    }

    private func content(_ name: String) -> Data { (try? Data(contentsOf: files.appending(path: name))) ?? Data() }

    private static func spawn(_ setup: ChildSetup, _ files: URL) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let terminal = setup.terminal {
            posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0)
            posix_spawn_file_actions_adddup2(&actions, 0, 1)
            posix_spawn_file_actions_adddup2(&actions, 0, 2)
        } else {
            let write = O_WRONLY | O_CREAT | O_TRUNC
            posix_spawn_file_actions_addopen(&actions, 0, files.appending(path: "in").path, O_RDONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 1, files.appending(path: "out").path, write, 0o600)
            posix_spawn_file_actions_addopen(&actions, 2, files.appending(path: "err").path, write, 0o600)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A session of its own: the terminal opened first then becomes the controlling one.
        posix_spawnattr_setflags(&attributes, Int16(0x80) | Int16(POSIX_SPAWN_SETSIGDEF))
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("KEYTURN") }
        environment.merge(setup.environment) { $1 }
        // "env -C" enters the folder and becomes the program.
        let words = (["env", "-C", setup.folder.path, setup.program] + setup.arguments).map { strdup($0) } + [nil]
        let names = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (words + names).forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawnp(&pid, "env", &actions, &attributes, words, names)
        guard failure == 0 else {
            throw SetupFailure("cannot start \(setup.program): \(String(cString: strerror(failure)))")
        }
        return pid
    }
}

/// Says why a test could not be set up.
struct SetupFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
