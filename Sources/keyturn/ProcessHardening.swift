internal import CProcess
internal import Glibc
internal import ProviderHost

/// Keeps what the process holds out of core dumps and out of other processes' reach.
enum ProcessHardening {
    /// What the process was started with beyond its standard streams; the system has one such set for each process.
    static let secrets = InheritedSecrets.takingStock()

    /// Forbids core files and tracing by others of the same user; a pipe that closes becomes an error, not a signal.
    ///
    /// A standard stream that is closed is opened on nothing, so that no file of ours takes its place.
    static func apply() {
        // Before anything of ours is opened.
        _ = secrets
        for stream in 0...2 where fcntl(Int32(stream), F_GETFD) == -1 { _ = open("/dev/null", O_RDWR) }
        precondition(kt_process_forbid_dumps() == 0, "the system does not let core dumps be forbidden")
        signal(SIGPIPE, SIG_IGN)
        // Swift's backtraces print the memory that registers point to, which may be a key or a plaintext.
        for crash in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGTRAP] { signal(crash, SIG_DFL) }
    }
}
