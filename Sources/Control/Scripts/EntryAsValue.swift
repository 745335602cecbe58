internal import Frames

/// A function or a namespace of the API that a script handed back as a value, as when somebody types `help` alone.
struct EntryAsValue {
    private let name: String
    private let entries: [Entry]

    /// Reads a value; nil for every other one.
    init?(_ value: FrameValue, in api: API) {
        guard case .string(let text) = value, text.hasSuffix(">") else { return nil }
        if text.hasPrefix("<function ") {
            name = String(text.dropFirst(10).dropLast())
            guard let entry = try? api.entry(name) else { return nil }
            entries = [entry]
        } else if text.hasPrefix("<entries ") {
            name = String(text.dropFirst(9).dropLast())
            entries = api.entries.filter { [name] in $0.namespace == name }
        } else {
            return nil
        }
        if entries.isEmpty { return nil }
    }

    /// What people and programs see of it: the signature, or what there is in the namespace.
    var answer: Answer {
        if entries.count == 1, entries[0].name == name {
            return Answer(
                .string(entries[0].signature),
                [
                    .lines([
                        entries[0].signature, entries[0].summary, "help(\(name)) says more, help() lists everything",
                    ])
                ])
        }
        let rows = entries.map { [$0.signature, $0.summary] }
        return Answer(
            .array(entries.map { .string($0.signature) }), [.table(nil, ["call", "what it does"], rows: rows)])
    }
}
