package import Frames
internal import Terminal

/// Knows which inputs hold values that no file may keep: those passed to sensitive parameters.
///
/// What counts is the value: an input is sensitive where a literal of it goes to such a parameter, by place or by name, and every
/// input that holds such a literal after that.
package struct SensitiveInputs: Sendable {
    private struct Function: Sendable {
        var places: Set<Int> = []
        var names: Set<String> = []
        /// From this place on, every argument; nil for none.
        var rest: Int?
    }

    private var functions: [String: Function] = [:]
    private var values: Set<String> = []

    /// Reads the answer to ``ControlRequest/describe``; what has no sensitive parameter is passed over.
    package init(describing entries: FrameValue) {
        guard case .array(let entries) = entries else { return }
        for entry in entries {
            guard case .string(let name)? = entry["name"], case .array(let parameters)? = entry["parameters"] else {
                continue
            }
            var function = Function()
            for (place, parameter) in parameters.enumerated() where parameter["sensitive"] == .bool(true) {
                function.places.insert(place)
                if case .string(let name)? = parameter["name"] { function.names.insert(name) }
                if place == parameters.count - 1 { function.rest = place }
            }
            if !function.places.isEmpty { functions[name] = function }
        }
    }

    /// Whether an input must stay out of every file.
    package mutating func holdsSecret(_ text: String) -> Bool {
        let characters = Array(text)
        let lexer = LuaLexer(characters)
        let tokens = lexer.tokens.filter { $0.kind != .comment }
        let found = LuaArguments(tokens, lexer).literals { name, place, label in
            guard let function = functions[name] else { return false }
            if let label { return function.names.contains(label) || function.places.contains(place) }
            return function.places.contains(place) || function.rest.map { place >= $0 } ?? false
        }
        // A short value such as a number would hide half of the history.
        values.formUnion(found.filter { $0.count >= 4 })
        return !found.isEmpty || values.contains { text.contains($0) }
    }
}

/// Walks over calls and their arguments.
private struct LuaArguments {
    private struct Frame {
        var name: String?
        var place = 0
        var label: String?
        var isTable: Bool
    }

    private let tokens: [LuaLexer.Token]
    private let lexer: LuaLexer

    init(_ tokens: [LuaLexer.Token], _ lexer: LuaLexer) {
        self.tokens = tokens
        self.lexer = lexer
    }

    /// The literals that go to arguments which a question is answered with yes for: function, place from 0, name in a table.
    func literals(_ isWanted: (String, Int, String?) -> Bool) -> [String] {
        var found: [String] = []
        var open: [Frame] = []
        for (place, token) in tokens.enumerated() {
            let text = lexer.text(of: token)
            switch (token.kind, text) {
            case (.symbol, "("), (.symbol, "["): open.append(Frame(name: self.name(before: place), isTable: false))
            case (.symbol, "{"):
                let name = self.name(before: place)
                // A table belongs to the argument in which it stands, or is the only argument of a call without parentheses.
                open.append(
                    name == nil
                        ? open.last.map { Frame(name: $0.name, place: $0.place, label: $0.label, isTable: true) }
                            ?? Frame(isTable: true) : Frame(name: name, isTable: true))
            case (.symbol, ")"), (.symbol, "]"), (.symbol, "}"): _ = open.popLast()
            case (.symbol, ","), (.symbol, ";"): next(&open)
            case (.name, _) where isLabel(place): open[open.count - 1].label = text
            case (.string, _), (.number, _):
                let frame = direct(place) ?? open.last
                if let name = frame?.name, let frame, isWanted(name, frame.place, frame.label) {
                    found.append(bare(text))
                }
            default: break
            }
        }
        return found

        func isLabel(_ place: Int) -> Bool {
            open.last?.isTable == true && place + 1 < tokens.count && lexer.text(of: tokens[place + 1]) == "="
        }
    }

    private func next(_ open: inout [Frame]) {
        guard var frame = open.popLast() else { return }
        if frame.isTable { frame.label = nil } else { frame.place += 1 }
        open.append(frame)
    }

    /// A call without parentheses: `f "text"`.
    private func direct(_ place: Int) -> Frame? {
        guard tokens[place].kind == .string, let name = name(before: place) else { return nil }
        return Frame(name: name, isTable: false)
    }

    private func name(before place: Int) -> String? {
        var parts: [String] = []
        var place = place - 1
        while place >= 0, tokens[place].kind == .name {
            parts.insert(lexer.text(of: tokens[place]), at: 0)
            guard place >= 2, lexer.text(of: tokens[place - 1]) == "." else { break }
            place -= 2
        }
        return parts.isEmpty ? nil : parts.joined(separator: ".")
    }

    /// A literal without its quotes.
    private func bare(_ text: String) -> String {
        guard let first = text.first, first == "\"" || first == "'" || first == "[" else { return text }
        return text.trimming(["\"", "'", "[", "]", "="])
    }
}

extension String {
    fileprivate func trimming(_ characters: Set<Character>) -> String {
        var text = self[...]
        while let first = text.first, characters.contains(first) { text = text.dropFirst() }
        while let last = text.last, characters.contains(last) { text = text.dropLast() }
        return String(text)
    }
}
