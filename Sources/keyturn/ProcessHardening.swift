internal import CProcess
internal import Glibc

/// Keeps what the process holds out of core dumps and out of other processes' reach.
enum ProcessHardening {
    /// Forbids core files and tracing by others of the same user; a pipe that closes becomes an error, not a signal.
    static func apply() {
        precondition(kt_process_forbid_dumps() == 0, "the system does not let core dumps be forbidden")
        signal(SIGPIPE, SIG_IGN)
        // Swift's backtraces print the memory that registers point to, which may be a key or a plaintext.
        for crash in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGTRAP] { signal(crash, SIG_DFL) }
    }
}
