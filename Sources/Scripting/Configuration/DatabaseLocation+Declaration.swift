internal import ControlStore
internal import Frames
internal import KeyModel

extension DatabaseLocation {
    /// Reads a `database "…"`; a message never quotes what may hold a password.
    init(_ declaration: Declaration, folder: String) throws(ScriptingError) {
        let place = declaration.place
        guard declaration.body == nil else { throw place.error("takes one text and nothing else") }
        guard case .string(let text) = declaration.name else {
            throw place.error("wants a text, but \(declaration.name.found) stands there", hint: Self.advice)
        }
        guard !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else {
            throw place.error("the text holds control characters")
        }
        switch text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init) {
        case let parts where parts.count == 2 && parts[0] == "sqlite":
            self = .sqlite(path: SourceFile.path(try Self.filePath(parts[1], place), in: folder))
        case let parts where parts.count == 2 && ["postgresql", "postgres"].contains(parts[0]):
            guard parts[1].hasPrefix("//") else { throw place.error("the URL has no //", hint: Self.advice) }
            self = .postgresql(url: text)
        case let parts where parts.count == 2 && parts[0].utf8.allSatisfy(Self.isLetter):
            throw place.error("\(quoted(parts[0])) is no kind of database that is known", hint: Self.advice)
        default: throw place.error("the text does not begin with a kind of database", hint: Self.advice)
        }
    }

    private static let advice = "Write \"sqlite:PATH\" or \"postgresql://…\"."

    private static func filePath(_ path: String, _ place: Place) throws(ScriptingError) -> String {
        if path.hasPrefix("//") {
            throw place.error(
                "the path begins with two slashes", hint: "Write \"sqlite:PATH\", an absolute path with one slash.")
        }
        guard !path.isEmpty, path != ":memory:", !path.hasSuffix("/") else {
            throw place.error("\(quoted(path)) names no file", hint: "Write \"sqlite:PATH\".")
        }
        return path
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte)
    }
}
