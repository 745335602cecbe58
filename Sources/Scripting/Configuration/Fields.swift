internal import ControlStore
internal import Frames
internal import KeyModel

/// The table of a declaration, read word by word; each reader says what it wanted where something else stands.
struct Fields {
    /// The declaration.
    let place: Place
    private let values: [String: FrameValue]

    /// Takes a table whose words are all known; no table is an empty one.
    init(_ declaration: Declaration, known: Set<String>) throws(ScriptingError) {
        try self.init(declaration.body, at: declaration.place, known: known)
    }

    /// Takes the table that follows a word without a name.
    init(namelessTableOf declaration: Declaration, known: Set<String>) throws(ScriptingError) {
        guard declaration.body == nil else { throw declaration.place.error("takes one table and no name") }
        try self.init(declaration.name, at: declaration.place, known: known)
    }

    private init(_ body: FrameValue?, at place: Place, known: Set<String>) throws(ScriptingError) {
        self.place = place
        switch body {
        case nil: values = [:]
        case .map(let entries) where body?.typeName == nil: values = entries
        case .array: throw place.error("wants a table of names and values, but a list stands there")
        case let other?: throw place.error("wants a table of names and values, but \(other.found) stands there")
        }
        for word in values.keys.sorted() where !known.contains(word) {
            let hint =
                nearest(to: word, among: known).map { "Did you mean \"\($0)\"?" }
                ?? "Known words: \(known.sorted().joined(separator: ", "))."
            throw place.error("unknown word \(quoted(word))", hint: hint)
        }
    }

    /// The words that stand there, in alphabetical order.
    var words: [String] { values.keys.sorted() }

    /// The value of a word.
    subscript(word: String) -> FrameValue? { values[word] }

    /// A text.
    func text(_ word: String) throws(ScriptingError) -> String? {
        switch values[word] {
        case nil: return nil
        case .string(let text) where !text.isEmpty && !text.utf8.contains(0): return text
        case .string: throw place.error("\(quoted(word)) is empty or holds a zero byte")
        case let other?: throw wrong(word, "a text", other)
        }
    }

    /// A text that must stand there.
    func required(_ word: String, example: String) throws(ScriptingError) -> String {
        guard let text = try text(word) else {
            throw place.error("\(quoted(word)) is missing", hint: "Add it, such as \(word) = \(quoted(example)).")
        }
        return text
    }

    /// A text, a whole number or a truth, as a text.
    func constantText(_ word: String) throws(ScriptingError) -> String? {
        switch values[word] {
        case .integer(let number): return String(number)
        case .bool(let truth): return String(truth)
        default: return try text(word)
        }
    }

    /// A name.
    func name(_ word: String) throws(ScriptingError) -> Name? {
        guard let text = try text(word) else { return nil }
        return try parse(word, text) { text throws(KeyModelError) in try Name(text) }
    }

    /// A name, or one of ours where none stands there.
    func name(_ word: String, else ours: String) throws(ScriptingError) -> Name {
        try parse(word, try text(word) ?? ours) { text throws(KeyModelError) in try Name(text) }
    }

    /// A duration above zero.
    func duration(_ word: String) throws(ScriptingError) -> Duration? {
        guard let value = values[word] else { return nil }
        guard case .string(let text) = value else { throw wrong(word, "a duration such as \"90d\"", value) }
        let duration = try parse(word, text) { text throws(KeyModelError) in try Duration(parsing: text) }
        guard duration > .zero else { throw place.error("\(quoted(word)) must be more than nothing") }
        return duration
    }

    /// How long a function may take, at the word `timeout`.
    func timeout() throws(ScriptingError) -> Duration? {
        guard let timeout = try duration("timeout") else { return nil }
        guard HookDeclaration.timeouts.contains(timeout) else {
            throw place.error("\(quoted("timeout")) is \(timeout.durationText), not from 1s to 1d")
        }
        return timeout
    }

    /// A whole number above zero; also one that Lua wrote as 1e6.
    func count(_ word: String) throws(ScriptingError) -> UInt64? {
        guard let value = values[word] else { return nil }
        switch value {
        case .integer(let number) where number > 0: return UInt64(number)
        case .double(let number) where number >= 1:
            if let count = UInt64(exactly: number) { return count }
        default: break
        }
        throw wrong(word, "a whole number above 0", value)
    }

