internal import ControlStore
internal import Foundation
internal import KeyModel

/// Runs a program that the configuration names: its own process group, no environment of ours, no input, bounded output.
struct OutsideCommand: Sendable {
    /// How a program ended.
    struct Ending: Sendable {
        /// Its exit status; 128 and the signal where one ended it.
        var status: Int32 = 0
        /// The first 64 KiB of its standard output, escaped where they are no text.
        var output = ""
        /// The first 64 KiB of its standard error.
        var errors = ""
        /// Whether it wrote more.
        var isCut = false

        /// What people read of it.
        var lines: [String] {
            (output.split(separator: "\n") + errors.split(separator: "\n")).map(String.init)
        }
    }

    private let argv: [String]
    private let name: Name
    private let timeout: Duration

    private static let limit = 65_536

    init(_ command: CommandDeclaration, _ arguments: [String]) {
        argv = command.argv + arguments
        name = command.name
        timeout = command.timeout
    }

    /// Runs it on a thread of its own, since waiting blocks.
    ///
    /// - Throws: ``ControlError`` with `callerLimitExceeded` where it took too long and was killed, `callerInterrupted`, or
    ///   `providerUnavailable` where it cannot be started.
    func run(_ scope: CallScope) async throws -> Ending {
        let result: Result<Ending, ControlError> = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(returning: Result { () throws(ControlError) in try runBlocking(scope) })
            }
        }
        return try result.get()
    }

    private func runBlocking(_ scope: CallScope) throws(ControlError) -> Ending {
        var output = try OutputPipe()
        var errors = try OutputPipe()
        let pid = try start(output, errors)
        output.closeFarEnd()
        errors.closeFarEnd()
        let deadline = ContinuousClock.now + timeout
        var status: Int32 = 0
        var killed: ControlError?
        while true {
            output.read(limit: Self.limit)
            errors.read(limit: Self.limit)
            if waitpid(pid, &status, WNOHANG) == pid { break }
            if killed == nil, ContinuousClock.now > deadline { killed = late }
            if killed == nil, scope.isCancelled {
                killed = ControlError(.callerInterrupted, "command \"\(name)\" was interrupted and killed")
            }
            if killed != nil { kill(-pid, SIGKILL) }
            OutputPipe.wait(output, errors)
        }
        // What it left behind in its group ends with it.
        kill(-pid, SIGKILL)
        output.read(limit: Self.limit)
        errors.read(limit: Self.limit)
        if let killed { throw killed }
        let signal = status & 0x7F
        return Ending(
            status: signal == 0 ? (status >> 8) & 0xFF : 128 + signal, output: output.text, errors: errors.text,
            isCut: output.isCut || errors.isCut)
    }

    private var late: ControlError {
        ControlError(
            .callerLimitExceeded, "command \"\(name)\" took longer than \(timeout.durationText) and was killed",
            hint: "Give it more with timeout = \"…\" in keyturn.lua.")
    }

    private func start(_ output: borrowing OutputPipe, _ errors: borrowing OutputPipe) throws(ControlError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output.farEnd, 1)
        posix_spawn_file_actions_adddup2(&actions, errors.farEnd, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, 0)
        // Signals that we ignore or block are not handed on.
        var (ignored, none) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigemptyset(&ignored)
        for signal in [SIGPIPE, SIGINT, SIGTERM, SIGHUP] { sigaddset(&ignored, signal) }
        posix_spawnattr_setsigdefault(&attributes, &ignored)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var pid: pid_t = 0
        let words = Self.copies(argv)
        let environment = Self.copies(["PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8"])
        defer { for text in words + environment { free(text) } }
        let status = posix_spawn(&pid, argv[0], &actions, &attributes, words, environment)
        guard status == 0 else {
            throw ControlError(
                codeName: "providerUnavailable",
                "cannot start command \"\(name)\": \(quoted(argv[0])): \(String(cString: strerror(status)))", status: 2)
        }
        return pid
    }
}

extension OutsideCommand {
    /// Texts as C strings, ended by nil; whoever gets them frees them.
    private static func copies(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
        let copies: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) }
        return copies + [nil]
    }
}

/// Our end of a child's output, drained without waiting, a bounded number of bytes kept.
private struct OutputPipe: ~Copyable {
    private let ours: Int32
    private(set) var farEnd: Int32
    private var kept: [UInt8] = []
    private(set) var isCut = false

    init() throws(ControlError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }),
            fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0
        else {
            throw ControlError(
                codeName: "providerUnavailable", "cannot start a command: \(String(cString: strerror(errno)))")
        }
        ours = ends[0]
        farEnd = ends[1]
    }

    deinit {
        close(ours)
        if farEnd >= 0 { close(farEnd) }
    }

    mutating func closeFarEnd() {
        close(farEnd)
        farEnd = -1
    }

    mutating func read(limit: Int) {
        var chunk = [UInt8](repeating: 0, count: 16_384)
        // Bounded, so that a child that never stops writing does not keep us from looking at the clock.
        for _ in 0..<64 {
            let got = Foundation.read(ours, &chunk, chunk.count)
            guard got > 0 else { return }
            let room = limit - kept.count
            isCut = isCut || got > room
            kept += chunk[..<min(got, max(0, room))]
        }
    }

    /// What was kept, as text; bytes that are none are replaced.
    var text: String { String(decoding: kept, as: UTF8.self) }

    /// Waits a little, or until one of two has something to read.
    static func wait(_ first: borrowing OutputPipe, _ second: borrowing OutputPipe) {
        var ends = [first.ours, second.ours].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        // A pipe whose other end is closed is always ready.
        if poll(&ends, 2, 20) > 0, ends.allSatisfy({ $0.revents & Int16(POLLIN) == 0 }) { usleep(10_000) }
    }
}
