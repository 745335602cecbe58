package import Frames
internal import KeyModel

/// What the daemon says to a client.
package enum DaemonMessage: Hashable, Sendable {
    /// The client is let in.
    case hello(version: Int64)
    /// Something happens while a request is performed.
    case event(id: Int64, ControlEvent)
    /// A person is asked.
    case question(id: Int64, question: Int64, Question)
    /// What a request came to.
    case answer(id: Int64, Answer)
    /// Why a request failed; without an id, why the session ends.
    case failure(id: Int64?, ControlError)
}

extension DaemonMessage {
    /// Reads a message.
    ///
    /// - Throws: ``ControlError`` with `internalProtocol`.
    package init(_ value: FrameValue) throws(ControlError) {
        let fields = try WireFields(value)
        switch try fields.text("kind", most: 32) {
        case "hello": self = .hello(version: try fields.integer("protocol"))
        case "event": self = .event(id: try fields.integer("id"), try ControlEvent(fields))
        case "question":
            let question = Question(try fields.text("text"), isSecret: try fields.bool("secret"))
            self = .question(id: try fields.integer("id"), question: try fields.integer("question"), question)
        case "answer": self = .answer(id: try fields.integer("id"), try Answer(fields))
        case "failure": self = .failure(id: try fields.optionalInteger("id"), try ControlError(fields))
        default: throw wireError("a message is of no kind that is known")
        }
    }

    /// Writes a message.
    package var frame: FrameValue {
        switch self {
        case .hello(let version): ["kind": "hello", "protocol": .integer(version)]
        case .event(let id, let event): with(["kind": "event", "id": .integer(id)], event.fields)
        case .question(let id, let number, let question):
            [
                "kind": "question", "id": .integer(id), "question": .integer(number), "text": .string(question.text),
                "secret": .bool(question.isSecret),
            ]
        case .answer(let id, let answer): with(["kind": "answer", "id": .integer(id)], answer.fields)
        case .failure(let id, let error): with(["kind": "failure", "id": FrameValue(id)], error.fields)
        }
    }

    private func with(_ head: [String: FrameValue], _ fields: [String: FrameValue]) -> FrameValue {
        .map(head.merging(fields) { head, _ in head })
    }
}

extension ControlEvent {
    fileprivate init(_ fields: WireFields) throws(ControlError) {
        switch try fields.text("event", most: 32) {
        case "output": self = .output(try fields.text("text"))
        case "note": self = .note(try fields.text("text"))
        case "warning": self = .warning(try fields.text("text"))
        case "review": self = .review(try Answer(fields))
        case "progress": self = .progress(try Progress(fields))
        default: throw wireError("an event is of no kind that is known")
        }
    }

    fileprivate var fields: [String: FrameValue] {
        switch self {
        case .output(let text): ["event": "output", "text": .string(text)]
        case .note(let text): ["event": "note", "text": .string(text)]
        case .warning(let text): ["event": "warning", "text": .string(text)]
        case .review(let answer): answer.fields.merging(["event": "review"]) { _, new in new }
        case .progress(let progress): progress.fields.merging(["event": "progress"]) { _, new in new }
        }
    }
}

extension ControlEvent.Progress {
    fileprivate init(_ fields: WireFields) throws(ControlError) {
        self.init(
            run: try fields.integer("run"), phase: try fields.text("phase"), subject: try fields.text("subject"),
            done: try fields.integer("done"), total: try fields.optionalInteger("total"),
            unit: try fields.text("unit"), rate: try fields.double("rate"),
            leftMilliseconds: try fields.optionalInteger("left_ms"), waiting: try fields.optionalText("waiting"))
    }

    fileprivate var fields: [String: FrameValue] {
        [
            "run": .integer(run), "phase": .string(phase), "subject": .string(subject), "done": .integer(done),
            "total": FrameValue(total), "unit": .string(unit), "rate": .double(rate),
            "left_ms": FrameValue(leftMilliseconds), "waiting": FrameValue(waiting),
        ]
    }
}

extension ControlError {
    fileprivate init(_ fields: WireFields) throws(ControlError) {
        self.init(
            codeName: try fields.text("code", most: 128), try fields.text("message"),
            hint: try fields.optionalText("hint"), status: Int32(try fields.integer("status", in: 0...255)))
    }

    fileprivate var fields: [String: FrameValue] {
        [
            "code": .string(codeName), "message": .string(message), "hint": FrameValue(hint),
            "status": .integer(Int64(status)),
        ]
    }
}
