internal import Control
internal import Synchronization

/// Carries what happens during requests to the loop that has the terminal.
final class ConsoleBridge: ControlClient {
    /// Something for the loop.
    enum Message: Sendable {
        case event(ControlEvent)
        case question(Question, Reply)
        case finished(number: Int, Result<Answer, any Error>)
    }

    /// Takes the answer to a question, once.
    final class Reply: Sendable {
        private let continuation: Mutex<CheckedContinuation<String?, Never>?>

        init(_ continuation: CheckedContinuation<String?, Never>) { self.continuation = Mutex(continuation) }

        func give(_ answer: String?) {
            let waiting = continuation.withLock { waiting in
                defer { waiting = nil }
                return waiting
            }
            waiting?.resume(returning: answer)
        }
    }

    private struct State {
        var messages: [Message] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let notice: @Sendable () -> Void

    init(notice: @escaping @Sendable () -> Void) { self.notice = notice }

    func show(_ event: ControlEvent) async { post(.event(event)) }

    func answer(_ question: Question) async -> String? {
        await withCheckedContinuation { continuation in
            let reply = Reply(continuation)
            let isClosed = state.withLock { state in
                if !state.isClosed { state.messages.append(.question(question, reply)) }
                return state.isClosed
            }
            if isClosed { reply.give(nil) } else { notice() }
        }
    }

    func post(_ message: Message) {
        state.withLock { state in
            // Of progress only the latest counts.
            if case .event(.progress) = message, case .event(.progress)? = state.messages.last {
                state.messages.removeLast()
            }
            state.messages.append(message)
        }
        notice()
    }

    /// The next message; nil where there is none.
    func next() -> Message? {
        state.withLock { $0.messages.isEmpty ? nil : $0.messages.removeFirst() }
    }

    /// Declines every question from now on, so that nothing waits for a person who has left.
    func close() {
        let left = state.withLock { state in
            state.isClosed = true
            defer { state.messages = [] }
            return state.messages
        }
        for case .question(_, let reply) in left { reply.give(nil) }
    }
}
