package import Control
internal import Synchronization

/// Keeps what it is shown and answers what it is told to.
package final class RecordingClient: ControlClient {
    private let reply: String?
    private let shown = Mutex<[ControlEvent]>([])
    private let asked = Mutex<[Question]>([])

    /// Makes a client that answers every question alike; nil declines.
    package init(replying reply: String? = nil) { self.reply = reply }

    /// What it was shown.
    package var events: [ControlEvent] { shown.withLock { $0 } }
    /// What it was asked.
    package var questions: [Question] { asked.withLock { $0 } }

    /// Keeps what happens.
    package func show(_ event: ControlEvent) async { shown.withLock { $0.append(event) } }

    /// Keeps the question and gives the one answer.
    package func answer(_ question: Question) async -> String? {
        asked.withLock { $0.append(question) }
        return reply
    }
}
