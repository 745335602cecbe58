import Foundation
import Testing
import ToolTesting

/// What suites that run a vault's daemon share.
protocol ServesVaults {}

extension ServesVaults {
    /// Starts the vault's daemon and waits until it listens.
    func serve(_ vault: Vault, _ more: String...) async throws -> RunningProgram {
        let daemon = try vault.sandbox.start(arguments: ["serve", "--log-format", "json"] + more)
        try await wait("it listens") { daemon.errorSoFar.contains(#""event":"listening""#) || !daemon.isRunning }
        try #require(daemon.isRunning, "\(daemon.errorSoFar)")
        return daemon
    }

    /// Waits until something is so, or fails with what it is.
    func wait(_ what: String, _ isSo: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(240)
        while try await !isSo() {
            guard .now < deadline else { throw EndToEndError("it never came to this: \(what)") }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Ends a daemon as a service manager does; nothing must be wrong with it.
    func end(_ daemon: RunningProgram) async throws {
        daemon.signal(SIGTERM)
        let output = try await daemon.wait()
        #expect(output.exitCode == 0, "\(output)")
    }
}
