internal import ControlStore
internal import Frames
internal import KeyModel

extension ScheduleDeclaration {
    private static let words: Set<String> = [
        "action", "apart", "cron", "dst_gap", "every", "expected", "grace", "jitter", "max_key_age", "max_seals",
        "misfire",
        "not_with", "on_deadline", "overlap", "phase", "poll", "retry", "retry_after", "tz", "window", "window_end",
    ]

    /// Reads a `schedule "name" { … }`: its words must be known, their values are read where schedules are made of them.
    init(_ declaration: Declaration, name: Name, keyrings: [Name]) throws(ScriptingError) {
        let known = Self.words.union(Function.allCases.map(\.rawValue)).union(["keyring", "timeout"])
        let fields = try Fields(declaration, known: known)
        let keyring = try fields.name("keyring")
        if let keyring, !keyrings.contains(keyring) {
            throw fields.unknown("keyring", keyring.description, among: keyrings.map(\.description))
        }
        var values: [String: Value] = [:]
        for word in fields.words where Self.words.contains(word) && fields[word]?.typeName == nil {
            values[word] = try Value(word, in: fields)
        }
        var functions: Set<Function> = []
        for function in Function.allCases {
            guard let value = fields[function.rawValue] else { continue }
            // An action may also be a word.
            if function == .action, value.typeName == nil { continue }
            guard value.typeName == "function" else { throw fields.wrong(function.rawValue, "a function", value) }
            functions.insert(function)
        }
        self.init(
            name: name, keyring: keyring, fields: values, functions: functions, file: declaration.place.file,
            line: declaration.place.line)
        if let timeout = try fields.timeout() {
            guard functions.contains(.action) else {
                throw fields.place.error(
                    "\(quoted("timeout")) needs a function as its action", hint: "Give action = function(ctx) … end.")
            }
            self.timeout = timeout
        }
    }
}

extension ScheduleDeclaration.Value {
    fileprivate init(_ word: String, in fields: Fields) throws(ScriptingError) {
        switch fields[word] {
        case .integer(let number): self = .number(number)
        case .bool(let truth): self = .truth(truth)
        case .array: self = .texts(try fields.texts(word) ?? [])
        case .string: self = .text(try fields.text(word) ?? "")
        case let other: throw fields.wrong(word, "a text, a number or a list of texts", other ?? .null)
        }
    }
}
