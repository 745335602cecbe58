internal import Glibc
internal import Synchronization

/// What a connection waits for, as it is seen from beside it: libpq itself waits without limit.
///
/// Giving a call up shuts its socket down, so that libpq finds the connection lost and every call on it returns.
final class AnswerWait: Sendable {
    /// A server by the settings of libpq that lead to it and to no other.
    typealias Address = [String: String]

    /// A call that waits.
    struct Call: Sendable {
        fileprivate let number: Int
        /// The server that is to answer.
        let address: Address
        /// Since when nothing was heard.
        let heardAt: ContinuousClock.Instant
        /// Whether the server would have ended the statement by itself long ago.
        let isOverdue: Bool
    }

    private struct State {
        var number = 0
        var socket: CInt?
        var address: Address = [:]
        var limit: Duration?
        var begunAt = ContinuousClock.now
        var heardAt = ContinuousClock.now
        var givenUpAfter: Duration?
    }

    private let state = Mutex(State())

    /// A new connection leads to this server; nothing was given up on it yet.
    func connected(to address: Address) {
        state.withLock { state in
            state.address = address
            state.givenUpAfter = nil
        }
    }

    /// A call waits from now on, at most for `limit` between two answers; nil where the server works as long as it takes.
    func begin(on socket: CInt, limit: Duration?) {
        state.withLock { state in
            state.number += 1
            state.socket = socket
            state.limit = limit
            state.begunAt = ContinuousClock.now
            state.heardAt = state.begunAt
        }
    }

    /// One of several answers has come.
    func heard() {
        state.withLock { state in
            state.begunAt = ContinuousClock.now
            state.heardAt = state.begunAt
        }
    }

    /// Nobody waits any more; the socket may be closed.
    func end() { state.withLock { $0.socket = nil } }

    /// How long the call had waited that was given up on this connection; nil where none was.
    var givenUpAfter: Duration? { state.withLock { $0.givenUpAfter } }

    /// The call that has waited for so long without a sign of the server; nil where there is none.
    func call(silentFor silence: Duration) -> Call? {
        state.withLock { state in
            let now = ContinuousClock.now
            guard state.socket != nil, now - state.heardAt >= silence else { return nil }
            let isOverdue = state.limit.map { now - state.begunAt > $0 + silence * 2 } ?? false
            return Call(number: state.number, address: state.address, heardAt: state.heardAt, isOverdue: isOverdue)
        }
    }

    /// The server of a call has given a sign of itself.
    func heard(for call: Call) {
        state.withLock { state in
            if state.number == call.number { state.heardAt = ContinuousClock.now }
        }
    }

    /// Ends a call that still waits for the same answer.
    func giveUp(_ call: Call) {
        state.withLock { state in
            guard let socket = state.socket, state.number == call.number, state.heardAt == call.heardAt else { return }
            state.givenUpAfter = ContinuousClock.now - state.begunAt
            shutdown(socket, CInt(SHUT_RDWR))
        }
    }
}
