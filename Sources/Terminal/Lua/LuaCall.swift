/// Looks for calls in text of Lua.
package enum LuaCall {
    /// The name before the innermost parenthesis or brace that is still open: `keyrings.show` in `f(keyrings.show("a`.
    package static func innermost(_ characters: [Character]) -> String? {
        let lexer = LuaLexer(characters)
        let tokens = lexer.tokens.filter { $0.kind != .comment }
        var open: [String?] = []
        for (place, token) in tokens.enumerated() where token.kind == .symbol {
            switch lexer.text(of: token) {
            case "(": open.append(name(before: place, tokens, lexer))
            case "{": open.append(name(before: place, tokens, lexer) ?? open.last ?? nil)
            case "[": open.append(nil)
            case ")", "}", "]": _ = open.popLast()
            default: break
            }
        }
        return open.last ?? nil
    }

    /// The dotted name that ends before a place; nil where none does.
    static func name(before place: Int, _ tokens: [LuaLexer.Token], _ lexer: LuaLexer) -> String? {
        var parts: [String] = []
        var place = place - 1
        while place >= 0, tokens[place].kind == .name {
            parts.insert(lexer.text(of: tokens[place]), at: 0)
            guard place >= 2, [".", ":"].contains(lexer.text(of: tokens[place - 1])) else { break }
            place -= 2
        }
        return parts.isEmpty ? nil : parts.joined(separator: ".")
    }
}
