package import Frames
internal import KeyModel

/// What a client says to the daemon.
package enum ClientMessage: Sendable {
    /// First of all: who is there, for layout alone.
    case hello(version: Int64, SessionHello)
    /// Asks for something; the id is the client's and comes back with everything that belongs to it.
    ///
    /// A call's descriptors travel beside the frame: here it carries none, and `descriptors` says how many belong to it.
    case request(id: Int64, ControlRequest, descriptors: Int)
    /// Answers a question; nil declines.
    case answer(question: Int64, String?)
    /// Asks the request that is being performed to end.
    case cancel(id: Int64)
    /// Kills the session's worker.
    case killScript
    /// Ends the session.
    case close
}

extension ClientMessage {
    /// Reads a message.
    ///
    /// - Throws: ``ControlError`` with `internalProtocol`.
    package init(_ value: FrameValue) throws(ControlError) {
        let fields = try WireFields(value)
        switch try fields.text("kind", most: 32) {
        case "hello": self = try Self.hello(fields)
        case "request":
            let count = try fields.optionalInteger("descriptors", in: 0...Int64(Wire.descriptors)) ?? 0
            let request = try ControlRequest(fields)
            guard count == 0 || request.takesDescriptors else { throw wireError("only a call takes descriptors") }
            self = .request(id: try fields.integer("id"), request, descriptors: Int(count))
        case "answer":
            self = .answer(question: try fields.integer("question"), try fields.optionalText("text", most: 65_536))
        case "cancel": self = .cancel(id: try fields.integer("id"))
        case "killScript": self = .killScript
        case "close": self = .close
        default: throw wireError("a message is of no kind that is known")
        }
    }

    /// Writes a message.
    package var frame: FrameValue {
        switch self {
        case .hello(let version, let hello):
            [
                "kind": "hello", "protocol": .integer(version), "way": .string(hello.way.rawValue),
                "interactive": .bool(hello.isInteractive), "width": FrameValue(hello.width.map(Int64.init)),
            ]
        case .request(let id, let request, let descriptors):
            .map(
                request.fields.merging([
                    "kind": "request", "id": .integer(id), "descriptors": .integer(Int64(descriptors)),
                ]) { _, new in new })
        case .answer(let question, let text):
            ["kind": "answer", "question": .integer(question), "text": FrameValue(text)]
        case .cancel(let id): ["kind": "cancel", "id": .integer(id)]
        case .killScript: ["kind": "killScript"]
        case .close: ["kind": "close"]
        }
    }

    /// A hello of another version is read as far as its version, so that it can be answered.
    private static func hello(_ fields: WireFields) throws(ControlError) -> ClientMessage {
        let version = try fields.integer("protocol")
        guard version == Wire.version else {
            return .hello(version: version, SessionHello(way: .call, isInteractive: false))
        }
        guard let way = Peer.Way(rawValue: try fields.text("way", most: 32)), way.isOfPeople else {
            throw wireError("\(quoted("way")) names none that a client may come by")
        }
        let width = try fields.optionalInteger("width", in: 1...100_000)
        let hello = SessionHello(way: way, isInteractive: try fields.bool("interactive"), width: width.map { Int($0) })
        return .hello(version: version, hello)
    }
}

extension ControlRequest {
    /// Reads what is asked for.
    fileprivate init(_ fields: WireFields) throws(ControlError) {
        switch try fields.text("what", most: 32) {
        case "call":
            self = .call(
                Call(
                    try fields.text("name", most: 256), try fields.list("arguments"), named: try fields.map("named"),
                    confirmation: try Confirmation(fields)))
        case "script":
            var script = Script(
                try fields.text("text"), name: try fields.text("name", most: 4096),
                isInteractive: try fields.bool("interactive"), arguments: try fields.texts("arguments"),
                confirmation: try Confirmation(fields))
            script.timeLimit = try fields.optionalInteger("timeLimit", in: 1...86_400_000).map { .milliseconds($0) }
            self = .script(script)
        case "complete":
            let text = try fields.text("text")
            let cursor = try fields.integer("cursor", in: 0...Int64(text.utf8.count))
            self = .complete(text: text, cursor: Int(cursor))
        case "describe": self = .describe
        case "ping": self = .ping
        default: throw wireError("a request asks for nothing that is known")
        }
    }

    fileprivate var takesDescriptors: Bool { if case .call = self { true } else { false } }

    fileprivate var fields: [String: FrameValue] {
        switch self {
        case .call(let call):
            call.confirmation.fields.merging([
                "what": "call", "name": .string(call.name), "arguments": .array(call.arguments),
                "named": .map(call.named),
            ]) { _, new in new }
        case .script(let script):
            script.confirmation.fields.merging([
                "what": "script", "text": .string(script.text), "name": .string(script.name),
                "interactive": .bool(script.isInteractive), "arguments": .array(script.arguments.map { .string($0) }),
                "timeLimit": FrameValue(script.timeLimit.map { Int64($0 / .milliseconds(1)) }),
            ]) { _, new in new }
        case .complete(let text, let cursor):
            ["what": "complete", "text": .string(text), "cursor": .integer(Int64(cursor))]
        case .describe: ["what": "describe"]
        case .ping: ["what": "ping"]
        }
    }
}

extension Confirmation {
    fileprivate init(_ fields: WireFields) throws(ControlError) {
        switch try fields.text("confirmation", most: 32) {
        case "ask": self = .ask
        case "given": self = .given
        case "plan": self = .plan(hash: try fields.text("plan", most: 256))
        default: throw wireError("\(quoted("confirmation")) is of no kind that is known")
        }
    }

    fileprivate var fields: [String: FrameValue] {
        switch self {
        case .ask: ["confirmation": "ask"]
        case .given: ["confirmation": "given"]
        case .plan(let hash): ["confirmation": "plan", "plan": .string(hash)]
        }
    }
}
