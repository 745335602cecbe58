import Foundation
import Testing
import ToolTesting

extension Sandbox {
    /// Starts a daemon on the instance, which may die at a durable point, and waits until it listens.
    func serve(dyingAt point: String? = nil) async throws -> RunningProgram {
        let daemon = try start(arguments: ["serve", "--log-format", "json"], dyingAt: point)
        let deadline = ContinuousClock.now + .seconds(120)
        while !daemon.errorSoFar.contains(#""event":"listening""#), daemon.isRunning, .now < deadline {
            try await Task.sleep(for: .milliseconds(20))
        }
        try #require(daemon.isRunning, "\(daemon.errorSoFar)")
        return daemon
    }
}
