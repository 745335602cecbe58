internal import ControlStore
internal import Frames
internal import KeyModel
internal import Rotation
internal import Storage

/// Completes what stands before the cursor: names of the API, and within quotes the names that a parameter takes.
struct Completion {
    private let service: InstanceService
    private let peer: Peer
    /// What runs the session's scripts; nil before the first.
    private let runner: (any ScriptRunner)?

    /// How long names of the database may be waited for.
    private static let patience = Duration.milliseconds(50)
    private static let most = 200
    private static let mostRuns = 20

    init(_ service: InstanceService, _ peer: Peer, _ runner: (any ScriptRunner)? = nil) {
        self.service = service
        self.peer = peer
        self.runner = runner
    }

    /// The candidates: `{start, end, candidates = {{text, kind, signature}, …}}`, positions in bytes.
    func candidates(text: String, cursor: Int) async -> FrameValue {
        let bytes = Array(text.utf8.prefix(max(0, min(cursor, text.utf8.count))))
        let place = CompletionPlace(bytes)
        let found: [FrameValue]
        if let call = place.quotedIn, let entry = try? service.api.entry(call.name) {
            found = await names(for: entry, call.parameter, call.index).map { Self.candidate($0, "name") }
        } else {
            // What stands in quotes elsewhere is nobody's business.
            let runs = await runs(at: place)
            found = place.isQuoted ? [] : place.word.isEmpty && !runs.isEmpty ? runs : runs + (await words(place.word))
        }
        let fitting = found.filter {
            if case .string(let text)? = $0["text"] { text.hasPrefix(place.word) } else { false }
        }
        return [
            "start": .integer(Int64(place.start)), "end": .integer(Int64(bytes.count)),
            "candidates": .array(Array(fitting.prefix(Self.most))),
        ]
    }

    /// The numbers of the newest runs, where one is wanted.
    private func runs(at place: CompletionPlace) async -> [FrameValue] {
        guard let call = place.unquotedIn, let entry = try? service.api.entry(call.name),
            let parameter = Self.parameter(of: entry, call.parameter, call.index), parameter.kind == .run
        else { return [] }
        return await within(Self.patience) { try await known(parameter, entry) }?.map { Self.candidate($0, "run") }
            ?? []
    }

    /// The session's own variables, or what lies in the one before the dot.
    private func variables(_ word: String) async -> [FrameValue] {
        guard let runner else { return [] }
        var path = word.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        path.removeLast()
        guard path.allSatisfy({ $0.first?.isNumber == false }) else { return [] }
        let names = await within(Self.patience) { [path] in await runner.names(of: path) } ?? []
        let prefix = path.map { $0 + "." }.joined()
        let api = Set(service.api.namespaces)
        return names.filter { !(path.isEmpty && api.contains($0)) && CompletionPlace.isName($0) }
            .map { Self.candidate(prefix + $0, "variable") }
    }

    private func words(_ word: String) async -> [FrameValue] {
        let api = service.api
        let entries = api.entries.filter { word.contains(".") || !$0.name.contains(".") }
        let namespaces =
            word.contains(".")
            ? []
            : api.namespaces.filter { name in
                api.entries.contains { $0.namespace == name && $0.name != name }
            }
        return namespaces.map { Self.candidate($0 + ".", "namespace") }
            + entries.map { Self.candidate($0.name, "function", $0.signature) } + (await variables(word))
    }

    private static func parameter(of entry: Entry, _ name: String?, _ index: Int) -> Parameter? {
        name.flatMap { name in entry.parameters.first { $0.name == name } }
            ?? (entry.parameters.indices.contains(index) ? entry.parameters[index] : nil)
    }

    /// The names that a parameter takes; none where the database does not answer in time.
    private func names(for entry: Entry, _ parameter: String?, _ index: Int) async -> [String] {
        guard let parameter = Self.parameter(of: entry, parameter, index) else { return [] }
        if case .choice(let words) = parameter.kind { return words }
        return await within(Self.patience) { try await known(parameter, entry) } ?? []
    }

    private func known(_ parameter: Parameter, _ entry: Entry) async throws -> [String] {
        let instance = try await service.instance()
        guard service.role(of: peer, in: instance.configuration) != nil else { return [] }
        switch parameter.kind {
        case .keyring:
            return try await instance.context.control.read { try $0.keyrings().map(\.keyring.name.description) }
        case .column, .columns:
            return try await instance.context.control.read { session in
                try session.columns().filter(\.isDeclared).map(\.declaration.path.description)
            }
        case .run:
            return try await instance.context.control.read { session in
                try session.runs().prefix(Self.mostRuns).map { String($0.id) }
            }
        case .text where entry.namespace == "schedules" && parameter.name == "name":
            return instance.configuration.schedules.map(\.name.description).sorted()
        case .provider: return instance.context.providers.keys.map(\.description).sorted()
        case .text where entry.name == "notify.webhook": return instance.configuration.webhooks.map(\.name.description)
        case .text where entry.name == "commands.run": return instance.configuration.commands.map(\.name.description)
        case .text where entry.name == "help": return service.api.entries.map(\.name)
        default: return []
        }
    }

