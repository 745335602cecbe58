/// Tells whether a text is one expression, as far as its quotes, comments, parentheses and semicolons tell.
///
/// It follows the lexical rules of PostgreSQL with `standard_conforming_strings`: comments nest, `E'…'` knows backslashes,
/// and `$tag$…$tag$` is a string.
struct PredicateScanner {
    private var rest: Substring.UnicodeScalarView
    private var depth = 0
    private var isEmpty = true

    /// What is wrong with a text; nil where only compiling can tell.
    static func flaw(of text: String) -> String? {
        var scanner = PredicateScanner(rest: text[...].unicodeScalars)
        return scanner.flaw()
    }

    private init(rest: Substring.UnicodeScalarView) { self.rest = rest }

    private mutating func flaw() -> String? {
        if rest.contains("\0") { return "it holds a zero byte" }
        while let scalar = rest.popFirst() {
            switch scalar {
            case " ", "\t", "\n", "\r", "\u{B}", "\u{C}": continue
            case "-" where rest.first == "-":
                while let next = rest.first, next != "\n", next != "\r" { rest.removeFirst() }
                continue
            case "/" where rest.first == "*":
                guard skipComment() else { return "it holds a comment that does not end" }
                continue
            default: isEmpty = false
            }
            if let flaw = flaw(at: scalar) { return flaw }
        }
        if isEmpty { return "it is empty" }
        return depth == 0 ? nil : "it leaves a parenthesis open"
    }

    private mutating func flaw(at scalar: Unicode.Scalar) -> String? {
        var isWhole = true
        switch scalar {
        case "'": isWhole = skipQuote("'", knowsBackslash: false)
        case "\"": isWhole = skipQuote("\"", knowsBackslash: false)
        case "$": isWhole = skipDollarQuote()
        case "(": depth += 1
        case ")":
            depth -= 1
            if depth < 0 { return "it closes a parenthesis that it did not open" }
        case ";": return "it holds more than one statement"
        case _ where Self.beginsWord(scalar): isWhole = skipWord(from: scalar)
        default: break
        }
        return isWhole ? nil : "it holds a quote that does not end"
    }

    /// Skips a name, which may hold dollar signs, or a string with a letter before it.
    private mutating func skipWord(from first: Unicode.Scalar) -> Bool {
        if first == "e" || first == "E", rest.first == "'" {
            rest.removeFirst()
            return skipQuote("'", knowsBackslash: true)
        }
        while let next = rest.first, Self.beginsWord(next) || next == "$" || ("0"..."9").contains(next) {
            rest.removeFirst()
        }
        return true
    }

    /// Skips to the end of a quote; a doubled quote inside reads as two strings side by side, which comes to the same.
    private mutating func skipQuote(_ end: Unicode.Scalar, knowsBackslash: Bool) -> Bool {
        while let scalar = rest.popFirst() {
            if scalar == end {
                // Within E'…' a doubled quote goes on with backslashes known.
                guard knowsBackslash, rest.first == end else { return true }
                rest.removeFirst()
            }
            if scalar == "\\", knowsBackslash { _ = rest.popFirst() }
        }
        return false
    }

    /// Skips `$tag$…$tag$`; a lone dollar sign, as of a parameter, is left to the compiler.
    private mutating func skipDollarQuote() -> Bool {
        var ahead = rest
        var tag: [Unicode.Scalar] = []
        while let scalar = ahead.popFirst(), scalar != "$" {
            let isDigit = ("0"..."9").contains(scalar)
            guard Self.beginsWord(scalar) || isDigit && !tag.isEmpty else { return true }
            tag.append(scalar)
            if ahead.isEmpty { return true }
        }
        guard ahead.count < rest.count else { return true }
        let end = ["$"] + tag + ["$"]
        rest = ahead
        while !rest.isEmpty {
            if rest.starts(with: end) {
                rest.removeFirst(end.count)
                return true
            }
            rest.removeFirst()
        }
        return false
    }

    /// Skips a comment, those inside it included.
    private mutating func skipComment() -> Bool {
        rest.removeFirst()
        var depth = 1
        while let scalar = rest.popFirst() {
            if scalar == "*", rest.first == "/" {
                rest.removeFirst()
                depth -= 1
                if depth == 0 { return true }
            } else if scalar == "/", rest.first == "*" {
                rest.removeFirst()
                depth += 1
            }
        }
        return false
    }

    private static func beginsWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "_", "\u{80}"...: true
        default: false
        }
    }
}