    /// One of the raw values of an enumeration.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ word: String, of type: Choice.Type
    ) throws(ScriptingError) -> Choice? where Choice.RawValue == String {
        guard let text = try text(word) else { return nil }
        if let choice = Choice(rawValue: text) { return choice }
        throw unknown(word, text, among: Choice.allCases.map(\.rawValue))
    }

    /// Texts in a list, each once; a single text where that is allowed.
    func texts(_ word: String, orOne: Bool = false) throws(ScriptingError) -> [String]? {
        let elements: [FrameValue]
        switch values[word] {
        case nil: return nil
        case .array(let list): elements = list
        case .map(let none) where none.isEmpty: elements = []
        case let .string(text)? where orOne: elements = [.string(text)]
        case let other?: throw wrong(word, orOne ? "a text or a list of texts" : "a list of texts", other)
        }
        var texts: [String] = []
        for element in elements {
            guard case .string(let text) = element, !text.isEmpty, !text.utf8.contains(0) else {
                throw place.error("\(quoted(word)) wants texts in its list, but \(element.found) stands there")
            }
            guard !texts.contains(text) else { throw place.error("\(quoted(word)) holds \(quoted(text)) twice") }
            texts.append(text)
        }
        return texts
    }

    /// Texts in a list, repeated ones too.
    func list(_ word: String) throws(ScriptingError) -> [String]? {
        switch values[word] {
        case nil: return nil
        case .map(let none) where none.isEmpty: return []
        case .array(let elements):
            var texts: [String] = []
            for element in elements {
                guard case .string(let text) = element, !text.utf8.contains(0) else {
                    throw place.error("\(quoted(word)) wants texts in its list, but \(element.found) stands there")
                }
                texts.append(text)
            }
            return texts
        case let other?: throw wrong(word, "a list of texts", other)
        }
    }

    /// Names in a list.
    func names(_ word: String) throws(ScriptingError) -> [Name]? {
        guard let texts = try texts(word) else { return nil }
        var names: [Name] = []
        for text in texts { names.append(try parse(word, text) { text throws(KeyModelError) in try Name(text) }) }
        return names
    }

    /// An error for a word whose value is of the wrong type.
    func wrong(_ word: String, _ wanted: String, _ value: FrameValue) -> ScriptingError {
        place.error("\(quoted(word)) wants \(wanted), but \(value.found) stands there")
    }

    /// An error for a text that is none of those known.
    func unknown(_ word: String, _ text: String, among known: [String]) -> ScriptingError {
        let all = "Known: \(known.sorted().joined(separator: ", "))."
        let hint = nearest(to: text, among: known).map { "Did you mean \"\($0)\"?" } ?? (known.isEmpty ? nil : all)
        return place.error("\(quoted(word)) is \(quoted(text)), which is not known", hint: hint)
    }

    private func parse<Value>(
        _ word: String, _ text: String, _ parser: (String) throws(KeyModelError) -> Value
    ) throws(ScriptingError) -> Value {
        do throws(KeyModelError) { return try parser(text) } catch {
            throw place.error("\(quoted(word)): \(error.message)", hint: error.hint)
        }
    }
}

extension FrameValue {
    /// The name in the one-entry map by which the worker stands for a value that is no data.
    private static let typeMark = "\0type"

    /// The type of Lua where the value is no data: `function`.
    var typeName: String? {
        guard case .map(let entries) = self, entries.count == 1, case .string(let type) = entries[Self.typeMark] else {
            return nil
        }
        return type
    }

    /// What the value is, in words; texts are not quoted, since they may be secret.
    var found: String {
        if let typeName { return "a \(typeName)" }
        return switch self {
        case .null: "nothing"
        case .bool(let truth): String(truth)
        case .integer(let number): "the number \(number)"
        case .double(let number): "the number \(number)"
        case .string: "a text"
        case .binary: "a text that is not valid UTF-8"
        case .array: "a list"
        case .map(let entries): entries.isEmpty ? "an empty table" : "a table"
        }
    }
}