    private static func candidate(_ text: String, _ kind: String, _ signature: String = "") -> FrameValue {
        ["text": .string(text), "kind": .string(kind), "signature": .string(signature)]
    }
}

/// What a piece of work comes to, or nil where it fails or takes too long; it is left to itself then.
private func within<Value: Sendable>(
    _ patience: Duration, _ work: @escaping @Sendable () async throws -> Value
) async -> Value? {
    let (stream, answer) = AsyncStream.makeStream(of: Value?.self, bufferingPolicy: .bufferingOldest(1))
    let working = Task {
        let value = try? await work()
        answer.yield(value)
    }
    let waiting = Task {
        try await Task.sleep(for: patience)
        answer.yield(nil)
    }
    defer {
        working.cancel()
        waiting.cancel()
    }
    for await value in stream { return value }
    return nil
}

/// Where the cursor stands in a text of Lua, as far as completing needs to know; never evaluates anything.
struct CompletionPlace {
    /// A call within whose quotes the cursor stands.
    struct Quoted: Equatable {
        let name: String
        /// The name before the quotes: `keyring = "`.
        let parameter: String?
        /// Which argument it is, from 0.
        let index: Int
    }

    /// The word before the cursor.
    let word: String
    /// Where it begins, in bytes.
    let start: Int
    /// Whether the cursor stands in quotes.
    let isQuoted: Bool
    /// The call in whose quotes the cursor stands; nil outside of quotes.
    let quotedIn: Quoted?
    /// The call among whose arguments the cursor stands; nil within quotes.
    let unquotedIn: Quoted?

    init(_ bytes: [UInt8]) {
        let line = Array(bytes.suffix(4096))
        let offset = bytes.count - line.count
        if let quote = Self.openQuote(line) {
            word = String(decoding: line[(quote + 1)...], as: UTF8.self)
            start = offset + quote + 1
            quotedIn = Self.call(before: quote, line)
            unquotedIn = nil
            isQuoted = true
        } else {
            var begin = line.count
            while begin > 0, Self.isWord(line[begin - 1]) || line[begin - 1] == UInt8(ascii: ".") { begin -= 1 }
            word = String(decoding: line[begin...], as: UTF8.self)
            start = offset + begin
            quotedIn = nil
            unquotedIn = Self.call(before: begin, line)
            isQuoted = false
        }
    }

    /// Whether a text is a name of Lua, as far as its letters go.
    static func isName(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy(isWord) }

    private static func isWord(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F
    }

    /// Where the quotes begin in which the text ends; nil where it ends outside of any.
    private static func openQuote(_ line: [UInt8]) -> Int? {
        var (open, index): (Int?, Int) = (nil, 0)
        while index < line.count {
            let byte = line[index]
            if let begun = open {
                if byte == UInt8(ascii: "\\") { index += 1 } else if byte == line[begun] || byte == 0x0A { open = nil }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                open = index
            }
            index += 1
        }
        return open
    }

    /// The call whose brackets stand open before a place.
    private static func call(before end: Int, _ line: [UInt8]) -> Quoted? {
        var (index, depth, commas) = (end - 1, 0, 0)
        let parameter = name(before: end, line)
        while index >= 0 {
            switch line[index] {
            case UInt8(ascii: ")"), UInt8(ascii: "}"): depth += 1
            case UInt8(ascii: ","): if depth == 0 { commas += 1 }
            case UInt8(ascii: "("), UInt8(ascii: "{"):
                if depth > 0 {
                    depth -= 1
                } else if let name = word(endingAt: index, line) {
                    return Quoted(name: name, parameter: parameter, index: commas)
                } else {
                    commas = 0
                }
            default: break
            }
            index -= 1
        }
        return nil
    }

    /// `keyring` in `keyring = "`.
    private static func name(before quote: Int, _ line: [UInt8]) -> String? {
        var index = quote
        while index > 0, line[index - 1] == 0x20 || line[index - 1] == UInt8(ascii: "{") { index -= 1 }
        guard index > 0, line[index - 1] == UInt8(ascii: "=") else { return nil }
        return word(endingAt: index - 1, line)
    }

    private static func word(endingAt end: Int, _ line: [UInt8]) -> String? {
        var stop = end
        while stop > 0, line[stop - 1] == 0x20 { stop -= 1 }
        var begin = stop
        while begin > 0, isWord(line[begin - 1]) || line[begin - 1] == UInt8(ascii: ".") { begin -= 1 }
        return begin < stop ? String(decoding: line[begin..<stop], as: UTF8.self) : nil
    }
}
