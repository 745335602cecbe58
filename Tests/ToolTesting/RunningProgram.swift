package import Foundation

/// A process of a program under test.
///
/// What it reads and writes stands in files, so that no pipe can hold it up.
package final class RunningProgram {
    /// Its process id.
    package let pid: pid_t
    private let arguments: [String]
    private let streams: Streams
    private var ended: ProgramOutput?

    /// Where its standard streams lie.
    package struct Streams {
        package let input: String
        package let output: String
        package let error: String
    }

    /// Starts a program.
    ///
    /// - Throws: ``EndToEndError`` where it cannot be started.
    package init(
        _ path: String, _ arguments: [String], in folder: String, environment: [String: String], streams: Streams
    ) throws {
        self.arguments = arguments
        self.streams = streams
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, streams.input, O_RDONLY, 0)
        let flags = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, streams.output, flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, streams.error, flags, 0o600)
        var pid = pid_t()
        // It enters the folder and then becomes the program, so that the process id is the program's.
        let words = Self.list(["env", "-C", folder, path] + arguments)
        let settings = Self.list(environment.map { "\($0)=\($1)" })
        defer { (words + settings).forEach { free($0) } }
        let code = posix_spawn(&pid, "/usr/bin/env", &actions, nil, words, settings)
        guard code == 0 else { throw EndToEndError("cannot start \(path): \(String(cString: strerror(code)))") }
        self.pid = pid
    }

    deinit {
        guard ended == nil else { return }
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }

    /// What it has written on standard error so far.
    package var errorSoFar: String { Self.text(of: streams.error) }

    /// Whether it still runs.
    package var isRunning: Bool { collect() == nil }

    /// Sends it a signal, if it still runs.
    package func signal(_ number: Int32) { if ended == nil { kill(pid, number) } }

    /// Waits for its end.
    ///
    /// - Throws: ``EndToEndError`` after `limit`, when it is killed.
    package func wait(limit: Duration = .seconds(120)) async throws -> ProgramOutput {
        let deadline = ContinuousClock.now + limit
        while true {
            if let output = collect() { return output }
            guard ContinuousClock.now < deadline else { break }
            try await Task.sleep(for: .milliseconds(2))
        }
        signal(SIGKILL)
        throw EndToEndError("\(arguments) did not end within \(limit): \(errorSoFar)")
    }

    private func collect() -> ProgramOutput? {
        if let ended { return ended }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7F
        ended = ProgramOutput(
            arguments: arguments, standardOutput: Self.text(of: streams.output),
            standardError: Self.text(of: streams.error), exitCode: signal == 0 ? (status >> 8) & 0xFF : nil,
            signal: signal == 0 ? nil : signal
        )
        return ended
    }

    private static func text(of path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    private static func list(_ words: [String]) -> [UnsafeMutablePointer<CChar>?] { words.map { strdup($0) } + [nil] }
}

/// What a program came to.
package struct ProgramOutput: CustomStringConvertible, Sendable {
    /// What it was called with.
    package let arguments: [String]
    /// All of its standard output.
    package let standardOutput: String
    /// All of its standard error.
    package let standardError: String
    /// Its exit code; nil where a signal ended it.
    package let exitCode: Int32?
    /// The signal that ended it.
    package let signal: Int32?

    /// How it ended, with the end of what it said.
    package var description: String {
        """
        \(arguments) ended with \(exitCode.map { "code \($0)" } ?? "signal \(signal ?? 0)")
        \(standardError.suffix(1500))
        \(standardOutput.suffix(1500))
        """
    }

    /// Standard output without the end of its last line.
    package var line: String { standardOutput.hasSuffix("\n") ? String(standardOutput.dropLast()) : standardOutput }

    /// The envelope on standard output.
    package var json: JSONValue { JSONValue(parsing: standardOutput) }

    /// This output, if it ended with a code.
    ///
    /// - Throws: ``EndToEndError`` with all that it said where it did not.
    package func expecting(_ code: Int32 = 0) throws -> ProgramOutput {
        guard exitCode == code else { throw EndToEndError("expected code \(code): \(self)") }
        return self
    }
}
