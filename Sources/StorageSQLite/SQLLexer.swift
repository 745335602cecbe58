/// Cuts SQL into its tokens, as far as telling names, quotes, comments and parentheses apart needs it.
struct SQLLexer: Sequence, IteratorProtocol {
    /// A token.
    enum Token: Hashable {
        /// A bare word: a keyword, a name or a number.
        case word(String)
        /// Something in double quotes, backquotes or brackets, without them; or in single quotes, which SQLite takes
        /// for a name where a string makes no sense.
        case quoted(String)
        /// A single character of any other kind.
        case symbol(Character)
        /// A quote or a comment that nothing ends, or a character that cannot be.
        case malformed(String)
    }

    private var rest: Substring.UnicodeScalarView

    /// Begins with a text.
    init(_ text: String) { rest = text[...].unicodeScalars }

    mutating func next() -> Token? {
        while let scalar = rest.popFirst() {
            switch scalar {
            case " ", "\t", "\n", "\r", "\u{C}": continue
            case "-" where rest.first == "-": skipLine()
            case "/" where rest.first == "*":
                guard skipComment() else { return .malformed("a comment that does not end") }
            case "'", "\"", "`": return quotedToken(until: scalar, isDoubled: true)
            case "[": return quotedToken(until: "]", isDoubled: false)
            case "\0": return .malformed("a zero byte")
            case _ where Self.isPartOfWord(scalar): return wordToken(from: scalar)
            default: return .symbol(Character(scalar))
            }
        }
        return nil
    }

    private static func isPartOfWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "$", "\u{80}"...: true
        default: false
        }
    }

    private mutating func wordToken(from first: Unicode.Scalar) -> Token {
        var word = String(first)
        while let scalar = rest.first, Self.isPartOfWord(scalar) {
            word.unicodeScalars.append(scalar)
            rest.removeFirst()
        }
        return .word(word)
    }

    private mutating func quotedToken(until end: Unicode.Scalar, isDoubled: Bool) -> Token {
        var text = ""
        while let scalar = rest.popFirst() {
            guard scalar != "\0" else { break }
            if scalar == end {
                guard isDoubled, rest.first == end else { return .quoted(text) }
                rest.removeFirst()
            }
            text.unicodeScalars.append(scalar)
        }
        return .malformed("a quote that does not end")
    }

    private mutating func skipLine() {
        while let scalar = rest.first, scalar != "\n", scalar != "\0" { rest.removeFirst() }
    }

    private mutating func skipComment() -> Bool {
        rest.removeFirst()
        while let scalar = rest.popFirst() {
            if scalar == "\0" { return false }
            if scalar == "*", rest.first == "/" {
                rest.removeFirst()
                return true
            }
        }
        return false
    }
}

extension SQLLexer.Token {
    /// Whether the token is a given keyword, written in capitals.
    func isKeyword(_ keyword: String) -> Bool {
        if case .word(let word) = self { word.uppercased() == keyword } else { false }
    }

    /// The token as a name in lower case, nil where it can be none.
    var name: String? {
        switch self {
        case .word(let text), .quoted(let text): text.lowercased()
        case .symbol, .malformed: nil
        }
    }
}
