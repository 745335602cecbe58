package import Frames
package import KeyModel
internal import Storage

/// The arguments of a call, held against what its entry takes.
package struct Arguments: Sendable {
    private let values: [String: FrameValue]
    private let entry: String

    /// Binds arguments to an entry's parameters, by place and by name.
    ///
    /// One map as the only argument counts as named arguments where the entry takes no map first.
    ///
    /// - Throws: ``ControlError`` with `callerUsage`, whose hint names the nearest parameter or the signature.
    package init(of call: Call, for entry: Entry) throws(ControlError) {
        var (places, names) = (call.arguments, call.named)
        if places.count == 1, names.isEmpty, case .map(let given) = places[0], !Self.takesMap(entry) {
            (places, names) = ([], given)
        }
        // Lua has one empty table; as the only argument it means that there is none.
        if places.count == 1, names.isEmpty, places[0] == .array([]), !Self.takesMap(entry) { places = [] }
        var bound: [String: FrameValue] = [:]
        for (index, value) in places.enumerated() {
            if let last = entry.parameters.last, last.takesRest, index >= entry.parameters.count - 1 {
                guard case .array(let before) = bound[last.name] ?? .array([]) else { continue }
                bound[last.name] = .array(before + [value])
                continue
            }
            guard index < entry.parameters.count else {
                throw Self.usage(
                    "\(entry.name) takes \(Self.count(entry.parameters.count)), \(places.count) were given", entry)
            }
            bound[entry.parameters[index].name] = value
        }
        for (name, value) in names.sorted(by: { $0.key < $1.key }) {
            guard entry.parameters.contains(where: { $0.name == name }) else { throw Self.unknown(name, entry) }
            guard bound.updateValue(value, forKey: name) == nil else {
                throw Self.usage("\(entry.name) was given \"\(name)\" twice, by place and by name", entry)
            }
        }
        for parameter in entry.parameters {
            if let value = bound[parameter.name], value != .null {
                bound[parameter.name] = try Self.checked(value, parameter, entry)
            } else if parameter.isRequired {
                throw Self.usage("\(entry.name) needs \"\(parameter.name)\": \(parameter.summary)", entry)
            } else {
                bound[parameter.name] = parameter.fallback
            }
        }
        values = bound
        self.entry = entry.name
    }

    /// The value of a parameter; nil where it was not given and has no default.
    package subscript(name: String) -> FrameValue? { values[name] }

    /// The text of a parameter.
    package func text(_ name: String) -> String? {
        if case .string(let text) = values[name] { text } else { nil }
    }

    /// The text of a parameter that must be given.
    ///
    /// - Throws: ``ControlError`` with `callerUsage`.
    package func required(_ name: String) throws(ControlError) -> String {
        guard let text = text(name) else {
            throw ControlError(.callerUsage, "\(entry) needs \"\(name)\"", hint: "See help(\(entry)).")
        }
        return text
    }

    /// The whole number of a parameter.
    package func integer(_ name: String) -> Int64? {
        if case .integer(let number) = values[name] { number } else { nil }
    }

    /// The number of a parameter.
    package func number(_ name: String) -> Double? {
        switch values[name] {
        case .integer(let number): Double(number)
        case .double(let number): number
        default: nil
        }
    }

    /// The truth of a parameter; false where it was not given.
    package func truth(_ name: String) -> Bool { values[name] == .bool(true) }

    /// The texts of a parameter; empty where it was not given.
    package func texts(_ name: String) -> [String] {
        guard case .array(let list) = values[name] else { return [] }
        return list.compactMap { if case .string(let text) = $0 { text } else { nil } }
    }

    /// The name of a keyring, a provider or the like.
    ///
    /// - Throws: ``KeyModelError`` with `callerNameMalformed`, or ``ControlError``.
    package func name(_ name: String) throws -> Name { try Name(try required(name)) }

    /// The number of a run.
    ///
    /// - Throws: ``ControlError`` with `callerUsage`.
    package func run() throws(ControlError) -> Int64 {
        guard let run = integer("run") else {
            throw ControlError(.callerUsage, "\(entry) needs the number of a run", hint: "runs.list() lists them.")
        }
        return run
    }

    /// Whether one of them holds something that was typed in secret.
    func hold(_ secrets: PromptedSecrets) -> Bool { secrets.stand(in: .map(values)) }

    /// The arguments as JSON for the audit log, sensitive ones and what was typed in secret left out.
    func audited(_ entry: Entry, without secrets: PromptedSecrets = PromptedSecrets()) -> String {
        var shown = values.mapValues { secrets.masked($0) }
        for parameter in entry.parameters where parameter.isSensitive && shown[parameter.name] != nil {
            shown[parameter.name] = "(not recorded)"
        }
        let text = FrameValue.map(shown).json()
        // A very long argument is named by its hash; the entry must stay readable.
        return text.utf8.count <= 8192 ? text : FrameValue.map(["sha256": .string(Proposal.hash([text]))]).json()
    }

    private static func takesMap(_ entry: Entry) -> Bool {
        guard let first = entry.parameters.first else { return false }
        return first.kind == .map || first.kind == .any
    }

    private static func checked(
        _ value: FrameValue, _ parameter: Parameter, _ entry: Entry
    ) throws(ControlError) -> FrameValue {
        if parameter.takesRest { return value }
        switch (parameter.kind, value) {
        case (.any, _), (.bytes, .string), (.bytes, .binary), (.truth, .bool), (.number, .integer), (.number, .double),
            (.map, .map), (.text, .string),
            (.keyring, .string), (.provider, .string), (.column, .string):
            return value
        // A key or a name may well be written as a number.
        case (.text, .integer(let number)), (.bytes, .integer(let number)): return .string(String(number))
        case (.texts, .integer(let number)): return .array([.string(String(number))])
        case (.map, .array(let empty)) where empty.isEmpty: return .map([:])
        case (.texts, .string), (.columns, .string): return .array([value])
        case (.texts, .array(let list)), (.columns, .array(let list)):
            let texts = list.compactMap { element -> FrameValue? in
                switch element {
                case .string: element
                case .integer(let number) where parameter.kind == .texts: .string(String(number))
                default: nil
                }
            }
            if texts.count == list.count { return .array(texts) }
        case (.integer(let range), .integer(let number)): if range.contains(number) { return value }
        case (.integer(let range), .double(let number)):
            if let whole = Int64(exactly: number), range.contains(whole) { return .integer(whole) }
        case (.run, .integer(let number)): if number > 0 { return value }
        case (.choice(let words), .string(let word)):
            if words.contains(word) { return value }
            let hint = nearest(to: word, among: words).map { "Did you mean \"\($0)\"?" }
            throw usage(
                "\(entry.name): \"\(parameter.name)\" is \(quoted(word)), not one of \(parameter.kindText)", entry, hint
            )
        default: break
        }
        throw usage(
            "\(entry.name): \"\(parameter.name)\" wants a \(parameter.kindText), but \(found(value)) was given", entry)
    }

    private static func unknown(_ name: String, _ entry: Entry) -> ControlError {
        let known = entry.parameters.map(\.name)
        let hint = nearest(to: name, among: known).map { "Did you mean \"\($0)\"?" }
        return usage("\(entry.name) takes no \(quoted(name))", entry, hint)
    }

    private static func usage(_ message: String, _ entry: Entry, _ hint: String? = nil) -> ControlError {
        ControlError(.callerUsage, message, hint: hint ?? "It is \(entry.signature).")
    }

    private static func count(_ number: Int) -> String {
        number == 0 ? "no arguments" : number == 1 ? "one argument" : "at most \(number) arguments"
    }

    /// What a value is, in words; texts are not quoted, since they may be secret.
    private static func found(_ value: FrameValue) -> String {
        switch value {
        case .null: "nothing"
        case .bool: "a truth"
        case .integer, .double: "a number"
        case .string: "a text"
        case .binary: "a text that is not valid UTF-8"
        case .array: "a list"
        case .map: "a table"
        }
    }
}
