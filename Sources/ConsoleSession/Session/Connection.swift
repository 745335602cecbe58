package import Control
internal import Synchronization

/// A way to an instance that is opened when it is first needed, and again after it was lost.
///
/// Nothing is done twice: what was going on when the way was lost fails, and only what comes after it opens a new one.
package final class Connection: Sendable {
    /// Opens a way.
    package typealias Opening = @Sendable () async throws -> any ControlChannel

    private struct State {
        var opening: Task<any ControlChannel, any Error>?
        var channel: (any ControlChannel)?
        var number = 0
        /// Opens when the request before the next one is done.
        var gate: Gate?
    }

    /// Something to wait for.
    private final class Gate: Sendable {
        private let state: Mutex<(isOpen: Bool, waiting: CheckedContinuation<Void, Never>?)> = Mutex((false, nil))

        func open() {
            let waiting = state.withLock { state in
                state.isOpen = true
                defer { state.waiting = nil }
                return state.waiting
            }
            waiting?.resume()
        }

        /// Waits for the opening; for one caller.
        func wait() async {
            await withCheckedContinuation { continuation in
                let isOpen = state.withLock { state in
                    if !state.isOpen { state.waiting = continuation }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
        }
    }

    private let open: Opening
    private let state = Mutex(State())

    /// Takes what opens a way.
    package init(_ open: @escaping Opening) { self.open = open }

    /// The number of the session, from 1; 0 before the first.
    package var number: Int { state.withLock { $0.number } }
    /// Whether a way is open, as far as is known.
    package var isOpen: Bool { state.withLock { $0.channel != nil } }

    /// Opens a way where none is.
    package func channel() async throws -> any ControlChannel {
        let task = state.withLock { state -> Task<any ControlChannel, any Error> in
            if let opening = state.opening { return opening }
            let opening = Task { [open] in
                let channel = try await open()
                self.state.withLock {
                    $0.channel = channel
                    $0.number += 1
                }
                return channel
            }
            state.opening = opening
            return opening
        }
        do {
            return try await task.value
        } catch {
            state.withLock { if $0.opening == task { $0.opening = nil } }
            throw error
        }
    }

    /// Performs a request when those before it are done; a way that turns out to be lost is forgotten.
    package func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        let own = Gate()
        let former = state.withLock { state in
            defer { state.gate = own }
            return state.gate
        }
        defer { own.open() }
        await former?.wait()
        let channel = try await channel()
        do {
            return try await channel.perform(request, for: client)
        } catch let error as ControlError where error.means(.storeDaemonUnreachable) || error.means(.internalProtocol) {
            state.withLock {
                $0.opening = nil
                $0.channel = nil
            }
            await channel.close()
            throw error
        }
    }

    /// Asks what is being performed to end.
    package func cancel() async { await current?.cancel() }

    /// Kills the session's worker.
    package func killScript() async { await current?.killScript() }

    /// Ends the session.
    package func close() async { await current?.close() }

    private var current: (any ControlChannel)? { state.withLock { $0.channel } }
}

extension ControlError {
    /// Whether it is one of this module's codes.
    func means(_ code: Code) -> Bool { codeName == code.rawValue }
}
