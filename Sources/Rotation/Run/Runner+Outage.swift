internal import ControlStore
internal import KeyModel
internal import Logging
internal import PluginKit

/// What is no fault of the run: a provider that cannot be reached.
enum Outage {
    /// Whether an error says that a provider could not be reached, so that the same may work a little later.
    static func isOne(_ error: any Error) -> Bool {
        switch error {
        case let error as ProviderError: error.code == .providerUnavailable
        case let error as RotationError: error.cause.map(isOne) ?? false
        default: false
        }
    }
}

/// Waiting until a provider is there again: the run is paused, says so, and goes on by itself.
extension Runner {
    /// Waits a while, longer each time, then has the phase tried again from where it stands; nothing committed is repeated.
    ///
    /// - Returns: `started`, or what was asked of the run meanwhile.
    func waitOut(
        _ error: any Error, of run: inout RunRecord, machine: inout RunMachine
    ) async throws -> RunMachine.Event {
        let why = (error as? any CodedError)?.message ?? "\(error)"
        _ = machine.handle(.outage(why))
        try await record(machine, in: &run)
        context.logger.warning("run waits for a provider", metadata: ["run.id": "\(run.id)", "reason": "\(why)"])
        let deadline = ContinuousClock.now + machine.outagePause
        while .now < deadline {
            if let event = try await pending(run) { return event }
            try await Task.sleep(for: Self.pollInterval)
            _ = try await lease.current()
        }
        return .started
    }
}
