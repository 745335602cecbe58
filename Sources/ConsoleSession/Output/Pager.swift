internal import Foundation
internal import Terminal

/// Shows long text through the program that `PAGER` names, else `less`.
package struct Pager: Sendable {
    private let words: [String]
    private let environment: [String: String]

    /// Chooses a pager; nil where `PAGER` is empty or `cat`, which mean none.
    package init?(environment: [String: String]) {
        let words = ShellWords.split(environment["PAGER"] ?? "less")
        guard let program = words.first, program != "cat" else { return nil }
        self.words = words
        // What fits goes straight out, colours stay, and the text stays on the screen.
        self.environment = environment.merging(["LESS": "FRX"]) { named, _ in named }
    }

    /// Shows a text and waits until the person leaves; a pager that is left early is no failure.
    ///
    /// - Returns: False where the pager cannot be started.
    package func show(_ text: String) async -> Bool {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: showBlocking(text)) }
        }
    }

    private func showBlocking(_ text: String) -> Bool {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return false }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let pid = start(reading: ends[0])
        close(ends[0])
        guard let pid else {
            close(ends[1])
            return false
        }
        TerminalDevice.write(text, to: ends[1])
        close(ends[1])
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        // A shell's word for a program that cannot be run.
        return (status >> 8) & 0xFF != 127
    }

    private func start(reading input: Int32) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        let arguments = words.map { strdup($0) } + [nil]
        let settings = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (arguments + settings).forEach { free($0) } }
        var pid = pid_t()
        return posix_spawnp(&pid, words[0], &actions, &attributes, arguments, settings) == 0 ? pid : nil
    }
}
