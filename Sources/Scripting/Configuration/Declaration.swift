internal import Frames
internal import KeyModel

/// One call of a word in a configuration, as the worker recorded it.
struct Declaration {
    /// The words that a configuration consists of.
    enum Word: String, CaseIterable {
        case database, keyring, column, provider, schedule, hook, role, backup, webhook, command
    }

    /// Which word.
    let word: Word
    /// Where it stands.
    let place: Place
    /// What followed the word: a text, unless the configuration is wrong.
    let name: FrameValue
    /// What followed the name.
    let body: FrameValue?

    /// Reads the worker's answer.
    ///
    /// - Throws: ``ScriptingError`` with the script's own failure, or `internalWorkerFailed` for an answer that is none.
    static func all(in answer: FrameValue, file: String) throws(ScriptingError) -> [Declaration] {
        if let error = answer["error"] { throw ScriptFailure(error, file: file).error }
        guard answer["ok"] == true, case .array(let entries) = answer["declarations"] else { throw noAnswer }
        var declarations: [Declaration] = []
        for entry in entries { declarations.append(try Declaration(entry)) }
        return declarations
    }

    private init(_ entry: FrameValue) throws(ScriptingError) {
        guard case .string(let kind) = entry["kind"], let word = Word(rawValue: kind),
            case .integer(let line) = entry["line"], case .string(let file) = entry["file"], let name = entry["name"]
        else { throw Self.noAnswer }
        self.word = word
        self.name = name
        body = entry["body"]
        var thing = kind
        if word != .database, case .string(let text) = name { thing += " \(quoted(text))" }
        place = Place(file: file, line: line, thing: thing)
    }

    private static var noAnswer: ScriptingError {
        ScriptingError(.internalWorkerFailed, "the Lua worker answered in a form that is not known")
    }
}

/// Where a declaration stands and what it is called, for messages.
struct Place: Hashable {
    /// The file, without its folder.
    let file: String
    /// The line, from 1.
    let line: Int64
    /// The declaration: `keyring "main"`.
    let thing: String

    /// An error at this place.
    func error(_ what: String, hint: String? = nil) -> ScriptingError {
        ScriptingError(.callerConfigurationInvalid, "\(file):\(line): \(thing): \(what)", hint: hint)
    }
}
