package import Frames
internal import KeyModel

/// What both ends of the control socket agree on; `docs/formats/control-socket.md` describes it.
package enum Wire {
    /// The version of the protocol that this build speaks, and the only one.
    package static let version: Int64 = 1

    /// What a client may send before it is let in.
    package static let helloLimits = FrameLimits(frameBytes: 4096, depth: 4, nodes: 64)
    /// What a client may send in one frame.
    package static let requestLimits = FrameLimits(frameBytes: 1 << 20, depth: 32, nodes: 20_000)
    /// What the daemon may send in one frame.
    package static let answerLimits = FrameLimits(frameBytes: 16 << 20, depth: 40, nodes: 1_000_000)
    /// The most descriptors that go with one request.
    package static let descriptors = 8
}

/// The members of a map that came over the socket; each is checked as it is read.
struct WireFields {
    private let entries: [String: FrameValue]

    /// Reads a map.
    init(_ value: FrameValue) throws(ControlError) {
        guard case .map(let entries) = value else { throw wireError("a message is no map") }
        self.entries = entries
    }

    func integer(_ name: String, in range: ClosedRange<Int64> = 0...Int64.max) throws(ControlError) -> Int64 {
        guard let number = try optionalInteger(name, in: range) else { throw missing(name) }
        return number
    }

    func optionalInteger(
        _ name: String, in range: ClosedRange<Int64> = 0...Int64.max
    ) throws(ControlError) -> Int64? {
        guard let value = member(name) else { return nil }
        guard case .integer(let number) = value, range.contains(number) else {
            throw wireError("\(quoted(name)) is no number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func double(_ name: String) throws(ControlError) -> Double {
        switch member(name) {
        case .double(let number): return number
        case .integer(let number): return Double(number)
        default: throw wireError("\(quoted(name)) is no number")
        }
    }

    func text(_ name: String, most: Int = .max) throws(ControlError) -> String {
        guard let text = try optionalText(name, most: most) else { throw missing(name) }
        return text
    }

    func optionalText(_ name: String, most: Int = .max) throws(ControlError) -> String? {
        guard let value = member(name) else { return nil }
        guard case .string(let text) = value, text.utf8.count <= most else {
            throw wireError("\(quoted(name)) is no text\(most == .max ? "" : " of at most \(most) bytes")")
        }
        return text
    }

    func bool(_ name: String) throws(ControlError) -> Bool {
        guard case .bool(let truth)? = member(name) else {
            throw wireError("\(quoted(name)) is neither true nor false")
        }
        return truth
    }

    /// A list; an absent one is empty.
    func list(_ name: String) throws(ControlError) -> [FrameValue] {
        guard let value = member(name) else { return [] }
        guard case .array(let elements) = value else { throw wireError("\(quoted(name)) is no list") }
        return elements
    }

    /// A list of texts; an absent one is empty.
    func texts(_ name: String) throws(ControlError) -> [String] {
        var texts: [String] = []
        for element in try list(name) {
            guard case .string(let text) = element else { throw wireError("\(quoted(name)) holds what is no text") }
            texts.append(text)
        }
        return texts
    }

    /// A map; an absent one is empty.
    func map(_ name: String) throws(ControlError) -> [String: FrameValue] {
        guard let value = member(name) else { return [:] }
        guard case .map(let entries) = value else { throw wireError("\(quoted(name)) is no map") }
        return entries
    }

    /// Any value; an absent one is null.
    func value(_ name: String) -> FrameValue { entries[name] ?? .null }

    private func member(_ name: String) -> FrameValue? {
        switch entries[name] {
        case nil, .null: nil
        case .some(let value): value
        }
    }

    private func missing(_ name: String) -> ControlError { wireError("\(quoted(name)) is missing") }
}

/// Says that a message is not of the protocol.
func wireError(_ why: String) -> ControlError {
    ControlError(
        .internalProtocol, "cannot read what came over the socket: \(why)",
        hint: "Use the same version of keyturn for the daemon and its clients."
    )
}

extension FrameValue {
    init(_ text: String?) { self = text.map { .string($0) } ?? .null }
    init(_ number: Int64?) { self = number.map { .integer($0) } ?? .null }
}
