internal import Dispatch
internal import Storage
internal import Synchronization

/// A fixed number of connections; work waits in order until one of them is free.
final class ConnectionPool: Sendable {
    private typealias Job = @Sendable (Connection) -> Void

    private struct State {
        var idle: [Connection]
        var waiting: [Job] = []
        var isClosed = false
        var closers: [CheckedContinuation<Void, Never>] = []
    }

    let connections: [Connection]
    private let state: Mutex<State>

    init(_ connections: [Connection]) {
        self.connections = connections
        state = Mutex(State(idle: connections))
    }

    /// Runs work on a connection's own queue; cancelling the task drops it while it waits and never interrupts it later.
    func run<Value: Sendable>(_ work: @escaping @Sendable (Connection) throws -> Value) async throws -> Value {
        let cancellation = Cancellation()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isTaken = submit { connection in
                    continuation.resume(
                        with: Result {
                            if cancellation.isCancelled { throw CancellationError() }
                            return try work(connection)
                        })
                }
                if !isTaken {
                    let place = connections.first?.place.description ?? "the database"
                    continuation.resume(
                        throwing: StorageError(.storeUnavailable, "cannot use \(place): it has been closed"))
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
    }

    /// Closes the connections behind the work that waits for them.
    func close() async {
        await withCheckedContinuation { continuation in
            let isQuiet = state.withLock { state in
                state.isClosed = true
                guard state.idle.count < connections.count else { return true }
                state.closers.append(continuation)
                return false
            }
            if isQuiet { continuation.resume() }
        }
        for connection in connections {
            await withCheckedContinuation { continuation in
                connection.queue.async {
                    connection.close()
                    continuation.resume()
                }
            }
        }
    }

    private func submit(_ job: @escaping Job) -> Bool {
        let (isTaken, connection) = state.withLock { state -> (Bool, Connection?) in
            guard !state.isClosed else { return (false, nil) }
            if let connection = state.idle.popLast() { return (true, connection) }
            state.waiting.append(job)
            return (true, nil)
        }
        if let connection { dispatch(job, on: connection) }
        return isTaken
    }

    private func dispatch(_ job: @escaping Job, on connection: Connection) {
        connection.queue.async { [self] in
            job(connection)
            finished(connection)
        }
    }

    private func finished(_ connection: Connection) {
        let (next, closers) = state.withLock { state -> (Job?, [CheckedContinuation<Void, Never>]) in
            guard state.waiting.isEmpty else { return (state.waiting.removeFirst(), []) }
            state.idle.append(connection)
            guard state.isClosed, state.idle.count == connections.count else { return (nil, []) }
            defer { state.closers = [] }
            return (nil, state.closers)
        }
        if let next { dispatch(next, on: connection) }
        for closer in closers { closer.resume() }
    }
}

/// Whether the task that asked for some work has given up.
private final class Cancellation: Sendable {
    private let flag = Atomic(false)

    var isCancelled: Bool { flag.load(ordering: .relaxed) }

    func cancel() { flag.store(true, ordering: .relaxed) }
}
